//go:build unix

package cmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Everything that level 2 promises to do without downtime, under load.
func TestNothingIsDroppedOnTheWay(t *testing.T) {
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "1", "--yes").out)
	database := component(w.status(), "db-use1-g1").PID
	l := startLoad(url)
	defer l.stop()
	span := time.Now()
	eventually(t, "the load has run for three seconds", func() bool { return time.Since(span) > 3*time.Second })
	before := l.p99(span.Add(time.Second), time.Now())

	w.journey(l, before)
	l.stop()
	l.check(t, w)
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
	newer := w.newer()
	step("to a newer agent", func() {
		c := w.command("up", "--yes")
		c.Path = newer
		if r := finish(w.t, c); r.code != 0 {
			w.t.Fatalf("up by a newer scale: %s", r)
		}
	})
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
