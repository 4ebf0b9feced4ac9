//go:build unix

package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// marks runs a command to its end and returns the moments at which it could
// have been killed.
func (w *world) marks(args ...string) []string {
	w.t.Helper()
	log := filepath.Join(filepath.Dir(w.home), "marks")
	_ = os.Remove(log)
	c := w.command(args...)
	c.Env = append(c.Env, "SCALE_FAULT_LOG="+log)
	if r := finish(w.t, c); r.code != 0 {
		w.t.Fatalf("scale %s: %s", strings.Join(args, " "), r)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Fields(string(b))
}

// killedAt runs a command that kills itself at a mark.
func (w *world) killedAt(mark string, args ...string) {
	w.t.Helper()
	c := w.command(args...)
	c.Env = append(c.Env, "SCALE_FAULT="+mark)
	r := finish(w.t, c)
	if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() {
		w.t.Fatalf("scale %s was to be killed at %s: %s", strings.Join(args, " "), mark, r)
	}
}

// whole checks that exactly what level 1 has stands: nothing twice, nothing orphaned.
func (w *world) whole(url string) {
	w.t.Helper()
	w.must(0, "preview", "--detailed-exitcode")
	s := w.status()
	if s.State != "up" || s.Walk != "" || s.Lock != "" {
		w.t.Fatalf("status: %+v", s)
	}
	servers, backends := map[string]bool{}, 0
	for _, pid := range mentioning(w.home) {
		args, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "cmdline"))
		switch {
		case strings.Contains(string(args), "-D\x00"):
			servers[itoa(pid)] = true
		case strings.Contains(string(args), "guestbook\x00serve"):
			backends++
		}
	}
	for pid := range servers { // one that was forked a moment ago still has its parent's arguments
		stat, _ := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		if fields := strings.Fields(string(stat)); len(fields) < 4 || servers[fields[3]] {
			delete(servers, pid)
		}
	}
	if len(servers) != 1 || backends != 1 {
		w.t.Fatalf("%d database servers and %d backends run, want one of each", len(servers), backends)
	}
	if url == "" {
		url = s.URL
	}
	sign(w.t, url, "after")
}

func itoa(n int) string { return strconv.Itoa(n) }

// gone checks that nothing is left of an environment.
func (w *world) gone() {
	w.t.Helper()
	if left := mentioning(w.home); len(left) != 0 {
		w.t.Fatalf("processes are left: %v", left)
	}
	if _, err := os.Stat(w.home); !os.IsNotExist(err) {
		out, _ := exec.Command("find", w.home).Output()
		w.t.Fatalf("files are left:\n%s", out)
	}
}

var deleteAll = []string{"down", "--delete-data", "--confirm", "dev", "--yes"}

func TestUpKilledAnywhereConverges(t *testing.T) {
	t.Parallel()
	marks := newWorld(t).marks("up", "--yes")
	if len(marks) < 10 || !slices.Contains(marks, "before-fold:1") || !slices.Contains(marks, "gate:1") {
		t.Fatalf("an up passes too few marks: %v", marks)
	}
	for _, mark := range marks {
		t.Run("then up/"+mark, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.killedAt(mark, "up", "--yes")
			r := w.must(0, "up", "--yes")
			if strings.HasPrefix(mark, "journal") && !strings.Contains(r.err, "found:") {
				t.Errorf("the next run does not say what it found: %s", r)
			}
			w.whole("")
		})
	}
}

func TestUpKilledAnywhereCanBeTakenDown(t *testing.T) {
	t.Parallel()
	marks := newWorld(t).marks("up", "--yes")
	for i, mark := range marks {
		if i%3 != 0 && !testing.Verbose() { // a third of them; all with -v
			continue
		}
		t.Run(mark, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.killedAt(mark, "up", "--yes")
			w.must(0, deleteAll...)
			w.gone()
		})
	}
}

func TestDownKilledAnywhereConverges(t *testing.T) {
	t.Parallel()
	first := newWorld(t)
	first.must(0, "up", "--yes")
	marks := first.marks(deleteAll...)
	if len(marks) < 10 {
		t.Fatalf("a down passes too few marks: %v", marks)
	}
	for _, mark := range marks {
		t.Run(mark, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.must(0, "up", "--yes")
			w.killedAt(mark, deleteAll...)
			w.must(0, deleteAll...)
			w.gone()
		})
	}
}

func TestChangeKilledAnywhereConverges(t *testing.T) {
	t.Parallel()
	prepare := func(t *testing.T) (*world, string) {
		w := newWorld(t)
		w.project(web)
		w.write("public/index.html", "x")
		url := strings.TrimSpace(w.must(0, "up", "--yes").out)
		sign(t, url, "before")
		w.project(strings.Replace(w.yaml(), "hello", "goodbye", 1))
		return w, url
	}
	first, _ := prepare(t)
	marks := first.marks("up", "--yes")
	for i, mark := range marks {
		if i%3 != 0 && !testing.Verbose() { // a third of them; all with -v
			continue
		}
		t.Run(mark, func(t *testing.T) {
			t.Parallel()
			w, url := prepare(t)
			w.killedAt(mark, "up", "--yes")
			w.must(0, "up", "--yes")
			w.whole(url)
			if got := names(t, url); !slices.Equal(got, []string{"after", "before"}) {
				t.Fatalf("the guestbook has %v", got)
			}
		})
	}
}

func TestInterruptEndsGracefully(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(strings.Replace(web, "health: /healthz", "health: /never\n    start_timeout: 120", 1))
	w.write("public/index.html", "x")
	c := w.command("up", "--yes")
	var errs strings.Builder
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the backend is being waited for", func() bool {
		return slices.ContainsFunc(mentioning(w.home), func(pid int) bool {
			args, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "cmdline"))
			return strings.Contains(string(args), "guestbook\x00serve")
		})
	})
	for range 2 { // the first waits for the backend, which never is ready; the second does not
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 130 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if r := w.must(0, "lock", "status"); strings.Contains(r.out, "held") {
		t.Fatalf("an interrupted run keeps its lock: %s", r)
	}
	w.project(web)
	w.must(0, "up", "--yes")
	w.whole("")
}
