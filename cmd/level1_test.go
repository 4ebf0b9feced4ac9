//go:build unix

package cmd_test

import (
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/scale-levels/scale/internal/plan"
)

func TestUpDownAndUpAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if p := w.plan("--detailed-exitcode"); p.Count()[plan.Create] != 5 || p.Downtime != 0 {
		t.Fatalf("first plan: %+v", p)
	}
	if _, err := os.Stat(w.home); !os.IsNotExist(err) {
		t.Fatalf("a preview left something in the home: %v", err)
	}
	w.must(2, "preview", "--detailed-exitcode")
	up := w.must(0, "up", "--level", "1", "--yes")
	url := strings.TrimSpace(up.out)
	if code, body := get(t, url+"/"); code != http.StatusOK || !strings.Contains(body, "Guestbook") {
		t.Fatalf("static page: %d %s", code, body)
	}
	if _, body := get(t, url+"/api/whoami"); !strings.Contains(body, `"level":"1"`) || !strings.Contains(body, `"color":"blue"`) {
		t.Fatalf("whoami: %s", body)
	}
	sign(t, url, "first")

	before := w.status()
	w.must(0, "preview", "--detailed-exitcode")
	if r := w.must(0, "up", "--yes"); !strings.Contains(r.err, "No changes") {
		t.Fatalf("second up: %s", r)
	}
	if after := w.status(); !maps.Equal(pids(before), pids(after)) || after.State != "up" {
		t.Fatalf("second up restarted something: %v, then %v", pids(before), pids(after))
	}

	w.must(0, "down", "--yes")
	if s := w.status(); s.State != "down" || len(s.Data) != 1 || s.Data[0].Bytes == 0 {
		t.Fatalf("after down: %+v", s)
	}
	if again := strings.TrimSpace(w.must(0, "up", "--yes").out); again != url {
		t.Fatalf("the address moved from %s to %s", url, again)
	}
	if got := names(t, url); !slices.Equal(got, []string{"first"}) {
		t.Fatalf("after down and up the guestbook has %v", got)
	}
	if r := w.must(0, "history"); strings.Count(r.out, "\n") != 3 {
		t.Fatalf("history: %s", r)
	}
}

func TestDeleteDataLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := strings.TrimSpace(w.must(0, "up", "--level", "1", "--yes").out)
	st := w.status()

	w.must(3, "down", "--delete-data", "--yes")
	w.must(3, "down", "--delete-data", "--confirm", "wrong", "--yes")
	if code, _ := get(t, url+"/healthz"); code != http.StatusOK {
		t.Fatal("a refused down changed something")
	}
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")

	if left := mentioning(w.home); len(left) != 0 {
		t.Errorf("processes are left: %v", left)
	}
	for _, c := range st.Components {
		l, err := net.Listen("tcp", c.Address)
		if err != nil {
			t.Errorf("port of %s is left: %v", c.Name, err)
			continue
		}
		l.Close()
	}
	err := filepath.WalkDir(w.home, func(p string, _ os.DirEntry, err error) error {
		if err == nil {
			t.Errorf("left: %s", p) // locks are files too
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestChangesArePlannedExactly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "<h1>one</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--yes").out)
	sign(t, url, "kept")

	expect := func(name string, downtime bool, want ...string) {
		t.Helper()
		p := w.plan()
		var got []string
		for _, s := range p.Steps {
			if s.ID == "close" || s.ID == "open" {
				continue
			}
			for _, c := range s.Changes {
				line := string(c.Op) + " " + c.Name
				for _, d := range c.Diff {
					line += " " + d.Path
				}
				got = append(got, line)
			}
		}
		if !slices.Equal(got, want) || (p.Downtime > 0) != downtime {
			t.Fatalf("%s: got %q with downtime %v, want %q", name, got, p.Downtime, want)
		}
		w.must(2, "preview", "--detailed-exitcode")
		w.must(0, "up", "--yes")
		w.must(0, "preview", "--detailed-exitcode")
		if got := names(t, url); !slices.Contains(got, "kept") {
			t.Fatalf("%s: the data is gone: %v", name, got)
		}
	}
	edit := func(old, new string) { w.project(strings.Replace(w.yaml(), old, new, 1)) }

	w.write("public/index.html", "<h1>two</h1>")
	expect("static files", false, "update static-use1-g1 release")
	if _, body := get(t, url+"/"); body != "<h1>two</h1>" {
		t.Fatalf("static file: %s", body)
	}
	edit("GREETING: hello", "GREETING: goodbye")
	expect("an environment variable", true, "update web-use1-g1-1 env.GREETING")
	edit("guestbook, serve]", "guestbook, serve, now]")
	expect("the command", true, "update web-use1-g1-1 command")
	edit("health: /healthz", "health: /healthz\n    instances: 2")
	expect("the instance count", true, "create web-use1-g1-2")
	if s := w.status(); !component(s, "web-use1-g1-2").Healthy {
		t.Fatalf("second instance: %+v", s.Components)
	}
	edit("instances: 2", "instances: 1")
	expect("fewer instances", true, "delete web-use1-g1-2")
	edit("size: small", "size: medium")
	expect("the database's size", true, "update db-use1-g1 size")
	w.write("main.go", "package main // a new release")
	expect("the sources", true, "update web-use1-g1-1 release")
}

func (w *world) yaml() string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "scale.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func TestMaintenancePageAnswersMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(web + "maintenance: {page: soon.html, retry_after: 7}\n")
	w.write("public/index.html", "x")
	w.write("soon.html", "<h1>soon</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--yes").out)

	var refused, closed, other atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			resp, err := client.Get(url + "/healthz")
			if err != nil {
				refused.Add(1)
				continue
			}
			switch {
			case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "7":
				closed.Add(1)
			case resp.StatusCode != http.StatusOK:
				other.Add(1)
			}
			resp.Body.Close()
		}
	}()
	w.project(strings.Replace(w.yaml(), "hello", "goodbye", 1))
	w.must(0, "up", "--yes")
	close(stop)
	<-done
	if closed.Load() == 0 || refused.Load() != 0 || other.Load() != 0 {
		t.Fatalf("%d closed, %d refused, %d other answers", closed.Load(), refused.Load(), other.Load())
	}
	if code, _ := get(t, url+"/healthz"); code != http.StatusOK {
		t.Fatalf("afterwards: %d", code)
	}
}

func TestWhatDiesComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := strings.TrimSpace(w.must(0, "up", "--level", "1", "--yes").out)
	sign(t, url, "kept")
	kill := func(pid int) {
		t.Helper()
		if pid < 2 {
			t.Fatalf("no process to kill: %+v", w.status())
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"web-use1-g1-1", "db-use1-g1"} {
		old := component(w.status(), name).PID
		kill(old)
		eventually(t, name+" is back", func() bool {
			s := w.status()
			c := component(s, name)
			return s.State == "up" && c.PID != old && c.Restarts == 1
		})
	}
	before := w.status()
	agent := component(before, "entry-use1-g1").PID
	kill(agent)
	eventually(t, "the agent has ended", func() bool { return !slices.Contains(mentioning(w.home), agent) })
	after := w.status()
	if !strings.Contains(after.Supervisor, "adopted 2") {
		t.Errorf("supervisor: %s", after.Supervisor)
	}
	for _, name := range []string{"web-use1-g1-1", "db-use1-g1"} {
		if a, b := component(before, name).PID, component(after, name).PID; a != b {
			t.Errorf("%s was restarted: %d, then %d", name, a, b)
		}
	}
	if got := names(t, url); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("after all kills the guestbook has %v", got)
	}
	// An adopted process is watched as well as one's own.
	old := component(after, "web-use1-g1-1").PID
	kill(old)
	eventually(t, "an adopted backend is back", func() bool {
		c := component(w.status(), "web-use1-g1-1")
		return c.Healthy && c.PID != old
	})
	w.must(0, "preview", "--detailed-exitcode")
}

func TestRebootIsRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := strings.TrimSpace(w.must(0, "up", "--level", "1", "--yes").out)
	sign(t, url, "kept")
	for _, pid := range mentioning(w.home) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(t, "everything has ended", func() bool { return len(mentioning(w.home)) == 0 })
	if s := w.status(); s.State != "stopped" {
		t.Fatalf("status after a reboot: %+v", s)
	}
	if len(mentioning(w.home)) != 0 {
		t.Fatal("status started something")
	}
	if p := w.plan(); p.Count()[plan.Update] != 4 || p.Worst().Data == plan.Replaces {
		t.Fatalf("plan after a reboot: %+v", p)
	}
	w.must(0, "up", "--yes")
	if got := names(t, url); !slices.Equal(got, []string{"kept"}) {
		t.Fatalf("after a reboot the guestbook has %v", got)
	}
	w.must(0, "preview", "--detailed-exitcode")
}

func TestMissingDataIsNotReplacedSilently(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(0, "up", "--level", "1", "--yes")
	w.must(0, "down", "--yes")
	data := w.status().Data[0].Place
	if err := os.Rename(data, data+".lost"); err != nil {
		t.Fatal(err)
	}
	r := w.must(5, "up", "--yes")
	if !strings.Contains(r.err, "--allow-data-loss=db-use1-g1-data") || !strings.Contains(r.err, "G1") {
		t.Fatalf("refusal: %s", r)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Fatal("a refused up made an empty database")
	}
	w.must(0, "up", "--yes", "--allow-data-loss=db-use1-g1-data")
	w.must(0, "preview", "--detailed-exitcode")
}

// Data whose record and state were lost is neither taken over nor cleaned away.
func TestDataThatNoRecordKnowsIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(0, "up", "--level", "1", "--yes")
	w.must(0, "down", "--yes")
	data := w.status().Data[0].Place
	env := filepath.Join(w.home, "environments", "guestbook", "dev")
	for _, lost := range []string{filepath.Join(env, "record.json"), filepath.Join(w.home, ".pulumi")} {
		if err := os.RemoveAll(lost); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"preview"}, {"up", "--yes"}} {
		if r := w.must(3, args...); !strings.Contains(r.err, "no record knows") {
			t.Errorf("%v: %s", args, r)
		}
	}
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes") // nothing stands that it knows
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		t.Fatalf("the data is gone: %v", err)
	}
}
