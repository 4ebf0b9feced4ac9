//go:build unix

package engine_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"

	"github.com/scale-levels/scale/stacks/engine"
)

// The comparison runs the same program, of the same resources, with the same
// provider: embedded, each operation in a process of its own as a command would
// be, and through the Automation API and the pulumi command, whose provider is
// this test binary again, as a plugin process.

const (
	embedded   = "SCALE_EMBEDDED" // an operation for a child process to run
	pluginName = "pulumi-resource-sim"
)

func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == pluginName:
		c := &cloud{}
		fmt.Fprintln(os.Stderr, engine.ServePlugin("sim", c))
		os.Exit(1)
	case os.Getenv(embedded) != "":
		if err := runEmbedded(strings.Fields(os.Getenv(embedded))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runEmbedded is one operation: which, how many resources, store, salt.
func runEmbedded(args []string) error {
	var n int
	if _, err := fmt.Sscan(args[1], &n); err != nil {
		return err
	}
	c := &cloud{}
	s, err := engine.Open(engine.Config{Files: engine.Directory(args[2]), Project: "shop", Name: "dev", Secrets: engine.NewSecrets("correct horse", args[3]),
		Table: table, Providers: map[string]engine.ProviderFactory{"sim": c.factory}})
	if err != nil {
		return err
	}
	switch args[0] {
	case "preview":
		_, err = s.Preview(context.Background(), things(n, nil), engine.Options{})
	case "up":
		_, err = s.Up(context.Background(), things(n, nil), engine.Options{})
	case "destroy":
		_, err = s.Destroy(context.Background(), engine.Options{})
	}
	return err
}

// BenchmarkProcess is each operation in a process of its own, with the memory of
// that process.
func BenchmarkProcess(b *testing.B) {
	for _, n := range []int{60, 250, 1000, 3000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchProcess(b, n) })
	}
}

// BenchmarkCompare needs the pulumi command: 'make bench-compare' builds it and
// says where it is.
func BenchmarkCompare(b *testing.B) {
	dir := os.Getenv("SCALE_COMPARE")
	if dir == "" {
		b.Skip("'make bench-compare' builds the pulumi command and runs this")
	}
	for _, n := range []int{60, 250, 1000} {
		b.Run(fmt.Sprintf("embedded/%d", n), func(b *testing.B) { benchProcess(b, n) })
		b.Run(fmt.Sprintf("automation/%d", n), func(b *testing.B) { compareAutomation(b, dir, n) })
	}
}

func benchProcess(b *testing.B, n int) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B, op, store string) *exec.Cmd {
		b.Helper()
		c := exec.Command(exe)
		c.Env = append(os.Environ(), embedded+"="+strings.Join([]string{op, fmt.Sprint(n), store, salt()}, " "))
		if out, err := c.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		return c
	}
	for _, o := range []struct{ label, before, op string }{
		{"preview", "", "preview"}, {"up", "", "up"}, {"no-change", "up", "up"}, {"destroy", "up", "destroy"},
	} {
		b.Run(o.label, func(b *testing.B) {
			store := b.TempDir()
			if o.before != "" {
				run(b, o.before, store)
			}
			salt() // derived once, and not in the time
			b.ResetTimer()
			reportMemory(b, run(b, o.op, store))
		})
	}
}

func compareAutomation(b *testing.B, dir string, n int) {
	ctx := context.Background()
	state, bin, home := b.TempDir(), b.TempDir(), b.TempDir()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	if err := os.Symlink(exe, filepath.Join(bin, pluginName)); err != nil {
		b.Fatal(err)
	}
	env := map[string]string{
		"PATH": strings.Join([]string{bin, dir, os.Getenv("PATH")}, ":"), "PULUMI_BACKEND_URL": "file://" + state, "PULUMI_HOME": home,
		"PULUMI_CONFIG_PASSPHRASE": "correct horse", "PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_IGNORE_AMBIENT_PLUGINS": "false",
	}
	b.Setenv("PATH", env["PATH"])
	s, err := auto.UpsertStackInlineSource(ctx, "dev", "shop", things(n, nil), auto.EnvVars(env))
	if err != nil {
		b.Fatal(err)
	}
	for _, o := range []struct {
		label string
		op    func() error
	}{
		{"preview", func() error { _, err := s.Preview(ctx); return err }},
		{"up", func() error { _, err := s.Up(ctx); return err }},
		{"no-change", func() error { _, err := s.Up(ctx); return err }},
		{"destroy", func() error { _, err := s.Destroy(ctx); return err }},
	} {
		b.Run(o.label, func(b *testing.B) {
			if err := o.op(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// reportMemory tells the largest resident size of a process that has ended.
func reportMemory(b *testing.B, c *exec.Cmd) {
	b.Helper()
	u, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return
	}
	kib := float64(u.Maxrss)
	if runtime.GOOS == "darwin" {
		kib /= 1024 // bytes there
	}
	b.ReportMetric(kib/1024, "rss-MiB")
}
