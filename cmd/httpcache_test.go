//go:build unix

package cmd_test

import (
	"net/http"
	"strings"
	"testing"
)

// An HTTP cache comes and goes before the load balancer under load, and answers what it may
// until it is told to forget.
func TestAnHTTPCacheAtLevel2(t *testing.T) {
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "<h1>hello</h1>")
	at := strings.TrimSpace(w.must(0, "up", "--level", "2", "--yes").out)
	said := func() string {
		t.Helper()
		r, err := client.Get(at + "/index.html")
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", r, err)
		}
		_ = r.Body.Close()
		return r.Header.Get("Cache-Status")
	}
	if s := said(); s != "" {
		t.Fatalf("without a cache there is %q", s)
	}
	l := startLoad(at)
	defer l.stop()
	w.project("http_cache: true\n" + web)
	w.must(0, "up", "--yes")
	said()
	if s := said(); !strings.Contains(s, "hit") {
		t.Errorf("the second answer is %q", s)
	}
	w.must(0, "purge", "/index.html")
	if s := said(); strings.Contains(s, "hit") {
		t.Errorf("after it was purged it is %q", s)
	}
	w.must(0, "up", "--level", "3", "--yes")
	if s := said(); s == "" {
		t.Error("at level 3 there is no cache")
	}
	w.must(0, "up", "--level", "2", "--yes")
	w.project(web)
	w.must(0, "up", "--yes")
	if s := said(); s != "" {
		t.Errorf("when it has gone there is %q", s)
	}
	l.stop()
	l.check(t, w)
}
