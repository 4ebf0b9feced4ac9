//go:build unix

package cmd_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/scale-levels/scale/internal/plan"
)

// A bench asks as the users of each region do: what is stored at their edge is near, what
// is written goes to the leader, and both are told.
func TestBench(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(atlantic)
	w.write("public/index.html", "<h1>hello</h1>")
	if r := w.must(3, "bench"); !strings.Contains(r.err, "nothing stands that could be asked") {
		t.Errorf("a bench of nothing: %s", r)
	}
	url := strings.TrimSpace(w.must(0, "up", "--level", "3", "--yes").out)
	bench := func(args ...string) plan.Bench {
		t.Helper()
		var b plan.Bench
		r := w.must(0, append([]string{"bench", "--json", "--rate", "20", "--for", "2s"}, args...)...)
		if err := json.Unmarshal([]byte(r.out), &b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := bench("/", "--chart", w.dir+"/bench.html")
	if len(b.Users) != 2 || b.Level != 3 {
		t.Fatalf("%+v", b)
	}
	for _, u := range b.Users {
		if u.Requests != 40 || u.Errors != 0 || u.Codes["200"] != 40 || u.Hits < 0.9 || u.P50 > 60 {
			t.Errorf("a file: %+v", u)
		}
	}
	if page, err := os.ReadFile(w.dir + "/bench.html"); err != nil || !strings.Contains(string(page), "from the edge") {
		t.Errorf("the chart: %v", err)
	}
	b = bench(`POST /api/entries {"name":"bench","message":"hello"}`, "--from", "eu-west-1")
	if u := b.Users[0]; len(b.Users) != 1 || u.Region != "eu-west-1" || u.Codes["201"] != 40 || u.P50 < 71 || u.Hits > 0 {
		t.Errorf("writes from afar: %+v", u)
	}
	if n := len(w.entries(url)); n != 40 {
		t.Errorf("40 entries were written, and the guestbook has %d", n)
	}
	if b.WAN < 40*100 || b.Transactions["db-use1-g1"] < 20 {
		t.Errorf("40 writes from afar: %d bytes between regions, transactions %v", b.WAN, b.Transactions)
	}
	if u := bench("/api/nothing", "--from", "us-east-1").Users[0]; u.Errors != 40 || u.Codes["404"] != 40 {
		t.Errorf("what is not there: %+v", u)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"bench", "--from", "eu-west-2"}, "level 3 has no users in eu-west-2"},
		{[]string{"bench", "http://example.com/"}, "is no request"},
		{[]string{"bench", "--rate", "100000"}, "is not from 1 to 2000"},
		{[]string{"bench", "--for", "24h"}, "is not from 1s to"},
		{[]string{"bench", "--chart", w.dir + "/bench.html"}, "the chart cannot be written"},
	} {
		if r := w.must(3, c.args...); !strings.Contains(r.err, c.says) {
			t.Errorf("%v: %s", c.args, r)
		}
	}
}
