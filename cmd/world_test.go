//go:build unix

package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// These tests run the real program: a binary with the marks of package fault,
// real PostgreSQL, real processes, in a home of their own for each test. Nothing
// of it survives the test process, not even when that is killed: a watchdog
// notices and ends what is left.

var (
	binary string // the program under test
	homes  string // the directory of all homes
)

const watchdog = "SCALE_TEST_WATCHDOG"

func TestMain(m *testing.M) {
	if dir := os.Getenv(watchdog); dir != "" {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test process is gone
		sweep(dir)
		os.Exit(0)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	var err error
	if homes, err = os.MkdirTemp("", "scale-test-"); err != nil {
		panic(err)
	}
	if err := os.Chmod(homes, 0o711); err != nil { // the database's user passes through
		panic(err)
	}
	stop, err := watch(homes)
	if err != nil {
		panic(err)
	}
	defer stop()
	binary = filepath.Join(homes, "scale")
	build := exec.Command("go", "build", "-tags", "faults", "-o", binary, "..")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the program under test:", err)
		return 1
	}
	return m.Run()
}

// watch starts the watchdog: this binary again, reading from a pipe that closes
// when we end, however that is.
func watch(dir string) (stop func(), err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), watchdog+"="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return func() { in.Close(); _ = c.Wait() }, nil
}

// sweep ends every process that mentions the directory, agents first, and
// removes it. The others may end in order, for a while: a database that is killed leaves
// shared memory behind.
func sweep(dir string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := range 60 {
		left := mentioning(dir)
		for _, pid := range left {
			sig := syscall.SIGKILL
			if args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); i < 40 && bytes.Contains(args, []byte("/postgres\x00")) {
				sig = syscall.SIGINT
			}
			_ = syscall.Kill(pid, sig)
		}
		if len(left) == 0 {
			break
		}
		<-tick.C
	}
	_ = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "postmaster.pid" {
			agent.ForgetShared(filepath.Dir(file))
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}

// mentioning are the living processes whose arguments or environment name the directory.
func mentioning(dir string) []int {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, p := range procs {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil || pid == os.Getpid() || pid == os.Getppid() || zombie(p) {
			continue
		}
		args, _ := os.ReadFile(p + "/cmdline")
		env, _ := os.ReadFile(p + "/environ")
		if bytes.Contains(env, []byte(watchdog+"=")) {
			continue
		}
		if bytes.Contains(args, []byte(dir)) || bytes.Contains(env, []byte("SCALE_COMPONENT="+dir)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func zombie(proc string) bool {
	b, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return true
	}
	rest := string(b[bytes.LastIndexByte(b, ')')+1:])
	return strings.HasPrefix(rest, " Z") || strings.HasPrefix(rest, " X")
}

// world is one home with one project in it.
type world struct {
	t    testing.TB
	home string
	dir  string // working directory; without a scale.yaml the built-in example runs
	env  []string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	base, err := os.MkdirTemp(homes, "w-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(base, 0o711); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, home: filepath.Join(base, "home"), dir: filepath.Join(base, "project")}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(w.home, "environments/*/*/local/logs/*.log"))
			for _, l := range logs {
				b, _ := os.ReadFile(l)
				t.Logf("%s:\n%s", filepath.Base(l), b[max(0, len(b)-3000):])
			}
		}
		sweep(base)
	})
	return w
}

// project writes scale.yaml; %BIN% is the program under test, whose guestbook is
// the application.
func (w *world) project(yaml string) {
	w.t.Helper()
	w.write("scale.yaml", strings.ReplaceAll(yaml, "%BIN%", binary))
}

func (w *world) write(name, text string) {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout:\n%s\nstderr:\n%s", r.code, r.out, r.err)
}

func (w *world) command(args ...string) *exec.Cmd {
	c := exec.Command(binary, args...)
	c.Dir = w.dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(w.home), "SCALE_HOME=" + w.home, "TZ=UTC", "TERM=dumb",
		"GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
	c.Env = append(c.Env, w.env...)
	return c
}

// scale runs a command to its end.
func (w *world) scale(args ...string) result {
	w.t.Helper()
	c := w.command(args...)
	return finish(w.t, c)
}

func finish(t testing.TB, c *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must runs a command that has to end with a code.
func (w *world) must(code int, args ...string) result {
	w.t.Helper()
	r := w.scale(args...)
	if r.code != code {
		w.t.Fatalf("scale %s: want exit code %d, got %s", strings.Join(args, " "), code, r)
	}
	return r
}

func (w *world) status() plan.Status {
	w.t.Helper()
	var s plan.Status
	if err := json.Unmarshal([]byte(w.must(0, "status", "--json").out), &s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) plan(args ...string) plan.Plan {
	w.t.Helper()
	r := w.scale(append([]string{"preview", "--json"}, args...)...)
	var p plan.Plan
	if err := json.Unmarshal([]byte(r.out), &p); err != nil {
		w.t.Fatalf("%v: %s", err, r)
	}
	return p
}

func component(s plan.Status, name string) plan.Component {
	for _, c := range s.Components {
		if c.Name == name {
			return c
		}
	}
	return plan.Component{}
}

func pids(s plan.Status) map[string]int {
	m := map[string]int{}
	for _, c := range s.Components {
		m[c.Name] = c.PID
	}
	return m
}

var client = &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func post(t testing.TB, url, body string) (int, string) {
	t.Helper()
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// sign writes one line into the guestbook.
func sign(t testing.TB, url, name string) {
	t.Helper()
	if code, body := post(t, url+"/api/entries", fmt.Sprintf(`{"name":%q,"message":"hello"}`, name)); code != http.StatusCreated {
		t.Fatalf("sign: %d %s", code, body)
	}
}

// names are the ones that have signed, the newest first.
func names(t testing.TB, url string) []string {
	t.Helper()
	code, body := get(t, url+"/api/entries")
	var es []struct{ Name string }
	if err := json.Unmarshal([]byte(body), &es); err != nil || code != http.StatusOK {
		t.Fatalf("%d %v %s", code, err, body)
	}
	var ns []string
	for _, e := range es {
		ns = append(ns, e.Name)
	}
	return ns
}

// eventually asks again until it holds, for at most a minute.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// web is a project with the guestbook's backend, files of its own and a database.
const web = `name: shop
services:
  web:
    command: [%BIN%, guestbook, serve]
    health: /healthz
    routes: [/api, /healthz]
    env: {GREETING: hello}
static: {dir: public, route: /}
database: {engine: postgres, size: small}
`
