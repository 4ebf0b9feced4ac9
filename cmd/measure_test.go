//go:build unix

package cmd_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
)

// Two levels are measured beside what stands, which nobody touches, and nothing is left.
func TestCompare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(atlantic)
	w.write("public/index.html", "<h1>hello</h1>")
	w.must(0, "up", "--level", "1", "--yes")
	before := pids(w.status())
	if r := w.must(0, "compare", "2", "3"); !strings.Contains(r.out, "load balancer") || !strings.Contains(r.out, "a distant user gets files from near by") {
		t.Errorf("two levels: %s", r)
	}
	r := w.must(0, "compare", "2", "3", "/", "--measure", "--rate", "20", "--for", "2s", "--json")
	var c view.Comparison
	if err := json.Unmarshal([]byte(r.out), &c); err != nil || len(c.Measured) != 2 {
		t.Fatalf("%v: %s", err, r)
	}
	near := func(b plan.Bench, region string) plan.Users {
		return b.Users[slices.IndexFunc(b.Users, func(u plan.Users) bool { return u.Region == region })]
	}
	if two, three := near(c.Measured[0], "eu-west-1"), near(c.Measured[1], "eu-west-1"); two.P50 < 71 || three.P50 > 60 || two.Errors+three.Errors > 0 {
		t.Errorf("a distant user's file at level 2: %+v, at level 3: %+v", two, three)
	}
	if after := pids(w.status()); !maps.Equal(before, after) {
		t.Errorf("what stood was touched: %v, then %v", before, after)
	}
	if _, err := os.Stat(w.home + "/environments/shop/dev-compare"); !os.IsNotExist(err) {
		t.Errorf("the environment that was measured is left: %v", err)
	}
	for _, bad := range []struct {
		args []string
		says string
	}{
		{[]string{"compare", "2"}, "compare takes two levels"},
		{[]string{"compare", "2", "9"}, "level 9 does not exist"},
		{[]string{"compare", "2", "three"}, "is not a level"},
		{[]string{"compare", "2", "3", "--measure", "--rate", "0"}, "is not from 1 to 2000"},
	} {
		if r := w.must(3, bad.args...); !strings.Contains(r.err, bad.says) {
			t.Errorf("%v: %s", bad.args, r)
		}
	}
}

// A bench asks as the users of each region do: what is stored at their edge is near, what
// is written goes to the leader, and both are told.
func TestBenchAndChaos(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(atlantic)
	w.write("public/index.html", "<h1>hello</h1>")
	if r := w.must(3, "bench"); !strings.Contains(r.err, "nothing stands that could be asked") {
		t.Errorf("a bench of nothing: %s", r)
	}
	chart := t.TempDir() + "/bench.html" // beside the code it would be a change of it
	url := strings.TrimSpace(w.must(0, "up", "--level", "3", "--yes").out)
	command := []string{"bench"}
	bench := func(args ...string) plan.Bench {
		t.Helper()
		var b plan.Bench
		r := w.must(0, slices.Concat(command, args, []string{"--json", "--rate", "20"})...)
		if err := json.Unmarshal([]byte(r.out), &b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := bench("/", "--chart", chart, "--for", "2s")
	if len(b.Users) != 2 || b.Level != 3 {
		t.Fatalf("%+v", b)
	}
	for _, u := range b.Users {
		if u.Requests < 30 || u.Codes["200"] != u.Requests || u.Hits < 0.5 || u.P50 > 60 {
			t.Errorf("a file: %+v", u)
		}
	}
	if page, err := os.ReadFile(chart); err != nil || !strings.Contains(string(page), "from the edge") {
		t.Errorf("the chart: %v", err)
	}
	b = bench(`POST /api/entries {"name":"bench","message":"hello"}`, "--from", "eu-west-1", "--for", "2s")
	if u := b.Users[0]; len(b.Users) != 1 || u.Region != "eu-west-1" || u.Requests < 30 || u.Codes["201"] != u.Requests || u.P50 < 71 || u.Hits > 0 {
		t.Errorf("writes from afar: %+v", u)
	}
	wrote := b.Users[0].Requests
	if n := len(w.entries(url)); n != wrote {
		t.Errorf("%d entries were written, and the guestbook has %d", wrote, n)
	}
	if b.WAN < int64(100*wrote) || b.Transactions["db-use1-g1"] < int64(wrote/2) {
		t.Errorf("%d writes from afar: %d bytes between regions, transactions %v", wrote, b.WAN, b.Transactions)
	}
	if u := bench("/api/nothing", "--from", "us-east-1", "--for", "2s").Users[0]; u.Requests == 0 || u.Errors != u.Requests || u.Codes["404"] != u.Requests {
		t.Errorf("what is not there: %+v", u)
	}
	phases := func(args ...string) map[string]plan.Users {
		t.Helper()
		met := map[string]plan.Users{}
		for _, u := range bench(args...).Users {
			met[u.Phase] = u
		}
		return met
	}
	command = []string{"chaos"}
	met := phases("drop", "eu-west-1", "/api/entries", "--from", "eu-west-1", "--for", "6s")
	if u := met["meanwhile"]; u.Errors == 0 || u.Codes["200"] == 0 || !strings.Contains(u.Address, "127.0.1.1") {
		t.Errorf("users of a region that is gone are led elsewhere within two seconds: %+v", u)
	}
	if before, after := met["before"], met["after"]; before.Errors > 3 || after.Codes["200"] == 0 { // those under way when it begins are lost too
		t.Errorf("before %+v, after %+v", before, after)
	}
	met = phases("slow", "db-use1-g1-from-eu-west-1", "--by", "200ms", `POST /api/entries {"name":"slow","message":"hello"}`, "--from", "eu-west-1", "--for", "3s")
	if before, meanwhile, after := met["before"], met["meanwhile"], met["after"]; meanwhile.P50 < 271 || after.Errors+before.Errors+meanwhile.Errors > 0 {
		t.Errorf("a link of 71 ms that takes 200 ms longer: before %+v, meanwhile %+v, after %+v", before, meanwhile, after)
	}
	met = phases("kill", "web-blue-use1-g1-1", "/api/entries", "--from", "us-east-1", "--for", "3s")
	if u := met["meanwhile"]; u.Errors > 0 || u.Requests == 0 || component(w.status(), "web-blue-use1-g1-1").Restarts != 1 {
		t.Errorf("the death of a backend costs no request that may be repeated: %+v", u)
	}
	pid := component(w.status(), "web-blue-use1-g1-1").PID
	met = phases("stop", "web-blue-use1-g1-1", "/api/entries", "--from", "us-east-1", "--for", "6s")
	if before, meanwhile, after := met["before"], met["meanwhile"], met["after"]; meanwhile.Max < 3000 || meanwhile.P50 > 1000 || meanwhile.Errors+before.Errors+after.Errors > 0 {
		t.Errorf("a backend that hangs keeps who asked it waiting, and nobody else: before %+v, meanwhile %+v, after %+v", before, meanwhile, after)
	}
	eventually(t, "the backend that hung goes on", func() bool {
		c := component(w.status(), "web-blue-use1-g1-1")
		return c.Healthy && c.PID == pid && c.Restarts == 1
	})
	if p := w.plan(); !p.Empty() {
		t.Errorf("afterwards 'up' would change %v", p.Changes())
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"bench", "--from", "eu-west-2"}, "there are no users in eu-west-2"},
		{[]string{"bench", "http://example.com/"}, "is no request"},
		{[]string{"bench", "--rate", "100000"}, "is not from 1 to 2000"},
		{[]string{"bench", "--for", "24h"}, "is not from 1s to"},
		{[]string{"chaos"}, "chaos needs to know what is to go wrong"},
		{[]string{"chaos", "cut", "db-use1-g1"}, "there is no link called db-use1-g1"},
		{[]string{"chaos", "kill", "entry-use1-g1"}, "there is no process called entry-use1-g1"},
		{[]string{"chaos", "slow", "db-use1-g1-from-eu-west-1", "--by", "2h"}, "is not from 1ms to 1m"},
		{[]string{"chaos", "drop", "eu-west-3"}, "nothing stands in a region eu-west-3"},
		{[]string{"bench", "--chart", chart}, "the chart cannot be written"},
	} {
		if r := w.must(3, c.args...); !strings.Contains(r.err, c.says) {
			t.Errorf("%v: %s", c.args, r)
		}
	}
}
