//go:build unix

package cmd_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Under load from both regions: replicas come and go, a distant user reads at the
// region's own latency and sees what was written, and a replica that dies follows again.
func TestLevel4IsReachedAndLeftUnderLoad(t *testing.T) {
	w := newWorld(t)
	w.project(atlantic)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "3", "--yes").out)
	near := at(t, url, "127.0.1.2")
	database := component(w.status(), "db-use1-g1").PID
	home, far := startLoad(url), startLoad(near)
	defer home.stop()
	defer far.stop()
	w.must(0, "up", "--level", "4", "--yes")
	behind := func() string { return component(w.status(), "db-euw1-g1").Detail }
	eventually(t, "status says how far the replica is behind", func() bool { return strings.Contains(behind(), "its leader") })
	w.must(0, "up", "--level", "3", "--yes")
	w.must(0, "up", "--level", "4", "--yes")
	far.stop()
	home.stop()

	replica := component(w.status(), "db-euw1-g1").PID
	if err := syscall.Kill(replica, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	sign(t, url, "Ada")
	eventually(t, "the replica runs again and has what was written meanwhile", func() bool {
		c := component(w.status(), "db-euw1-g1")
		return c.PID != replica && c.Healthy && behind() == "has all that its leader has"
	})
	eventually(t, "and eu-west-1 reads it", func() bool { return names(t, near)[0] == "Ada" })
	began := time.Now()
	names(t, near)
	if took := time.Since(began); took > 60*time.Millisecond {
		t.Errorf("a read in eu-west-1 took %s: it went to the leader, 71 ms away", took)
	}
	home.check(t, w)
	far.check(t, w)
	if pid := component(w.status(), "db-use1-g1").PID; pid != database {
		t.Errorf("the leader was restarted: pid %d, then %d", database, pid)
	}
	w.must(0, "up", "--level", "1", "--yes")
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")
	if _, err := os.Stat(w.home); err == nil {
		t.Error("something is left")
	}
}
