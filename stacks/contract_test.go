package stacks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/contract"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// The simulated target runs in processes of its own, so that they can be killed:
// this binary again, as a scale of a few lines.

const runSimulated = "SCALE_TEST_SIMULATED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(runSimulated); dir != "" {
		changes, err := simulated(dir, os.Args[1:])
		switch {
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		case changes:
			os.Exit(2)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// simulated is one command on the simulated target; changes are what a preview found.
func simulated(dir string, args []string) (changes bool, err error) {
	settings, err := os.ReadFile(filepath.Join(dir, "settings"))
	if err != nil {
		return false, err
	}
	f, err := config.Parse("scale.yaml", fmt.Appendf(nil, "name: shop\nservices: {web: {command: ./serve, routes: [/api], env: {GREETING: %s}}}\nstatic: {dir: public}\ndatabase: {}\n", settings))
	if err != nil {
		return false, err
	}
	app, err := f.App("")
	if err != nil {
		return false, err
	}
	app.Static.Dir = "" // nothing is read
	target, err := rehearsal.NewTarget(filepath.Join(dir, "cloud"))
	if err != nil {
		return false, err
	}
	var dropped error
	target.Cloud.After = func(o rehearsal.Operation) {
		if err := target.Served(); err != nil && dropped == nil && args[0] == "up" {
			dropped = fmt.Errorf("after %s %s: %w", o.Op, o.Name, err)
		}
	}
	e, err := stacks.Open(stacks.Home(filepath.Join(dir, "home")), app, target, stacks.Passphrase{Value: "simulated"}, "scale")
	if err != nil {
		return false, err
	}
	ctx := context.Background()
	lease, err := e.Lease(ctx, time.Second, nil)
	if err != nil {
		return false, err
	}
	defer lease.Release()
	g := stacks.Goal{Verb: "up"}
	if args[0] == "down" {
		g.Verb = "down"
	}
	if i := slices.Index(args, "--level"); i >= 0 {
		if g.Level, err = strconv.Atoi(args[i+1]); err != nil {
			return false, err
		}
	}
	p, err := e.Plan(ctx, g, nil)
	if err != nil || args[0] == "preview" {
		return !p.Empty(), err
	}
	if p.Empty() {
		return false, e.Settle(ctx, g)
	}
	return false, errors.Join(e.Walk(ctx, ctx, g, p, func(plan.Event) {}), dropped)
}

type world struct {
	t   *testing.T
	dir string
}

func (w *world) Settings(value string) {
	if err := os.WriteFile(filepath.Join(w.dir, "settings"), []byte(value), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) Run(fault string, args ...string) (int, string, []string) {
	w.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	log := filepath.Join(w.dir, "marks")
	_ = os.Remove(log)
	c := exec.Command(exe, args...)
	c.Env = append(os.Environ(), runSimulated+"="+w.dir)
	if fault == "" {
		c.Env = append(c.Env, "SCALE_FAULT_LOG="+log)
	} else {
		c.Env = append(c.Env, "SCALE_FAULT="+fault)
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	var exit *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return -1, out.String(), nil
	}
	b, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), strings.Fields(string(b))
}

// Standing is what the cloud has, whatever the state says.
func (w *world) Standing() []string {
	w.t.Helper()
	target, err := rehearsal.NewTarget(filepath.Join(w.dir, "cloud"))
	if err != nil {
		w.t.Fatal(err)
	}
	names := target.Cloud.Names()
	slices.Sort(names)
	return names
}

func TestSimulatedContract(t *testing.T) {
	t.Parallel()
	contract.Run(t, contract.Target{Every: 3,
		New: func(t *testing.T) contract.World { return &world{t, t.TempDir()} },
		Copy: func(t *testing.T, w contract.World) contract.World {
			c := &world{t, t.TempDir()}
			if err := os.CopyFS(c.dir, os.DirFS(w.(*world).dir)); err != nil {
				t.Fatal(err)
			}
			return c
		}})
}
