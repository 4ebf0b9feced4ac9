//go:build unix

package cmd_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scale-levels/scale/internal/fault"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/contract"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// What runs on AWS, in two regions.
const cloudy = `name: shop
domain: shop.example.com
services:
  web: {image: "ghcr.io/acme/web:1.0", health: /healthz, routes: [/api], env: {GREETING: old}}
static: {dir: public, route: /static}
database: {}
files: true
regions: [us-east-1, eu-west-1]
environments:
  dev: {target: aws}
`

// A rehearsal as a person goes through it: no credentials, nothing real, kept, looked
// at, gone on with, taken down.
func TestRehearsalIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("public/index.html", "x")
	w.project(cloudy)
	ok := func(says string, args ...string) string {
		t.Helper()
		r := w.scale(args...)
		if r.code != 0 || !strings.Contains(r.String(), says) {
			t.Fatalf("scale %v: exit code %d, want %q in %s", args, r.code, says, r)
		}
		return r.String()
	}
	ok("account 123456789012, us-east-1", "up", "--rehearse", "--level", "1", "--yes")
	ok("at level 1", "status", "--rehearse")
	ok("from level 1 to level 4", "preview", "--rehearse", "--level", "4")
	ok("a month", "cost", "--rehearse", "--level", "4")
	ok("answers at level 4", "up", "--rehearse", "--level", "4", "--yes")
	ok("nothing has changed outside", "drift", "--rehearse")
	ok("level 4 → 4: 0 to create, 0 to update, 0 to replace, 0 to delete", "rehearse", "--rehearse", "--here", "--to", "5")
	ok("at level 4", "status", "--rehearse")
	dir := filepath.Join(t.TempDir(), "infra")
	ok(dir, "eject", "--rehearse", "--dir", dir)
	if r := w.scale("up", "--rehearse", "--target", "local", "--yes"); r.code != 3 {
		t.Errorf("a rehearsal of this machine: %s", r)
	}
	if r := w.scale("cost", "--rehearse", "--usage", "egress=lots"); r.code != 3 || !strings.Contains(r.err, "egress=500") {
		t.Errorf("a usage that is none: %s", r)
	}
	ok("1000 GB a month to users", "cost", "--rehearse", "--usage", "egress=1000")
	ok("left: arn:aws:rds:us-east-1:123456789012:db:shop-dev-db-use1-g1", "down", "--rehearse", "--yes")
	ok("snapshot:shop-dev-db-use1-g1-final", "down", "--rehearse", "--delete-data", "--confirm", "dev", "--yes")
	if left, _ := os.ReadDir(w.home); len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
	var told struct {
		Walks []struct{ From, To int }
		Lost  int
		Left  []struct{ Kind string }
	}
	r := w.scale("rehearse", "--to", "2", "--and-back", "--json")
	if err := json.Unmarshal([]byte(r.out), &told); err != nil || r.code != 0 {
		t.Fatalf("%v: %s", err, r)
	}
	if len(told.Walks) != 5 || told.Lost != 0 {
		t.Errorf("%+v", told)
	}
}

// account is what stands in the rehearsed account, as its file has it.
func (w *world) account() *rehearsal.Cloud {
	w.t.Helper()
	c := aws.NewRehearsal()
	if err := c.Keep(stacks.Home(w.home).Rehearsal().Account("shop", "dev")); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// standing are the ids of what stands, by type and name; those of what holds data.
func standing(c *rehearsal.Cloud) (all, holds map[string]string) {
	all, holds = map[string]string{}, map[string]string{}
	for _, t := range c.Things() {
		if strings.Contains(t.Type, "snapshot:") { // they carry the time of their walk
			continue
		}
		key := t.Type + " " + t.Name
		if all[key] != "" {
			key += " twice"
		}
		all[key] = t.ID
		if aws.Holds(t) {
			holds[key] = t.ID
		}
	}
	return all, holds
}

// everyNth are some of the marks.
func everyNth(marks []string, n int) (some []string) {
	for i := 17 % n; i < len(marks); i += n {
		some = append(some, marks[i])
	}
	return some
}

// middles are a mark in the middle of each step: a step ends before its gate.
func middles(marks []string) (some []string) {
	begun := 0
	for i, m := range marks {
		if strings.HasPrefix(m, fault.Gate) {
			some, begun = append(some, marks[(begun+i)/2]), i+1
		}
	}
	return some
}

// A walk on AWS that is killed at any moment leads users to what answers and loses no
// data, and the next run ends where the walk would have: nothing made twice. By default it is killed
// in the middle of each step on the way up, and at a few moments on the way down.
func TestRehearsedWalkKilledAnywhere(t *testing.T) {
	t.Parallel()
	every := 701
	if os.Getenv("SCALE_TEST_EVERY") == "1" {
		every = 1
	}
	for _, walk := range [][2]string{{"1", "5"}, {"5", "1"}} {
		prepare := func(t *testing.T) *world {
			w := newWorld(t)
			w.write("public/index.html", "x")
			w.project(cloudy)
			w.must(0, "up", "--rehearse", "--level", walk[0], "--yes")
			return w
		}
		to := []string{"up", "--rehearse", "--level", walk[1], "--yes"}
		first := prepare(t)
		marks := first.marks(to...)
		if len(marks) < 500 {
			t.Fatalf("the walk from %s to %s passes too few marks: %d", walk[0], walk[1], len(marks))
		}
		wanted, _ := standing(first.account())
		chosen := everyNth(marks, every)
		if every > 1 && walk[0] < walk[1] {
			chosen = middles(marks)
		}
		for _, mark := range chosen {
			t.Run(strings.Join([]string{walk[0], walk[1], mark}, "-"), func(t *testing.T) {
				t.Parallel()
				w := prepare(t)
				_, held := standing(w.account())
				w.killedAt(mark, to...)
				cloud := w.account()
				if err := aws.New(aws.Config{Domain: "shop.example.com", Rehearsal: cloud}).Served(); err != nil {
					t.Errorf("after the kill: %v", err)
				}
				kept(t, held, cloud)
				w.must(0, to...)
				w.must(0, "preview", "--rehearse", "--detailed-exitcode")
				kept(t, held, w.account())
				got, _ := standing(w.account())
				if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(wanted)); !slices.Equal(a, b) {
					t.Errorf("%d things stand where %d should: %v", len(a), len(b), contract.Difference(a, b))
				}
			})
		}
	}
}

// kept checks that what held data stands as it did.
func kept(t *testing.T, held map[string]string, c *rehearsal.Cloud) {
	t.Helper()
	_, now := standing(c)
	for what, id := range held {
		if now[what] != id {
			t.Errorf("%s was %s and is %q", what, id, now[what])
		}
	}
}
