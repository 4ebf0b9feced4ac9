//go:build unix

package cmd_test

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scale-levels/scale/internal/plan"
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

// A planned failover under load loses nothing that was acknowledged; reads go on, and
// writes fail only until the new leader takes them. The old leader takes none, not even
// when somebody starts it, and the way back is the same.
func TestFailoverUnderLoad(t *testing.T) {
	w := newWorld(t)
	w.project(atlantic)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	near := at(t, url, "127.0.1.2")
	server := w.server("db-use1-g1")
	eventually(t, "the replica follows", func() bool {
		return component(w.status(), "db-euw1-g1").Detail == "has all that its leader has"
	})
	l := startWriting(url, near)
	for _, to := range []string{"eu-west-1", "us-east-1"} {
		w.must(0, "failover", "--to", to, "--yes")
		eventually(t, "writes are taken again in both regions", func() bool { return l.writes(2, 200*time.Millisecond) })
		if p := w.plan(); !p.Empty() {
			t.Errorf("after the failover 'up' would change %v", p.Changes())
		}
	}
	l.stop()
	l.check(t, w, url)
	if r := w.must(3, "failover", "--to", "us-east-1", "--yes"); !strings.Contains(r.err, "already") {
		t.Errorf("a failover to who leads: %s", r)
	}

	// The files of the leader before, as somebody would start a server on them.
	retired := w.home + "/environments/shop/dev/local/data/db-euw1-g1-data.retired"
	if said := w.writesTo(server, retired); !strings.Contains(said, "read-only") {
		t.Errorf("the fenced leader says to a write: %s", said)
	}
}

// A leader that cannot be started is left behind: what may be lost is said before, and
// what the replica has is served.
func TestFailoverFromADeadLeader(t *testing.T) {
	w := newWorld(t)
	w.project(atlantic)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	sign(t, url, "Ada")
	near := at(t, url, "127.0.1.2")
	eventually(t, "the replica has it", func() bool { return len(names(t, near)) == 1 })
	w.killForGood("db-use1-g1")
	r := w.must(0, "failover", "--to", "eu-west-1", "--yes")
	if !strings.Contains(r.err, "db-use1-g1 does not run: what it acknowledged and db-euw1-g1 does not have is not taken along") {
		t.Errorf("what may be lost is not said: %s", r)
	}
	for _, u := range []string{url, near} {
		sign(t, u, "Grace")
	}
	if ns := names(t, near); len(ns) != 3 || ns[2] != "Ada" {
		t.Errorf("the guestbook has %v", ns)
	}
	eventually(t, "the old leader follows", func() bool {
		return component(w.status(), "db-use1-g1").Detail == "has all that its leader has"
	})
}

// A failover that is killed anywhere is taken back or finished by the next run, and at
// no time do two lead.
func TestFailoverKilledAnywhere(t *testing.T) {
	w := newWorld(t)
	w.project(atlantic)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	regions := []string{"eu-west-1", "us-east-1"}
	signed := 0
	for i, mark := range []string{"journal:2", "journal:5", "gate:1", "journal:12", "journal:18", "gate:2", "journal:26", "gate:3"} {
		to := regions[i%2]
		next := map[string]string{"eu-west-1": "db-euw1-g1", "us-east-1": "db-use1-g1"}[to]
		eventually(t, next+" follows", func() bool { return component(w.status(), next).Detail == "has all that its leader has" })
		c := w.command("failover", "--to", to, "--yes")
		c.Env = append(c.Env, "SCALE_FAULT="+mark)
		if r := finish(t, c); r.code != -1 {
			t.Fatalf("%s: it was not killed: %s", mark, r)
		}
		if i%3 == 2 {
			w.must(0, "up", "--yes")
		} else {
			w.scale("failover", "--to", to, "--yes") // which may find that it is done
			w.must(0, "up", "--yes")
		}
		if p := w.plan(); !p.Empty() {
			t.Fatalf("%s: then there is still to do: %v", mark, p.Changes())
		}
		sign(t, url, "guest")
		signed++
		eventually(t, "both regions have it", func() bool { return len(names(t, url)) == signed && len(names(t, at(t, url, "127.0.1.2"))) == signed })
		eventually(t, to+" leads", func() bool { // for the next to lead elsewhere
			r := w.scale("failover", "--to", to, "--yes")
			return r.code == 0 || strings.Contains(r.err, "already")
		})
	}
}

// A leader that waits for its replica loses nothing that it acknowledged, however it dies;
// what it costs is a round trip for each write, and while no replica runs, writes wait.
func TestSynchronousReplicationLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.project(strings.Replace(atlantic, "size: small", "size: small, replication: sync", 1))
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	near := at(t, url, "127.0.1.2")
	writes := func(b plan.Bench) plan.Users { return b.Users[0] }
	bench := func(args ...string) (b plan.Bench) {
		t.Helper()
		r := w.must(0, append(args, `POST /api/entries {"name":"n","message":"hello"}`, "--from", "us-east-1", "--rate", "10", "--for", "3s", "--json")...)
		if err := json.Unmarshal([]byte(r.out), &b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	waits := writes(bench("bench"))
	if u := waits; u.Errors > 0 || u.P50 < 71 {
		t.Errorf("a write at home waits for the replica, 71 ms away: %+v", u)
	}
	for _, u := range bench("chaos", "stop", "db-euw1-g1").Users {
		if u.Errors > 0 || u.Phase == "meanwhile" && u.P50 < 1000 {
			t.Errorf("while the replica hangs, writes wait for it: %+v", u)
		}
	}

	// Back to level 3, where there is nobody to wait for, and up again.
	w.must(0, "up", "--level", "3", "--yes")
	if u := writes(bench("bench")); u.Errors > 0 || u.P50 > 60 {
		t.Errorf("at level 3 a write waits for nobody: %+v", u)
	} else {
		t.Logf("a write at home takes %.1f ms at the median, and %.1f ms where it waits for a replica", u.P50, waits.P50)
	}
	w.must(0, "up", "--level", "4", "--yes")
	w.must(0, "failover", "--to", "eu-west-1", "--yes")
	w.must(0, "failover", "--to", "us-east-1", "--yes")
	w.must(0, "down", "--yes")
	w.must(0, "up", "--level", "4", "--yes")
	if p := w.plan(); !p.Empty() {
		t.Fatalf("then 'up' would change %v", p.Changes())
	}

	l := startWriting(url, near)
	eventually(t, "writes are taken in both regions", func() bool { return l.writes(2, 200*time.Millisecond) })
	w.killForGood("db-use1-g1")
	r := w.must(0, "failover", "--to", "eu-west-1", "--yes")
	if !strings.Contains(r.err, "db-euw1-g1 has all that it acknowledged (database.replication: sync)") {
		t.Errorf("that nothing is lost is not said: %s", r)
	}
	eventually(t, "writes are taken again in both regions", func() bool { return l.writes(2, 400*time.Millisecond) })
	l.stop()
	l.reads = nil // a region whose own database is dead does not read until another leads
	l.check(t, w, url)
	if u := writes(bench("bench")); u.Errors > 0 || u.P50 < 71 {
		t.Errorf("the new leader waits for the old one: %+v", u)
	}
}

// With one arbiter that may, a leader that cannot be started is replaced without anybody
// being asked, one that crashes is not, and nothing is left to do afterwards.
func TestFailoverByItself(t *testing.T) {
	w := newWorld(t)
	w.project(strings.Replace(atlantic, "size: small", "size: small, replication: sync, failover: automatic", 1))
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	near := at(t, url, "127.0.1.2")
	decides := component(w.status(), "arbiter").PID
	if decides == 0 {
		t.Fatal("nobody decides")
	}
	leader := component(w.status(), "db-use1-g1").PID
	if err := syscall.Kill(-leader, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a leader that crashed leads again", func() bool {
		c := component(w.status(), "db-use1-g1")
		return c.Healthy && c.PID != leader
	})

	l := startWriting(url, near)
	eventually(t, "writes are taken in both regions", func() bool { return l.writes(2, 400*time.Millisecond) })
	died := time.Now()
	w.killForGood("db-use1-g1")
	eventually(t, "another leads, and both regions write to it", func() bool {
		return time.Since(died) > time.Second && l.writes(2, 400*time.Millisecond)
	})
	t.Logf("writes were taken again %.1f s after the leader died", time.Since(died).Seconds())
	l.stop()
	l.reads, l.longest = nil, time.Minute // a region whose own database is dead does not read until another leads
	l.check(t, w, url)
	eventually(t, "the old leader follows", func() bool {
		return component(w.status(), "db-use1-g1").Detail == "has all that its leader has" && w.status().State == "up"
	})
	if p := w.plan(); !p.Empty() {
		t.Errorf("afterwards 'up' would change %v", p.Changes())
	}
	if now := component(w.status(), "arbiter").PID; now != decides {
		t.Errorf("who decided was %d, and is %d", decides, now)
	}
	if r := w.must(0, "history"); !strings.Contains(r.out, "failover") {
		t.Errorf("the history does not tell of it: %s", r)
	}
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")
	w.gone()
}
