//go:build unix

package cmd_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestSavedPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "one")
	w.must(0, "preview", "--out", "first.json")
	w.must(0, "up", "--plan", "first.json", "--yes")
	if r := w.must(3, "up", "--plan", "first.json", "--yes"); !strings.Contains(r.err, "stale") {
		t.Errorf("a plan that was taken: %s", r)
	}
	w.write("public/index.html", "two")
	w.must(0, "preview", "--out", "second.json")
	w.write("public/index.html", "three")
	if r := w.must(3, "up", "--plan", "second.json", "--yes"); !strings.Contains(r.err, "stale") {
		t.Errorf("a plan of other files: %s", r)
	}
	if r := w.must(3, "up", "--plan", "scale.yaml", "--yes"); !strings.Contains(r.err, "is not a plan") {
		t.Errorf("no plan at all: %s", r)
	}
}

func TestUpAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := time.Now().Add(3 * time.Second).Truncate(time.Second)
	r := w.must(0, "up", "--yes", "--at", at.Format(time.RFC3339))
	if !strings.Contains(r.err, "Waiting until") || time.Now().Before(at) {
		t.Fatalf("%s", r)
	}
}

func TestMaintenanceWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now().UTC()
	// Open in two hours, for an hour: closed while this test runs.
	window := fmt.Sprintf("daily %02d:00-%02d:00 UTC", (now.Hour()+2)%24, (now.Hour()+3)%24)
	w.project(web + "maintenance: {window: " + window + "}\n")
	w.write("public/index.html", "one")
	url := strings.TrimSpace(w.must(0, "up", "--yes").out) // nothing stands: no downtime, no waiting
	w.write("public/index.html", "two")
	w.must(0, "up", "--yes") // static files need no downtime either
	w.project(strings.Replace(w.yaml(), "hello", "goodbye", 1))
	if p := w.plan(); p.Starts == nil || !strings.Contains(p.Why, window) || p.Downtime == 0 {
		t.Fatalf("plan: %+v", p)
	}
	c := w.command("up", "--yes")
	var errs strings.Builder
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", func() bool { return strings.Contains(w.scale("lock", "status").out, "which lives") })
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if c.ProcessState.ExitCode() != 130 {
		t.Fatalf("cancelled while waiting: %s", errs.String())
	}
	w.must(2, "preview", "--detailed-exitcode") // nothing was changed
	w.must(0, "up", "--yes", "--now")
	w.must(0, "preview", "--detailed-exitcode")
	if code, _ := get(t, url+"/healthz"); code != http.StatusOK {
		t.Fatalf("afterwards: %d", code)
	}
}

// A change that does not work goes back to what stood before, which answers again.
func TestAFailedChangeGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "x")
	url := strings.TrimSpace(w.must(0, "up", "--yes").out)
	sign(t, url, "kept")
	w.project(strings.Replace(w.yaml(), "serve]", "srve]", 1))
	r := w.must(7, "up", "--yes")
	for _, s := range []string{`unknown command "srve"`, "rolled back"} {
		if !strings.Contains(r.err, s) {
			t.Errorf("does not say %q: %s", s, r)
		}
	}
	sign(t, url, "again")
	if s := w.status(); s.State != "up" || s.Walk != "" {
		t.Errorf("status: %+v", s)
	}
	if h := w.must(0, "history"); !strings.Contains(h.out, "rolled back") {
		t.Errorf("history: %s", h)
	}
	w.must(2, "preview", "--detailed-exitcode") // scale.yaml still asks for it
	w.project(web)
	w.must(0, "preview", "--detailed-exitcode")
}
