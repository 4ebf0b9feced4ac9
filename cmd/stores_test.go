//go:build unix

package cmd_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestDoctorLooksAtTheApplication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(".gitignore", "cranky\n*.dat\n*.db\n")
	w.cranky("")
	w.must(3, "doctor", "--app") // nothing runs
	w.must(0, "up", "--yes")
	if r := w.must(0, "doctor", "--app"); strings.Count(r.out, "✓") != 3 || !strings.Contains(r.out, "--path") {
		t.Errorf("a good application: %s", r)
	}
	w.cranky("alone")
	w.must(0, "up", "--yes")
	r := w.must(1, "doctor", "--app")
	for _, want := range []string{"uploads.dat", "files: true", "app.db is a SQLite database", "DATABASE_URL", "the cookie session of /", "SESSION_URL"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("the doctor does not say %q: %s", want, r)
		}
	}
	eventually(t, "the second instance is gone", func() bool {
		n := 0
		for _, pid := range mentioning(w.home) {
			if args, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "cmdline")); strings.HasSuffix(string(args), "/cranky\x00") {
				n++
			}
		}
		return n == 1
	})
	// And the way to level 2 is refused before anything starts.
	r = w.must(3, "up", "--level", "2", "--yes")
	if !strings.Contains(r.err, "files: true") || !strings.Contains(r.err, "beside its code") {
		t.Errorf("the refusal: %s", r)
	}
	w.write("scale.yaml", w.yaml()+"files: false\n")
	w.must(0, "up", "--level", "2", "--yes")
}

// Sessions and the count of visits live off the node, and survive every walk.
func TestSessionsLiveOffTheNode(t *testing.T) {
	t.Parallel()
	if !installed("redis-server") && !installed("valkey-server") {
		t.Skip("neither valkey-server nor redis-server is installed: '.ci/tools redis' installs one")
	}
	w := newWorld(t)
	w.project(web + "sessions: true\n")
	w.write("public/index.html", "x")
	url := strings.TrimSpace(w.must(0, "up", "--level", "1", "--yes").out)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	visitor := &http.Client{Jar: jar, Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	visits := 0
	visit := func() {
		t.Helper()
		for range 4 { // of level 2's two instances each is met
			visits++
			resp, err := visitor.Get(url + "/api/visits")
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := fmt.Sprintf(`{"visits":%d}`, visits); err != nil || strings.TrimSpace(string(b)) != want {
				t.Fatalf("got %s %v, want %s", b, err, want)
			}
		}
	}
	visit()
	w.must(0, "up", "--level", "2", "--yes")
	visit()
	old := component(w.status(), "sessions-use1-g1").PID
	if !slices.Contains(mentioning(w.home), old) {
		t.Error("the store hides the environment by which it is known to be ours")
	}
	eventually(t, "what was written is on disk", func() bool { // within a second, by the store's own rule
		b, err := os.ReadFile(filepath.Join(w.home, "environments/shop/dev/local/data/sessions-use1-g1-data/appendonlydir/appendonly.aof.1.incr.aof"))
		return err == nil && strings.Count(string(b), "incr") >= 8
	})
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session store is back", func() bool {
		c := component(w.status(), "sessions-use1-g1")
		return c.Healthy && c.PID != old
	})
	visit()
	w.must(0, "down", "--yes")
	w.must(0, "up", "--level", "1", "--yes")
	visit()
}
