package aws_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// Files are there before anything fetches them and migrations have run before a release
// takes requests, at every level; a plan does neither.
func TestFilesAndMigrationsComeFirst(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.app.Services[0].Migrate = []string{"./migrate", "--all"}
	w.app.Static.Release = ""
	w.open()
	w.to(1)
	if n := w.did("publish"); n == 0 {
		t.Error("the node's files were never published")
	}
	for _, level := range []int{2, 3} {
		before := len(w.cloud.Calls())
		if _, err := w.env.Plan(t.Context(), goal(level), nil); err != nil {
			t.Fatal(err)
		}
		if now := w.cloud.Calls(); len(now) != before {
			t.Fatalf("a plan did %v", now[before:])
		}
		w.to(level)
		first := func(what string, is func(rehearsal.Operation) bool) int {
			t.Helper()
			i := slices.IndexFunc(w.cloud.Calls(), is)
			if i < 0 {
				t.Fatalf("until level %d nothing %s", level, what)
			}
			return i
		}
		made := func(name string) func(rehearsal.Operation) bool {
			return func(o rehearsal.Operation) bool {
				return o.Op == plan.Create && o.Type == "aws:ecs/service:Service" && strings.HasPrefix(o.Name, name)
			}
		}
		verb := func(op plan.Op) func(rehearsal.Operation) bool {
			return func(o rehearsal.Operation) bool { return o.Op == op }
		}
		if first("publishes", verb("publish")) > first("serves files", made("static-")) {
			t.Errorf("level %d: files are served before they are there", level)
		}
		if level == 2 && first("migrates", verb("run")) > first("serves", made("s0-")) {
			t.Errorf("level %d: a release serves before its migrations have run", level)
		}
	}
	if err := os.WriteFile(filepath.Join(w.app.Static.Dir, "new.html"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.to(3)
	if w.did("invalidate") != 1 {
		t.Error("the CDN was never told of new files")
	}
}

// A migration that fails stops the walk, and what served goes on.
func TestAFailedMigrationStopsTheWalk(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.app.Services[0].Migrate = []string{"./migrate"}
	w.open()
	w.to(2)
	w.app.Services[0].Image, w.app.Services[0].Release = "ghcr.io/acme/s0:2.0", "ghcr.io/acme/s0:2.0"
	w.open()
	w.cloud.Fault = func(_ int, o rehearsal.Operation) rehearsal.Fault {
		if o.Op == "run" {
			return rehearsal.Fails
		}
		return rehearsal.Works
	}
	if _, err := w.try(2); err == nil || !strings.Contains(err.Error(), "migrations of s0/ghcr.io/acme/s0:2.0") {
		t.Fatalf("got %v", err)
	}
	if err := w.target.Served(); err != nil {
		t.Error(err)
	}
	for _, r := range w.cloud.Things() {
		if r.Type == "aws:ecs/service:Service" && strings.HasPrefix(r.Name, "s0-") && r.Inputs["desiredCount"].NumberValue() > 0 {
			if def := fmt.Sprint(in(r, "taskDefinition")); strings.Contains(def, "2.0") {
				t.Errorf("the new release runs: %s", def)
			}
		}
	}
	w.cloud.Fault = nil
	w.open()
	w.to(2)
}

// did is how often something was done that is no resource.
func (w *world) did(op plan.Op) (n int) {
	for _, o := range w.cloud.Calls() {
		if o.Op == op {
			n++
		}
	}
	return n
}

// Images stay while the environment is down, and go with its data.
func TestImagesOutliveDown(t *testing.T) {
	const repository = "aws:ecr/repository:Repository images-s0"
	w := newWorld(t, 1, 1)
	w.to(2)
	w.to(0)
	if !slices.Contains(w.cloud.Names(), repository) {
		t.Error("what is down has lost its images")
	}
	w.to(-1)
	if slices.Contains(w.cloud.Names(), repository) {
		t.Error("the images are left")
	}
}
