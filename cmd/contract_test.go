//go:build unix

package cmd_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/scale-levels/scale/stacks/contract"
)

// The local target, for real: the program under test is killed, and processes,
// database and load balancer are what is left.
func TestLocalContract(t *testing.T) {
	t.Parallel()
	contract.Run(t, contract.Target{Every: 10, New: func(t *testing.T) contract.World {
		w := newWorld(t)
		w.write("public/index.html", "x")
		return &local{w}
	}})
}

type local struct{ *world }

func (l *local) Settings(value string) {
	l.project(strings.Replace(web, "GREETING: hello", "GREETING: "+value, 1))
}

func (l *local) Run(fault string, args ...string) (int, string, []string) {
	l.t.Helper()
	log := filepath.Join(filepath.Dir(l.home), "marks")
	_ = os.Remove(log)
	c := l.command(args...)
	if fault == "" {
		c.Env = append(c.Env, "SCALE_FAULT_LOG="+log)
	} else {
		c.Env = append(c.Env, "SCALE_FAULT="+fault)
	}
	r := finish(l.t, c)
	if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return -1, r.String(), nil
	}
	b, err := os.ReadFile(log)
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	return r.code, r.String(), strings.Fields(string(b))
}

// Standing are the processes that run, by the component that they are, and the
// edges that the agent holds.
func (l *local) Standing() []string {
	l.t.Helper()
	var names []string
	for _, pid := range mentioning(l.home) {
		env, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "environ"))
		stat, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "stat"))
		for _, v := range strings.Split(string(env), "\x00") {
			_, name, ok := strings.Cut(v, "#")
			if !ok || !strings.HasPrefix(v, "SCALE_COMPONENT=") {
				continue
			}
			// A component's first process leads a group, and so does each of PostgreSQL's.
			fields := strings.Fields(string(stat))
			leads := len(fields) > 4 && fields[4] == itoa(pid)
			if leads && !(strings.HasPrefix(name, "db-") && slices.Contains(names, name)) {
				names = append(names, name)
			}
		}
	}
	for _, c := range l.status().Components {
		if c.Kind == "entry" || c.Kind == "static" {
			names = append(names, c.Name+" "+c.State)
		}
	}
	return names
}
