//go:build unix

package cmd_test

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Everything that level 2 promises to do without downtime, under load. With
// SCALE_SOAK it goes on for as long, and holds the whole time's p99 to no more than
// twice that before; a single round on a busy machine would not tell.
func TestNothingIsDroppedOnTheWay(t *testing.T) {
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "1", "--yes").out)
	database := component(w.status(), "db-use1-g1").PID
	l := startLoad(url)
	defer l.stop()
	soak, err := time.ParseDuration(cmp.Or(os.Getenv("SCALE_SOAK"), "0s"))
	if err != nil {
		t.Fatal(err)
	}
	quiet := 4 * time.Second
	if soak > 0 {
		quiet = 20 * time.Second
	}
	span := time.Now()
	eventually(t, "the load has run for a while", func() bool { return time.Since(span) > quiet })
	before := l.p99(span.Add(time.Second), time.Now())

	from := time.Now()
	for ok := true; ok; ok = time.Since(from) < soak && !t.Failed() {
		w.journey(l, before)
		w.must(0, "up", "--level", "1", "--yes")
	}
	during := l.p99(from, time.Now())
	l.stop()
	l.check(t, w)
	t.Logf("p99 before %.1f ms, during all changes %.1f ms, ratio %.2f", before.Seconds()*1000, during.Seconds()*1000, during.Seconds()/before.Seconds())
	if soak > 0 && during > 2*before {
		t.Errorf("p99 more than doubled: %v, then %v", before, during)
	}
	if pid := component(w.status(), "db-use1-g1").PID; pid != database {
		t.Errorf("the database was restarted: pid %d, then %d", database, pid)
	}
}

// journey is to level 2, to 1, to 2, to five instances, to two, to other settings,
// and to a newer agent, and logs what each cost.
func (w *world) journey(l *load, before time.Duration) {
	w.t.Helper()
	step := func(name string, do func()) {
		w.t.Helper()
		from := time.Now()
		do()
		to := time.Now()
		p := l.p99(from, to)
		w.t.Logf("%-28s %6d ms, p99 %5.1f ms, before %5.1f ms, ratio %.1f", name, to.Sub(from).Milliseconds(), p.Seconds()*1000, before.Seconds()*1000, p.Seconds()/before.Seconds())
	}
	edit := func(old, new string) {
		if !strings.Contains(w.yaml(), old) {
			w.t.Fatalf("scale.yaml has no %q", old)
		}
		w.project(strings.Replace(w.yaml(), old, new, 1))
	}
	step("to level 2", func() { w.must(0, "up", "--level", "2", "--yes") })
	step("to level 1", func() { w.must(0, "up", "--level", "1", "--yes") })
	step("to level 2 again", func() { w.must(0, "up", "--level", "2", "--yes") })
	edit("health: /healthz\n", "health: /healthz\n    instances: 5\n")
	step("to five instances", func() { w.must(0, "up", "--yes") })
	edit("instances: 5", "instances: 2")
	step("to two instances", func() { w.must(0, "up", "--yes") })
	edit("GREETING: hello", "GREETING: goodbye")
	step("to other settings", func() { w.must(0, "up", "--yes") })
	newer, moved := w.newer(), l.moved.Load()
	step("to a newer agent", func() {
		c := w.command("up", "--yes")
		c.Path = newer
		if r := finish(w.t, c); r.code != 0 {
			w.t.Fatalf("up by a newer scale: %s", r)
		}
	})
	if n := l.moved.Load() - moved; n != 0 {
		w.t.Errorf("%d streams were closed while only the agent was replaced", n)
	}
	// Back, and the names as they were, for whoever travels again.
	edit("GREETING: goodbye", "GREETING: hello")
	step("back to the first agent", func() { w.must(0, "up", "--yes") })
	edit("\n    instances: 2", "")
}

// newer is the program under test as another build of it.
func (w *world) newer() string {
	w.t.Helper()
	file := filepath.Join(filepath.Dir(w.home), "scale-newer")
	b, err := os.ReadFile(binary)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// cranky is a project whose application misbehaves as it is told to.
const cranky = `name: cranky
services:
  web:
    command: ./cranky
    health: /healthz
    env: {CRANKY: "%s"}
`

func (w *world) cranky(how string) {
	w.t.Helper()
	file := filepath.Join(w.dir, "cranky")
	if _, err := os.Stat(file); err != nil {
		build := exec.Command("go", "build", "-o", file, "./testdata/cranky")
		if out, err := build.CombinedOutput(); err != nil {
			w.t.Fatalf("%v: %s", err, out)
		}
	}
	w.write("scale.yaml", fmt.Sprintf(cranky, how))
}

// A release that is healthy and answers with errors is noticed at a tenth of the
// traffic, and what stood before stands again.
func TestErrorsCloseTheGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cranky("")
	url := strings.TrimSpace(w.must(0, "up", "--level", "2", "--yes").out)
	before := w.status()
	stop, failed := make(chan struct{}), make(chan int, 1)
	go func() { // users, most of whom must not notice
		bad, all := 0, 0
		for {
			select {
			case <-stop:
				failed <- 100 * bad / max(all, 1)
				return
			default:
			}
			if resp, err := client.Get(url + "/"); err == nil {
				if all++; resp.StatusCode != http.StatusOK {
					bad++
				}
				resp.Body.Close()
			}
		}
	}()
	w.cranky("errors")
	r := w.must(7, "up", "--yes")
	close(stop)
	for _, want := range []string{"web-green-use1-g1 answers with errors", "requests failed since the traffic moved", "of", "before",
		"this release answers everything with 500", "what stood before stands again"} {
		if !strings.Contains(r.err, want) {
			t.Errorf("the failure does not say %q: %s", want, r)
		}
	}
	if percent := <-failed; percent > 30 {
		t.Errorf("%d %% of all requests met the broken release", percent)
	}
	if after := w.status(); !maps.Equal(pids(before), pids(after)) || after.State != "up" {
		t.Errorf("before: %v, after: %+v", pids(before), after)
	}
	if code, body := get(t, url+"/"); code != http.StatusOK || body != "color blue\n" {
		t.Errorf("afterwards: %d %s", code, body)
	}
	// One that does not even start costs nobody anything.
	w.cranky("crash")
	if r := w.must(7, "up", "--yes"); !strings.Contains(r.err, "crashes as it was told to") || !strings.Contains(r.err, "stands again") {
		t.Errorf("a release that does not start: %s", r)
	}
	if after := w.status(); !maps.Equal(pids(before), pids(after)) || after.State != "up" {
		t.Errorf("before: %v, after: %+v", pids(before), after)
	}
	w.cranky("")
	w.must(0, "preview", "--detailed-exitcode")
	if h := w.must(0, "history"); strings.Count(h.out, "rolled back") != 2 {
		t.Errorf("history: %s", h)
	}
}

// A backend that is killed costs no idempotent request. What was being written is
// not sent twice.
func TestABackendIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "x")
	url := strings.TrimSpace(w.must(0, "up", "--level", "2", "--yes").out)
	l := startLoad(url)
	defer l.stop()
	for i := range 4 {
		name := fmt.Sprintf("web-blue-use1-g1-%d", i%2+1)
		old := component(w.status(), name).PID
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is back", func() bool {
			c := component(w.status(), name)
			return c.Healthy && c.PID != old
		})
	}
	l.stop()
	var other []string
	posts := 0
	for _, f := range l.failures {
		switch {
		case strings.Contains(f, "write"):
			posts++
		case strings.Contains(f, "WebSocket") || strings.Contains(f, "event stream"):
			// its instance is gone without a word
		default:
			other = append(other, f)
		}
	}
	if len(other) > 0 {
		t.Errorf("%d idempotent requests failed: %q", len(other), other)
	}
	kept := w.entries(url)
	for id := range l.acked {
		if !kept[id] {
			t.Errorf("the acknowledged write %d is lost", id)
		}
	}
	t.Logf("4 kills: of %d quick requests none failed; of the writes %d failed, %d were acknowledged and none of those is lost", len(l.samples), posts, len(l.acked))
}

// Several runs at once: each ends well, and says what happened.
func TestTwoWalksAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "x")
	w.must(0, "up", "--level", "1", "--yes")
	begin := func(args ...string) (*exec.Cmd, chan result) {
		c, done := w.command(args...), make(chan result, 1)
		go func() { done <- finish(t, c) }()
		return c, done
	}
	first, firstDone := begin("up", "--level", "2", "--yes")
	eventually(t, "the first holds the environment", func() bool {
		return strings.Contains(w.scale("lock", "status").out, "up --level 2")
	})
	if r := w.must(6, "up", "--level", "1", "--yes"); !strings.Contains(r.err, "scale up --level 2") || !strings.Contains(r.err, "pid "+itoa(first.Process.Pid)) {
		t.Errorf("the refused one does not name the holder: %s", r)
	}
	_, secondDone := begin("up", "--level", "1", "--yes", "--lock-timeout", "1m")
	third := w.command("up", "--level", "1", "--yes", "--lock-timeout", "1m")
	said, err := third.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil || !strings.Contains(line, "waiting for") {
		t.Fatalf("the third says %q %v", line, err)
	}
	if err := third.Process.Kill(); err != nil { // while it waits
		t.Fatal(err)
	}
	_ = third.Wait()
	if r := <-firstDone; r.code != 0 || !strings.Contains(r.err, "answers at level 2") {
		t.Errorf("the first: %s", r)
	}
	if r := <-secondDone; r.code != 0 || !strings.Contains(r.err, "from level 2 to level 1") {
		t.Errorf("the second, which waited: %s", r)
	}
	w.whole("")

	// A holder that is killed: its lease is taken over, and its walk taken back.
	w.killedAt("gate:2", "up", "--level", "2", "--yes")
	if r := w.must(0, "lock", "status"); !strings.Contains(r.out, "ended without releasing it") {
		t.Errorf("a dead holder: %s", r)
	}
	r := w.must(0, "up", "--level", "1", "--yes")
	if !strings.Contains(r.err, "held the environment and ended without releasing it") || !strings.Contains(r.err, "an earlier 'scale up' to level 2") {
		t.Errorf("the one after it: %s", r)
	}
	w.whole("")
	// One without a level goes on to where the killed one led.
	w.killedAt("gate:2", "up", "--level", "2", "--yes")
	w.must(0, "up", "--yes")
	if s := w.status(); s.Level != 2 || s.State != "up" {
		t.Errorf("resumed: %+v", s)
	}
}

// The public address keeps a log of who was answered by whom, without what may be
// secret in a request.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "x")
	url := strings.TrimSpace(w.must(0, "up", "--level", "2", "--yes").out)
	get(t, url+"/api/entries?token=hidden")
	get(t, url+"/nothing%0Ahere")
	r := w.must(0, "logs", "entry-use1-g1")
	for _, want := range []string{"GET /api/entries 200 ", "ms web-blue-use1-g1 127.0.0.1:", "GET /nothing%0Ahere 404 ", "static-use1-g1 127.0.0.1:"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("the log has no %q: %s", want, r)
		}
	}
	if strings.Contains(r.out, "hidden") {
		t.Errorf("the log has what may be a secret: %s", r)
	}
}

// A secret's new value is a change like any other: new instances beside the old.
func TestANewSecretIsRolledOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(strings.Replace(web, "env: {", "secrets: [API_KEY]\n    env: {", 1))
	w.write("public/index.html", "x")
	w.env = []string{"API_KEY=one"}
	w.must(0, "up", "--level", "2", "--yes")
	w.env = []string{"API_KEY=two"}
	p := w.plan()
	if len(p.Steps) != 4 || p.Steps[0].ID != "expand" || p.Downtime != 0 {
		t.Fatalf("plan: %+v", p.Steps)
	}
	w.must(0, "up", "--yes")
	w.env = nil
	w.must(0, "preview", "--detailed-exitcode")
	b, err := os.ReadFile(filepath.Join("/proc", itoa(component(w.status(), "web-green-use1-g1-1").PID), "environ"))
	if err != nil || !strings.Contains(string(b), "API_KEY=two") {
		t.Errorf("the new instance has %q %v", b, err)
	}
}
