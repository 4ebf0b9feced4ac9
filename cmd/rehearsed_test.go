//go:build unix

package cmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	dir := filepath.Join(t.TempDir(), "infra")
	ok(dir, "eject", "--rehearse", "--dir", dir)
	if r := w.scale("up", "--rehearse", "--target", "local", "--yes"); r.code != 3 {
		t.Errorf("a rehearsal of this machine: %s", r)
	}
	ok("is gone", "down", "--rehearse", "--delete-data", "--confirm", "dev", "--yes")
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
