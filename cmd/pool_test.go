//go:build unix

package cmd_test

import (
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// lent puts a pool of connections, which lends them for a transaction, before a project's databases.
func lent(yaml string) string {
	return strings.Replace(yaml, "size: small}", "size: small, pool: transaction}", 1)
}

// as connects to what an application's variable leads to, but to another database or as
// somebody else.
func as(t *testing.T, at string, change func(*url.URL)) (*pgx.Conn, error) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	c, err := pgx.ParseConfig(u.String())
	if err != nil {
		t.Fatal(err)
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(t.Context(), c)
}

// A pool of connections comes and goes under load, and nobody notices; with it the database
// sees few connections, whoever has a password gets into their own database only, and one
// that dies comes back.
func TestAPoolOfConnections(t *testing.T) {
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "<h1>hello</h1>")
	at := strings.TrimSpace(w.must(0, "up", "--level", "2", "--yes").out)
	l := startLoad(at)
	defer l.stop()
	w.project(lent(web))
	w.must(0, "up", "--yes")
	if !component(w.status(), "pooler-transaction-use1-g1").Healthy {
		t.Fatalf("the pool does not stand: %v", w.status())
	}
	instance := w.serving("web")
	leads := w.environment(instance, "DATABASE_URL")
	if direct := w.environment(instance, "DATABASE_DIRECT_URL"); direct == "" || direct == leads || w.environment(instance, "DATABASE_POOL") != "transaction" {
		t.Errorf("DATABASE_URL is %s, and past the pool leads %s", leads, direct)
	}
	c, err := as(t, w.environment(instance, "DATABASE_DIRECT_URL"), func(*url.URL) {})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	var seen int
	if err := c.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND pid <> pg_backend_pid()").Scan(&seen); err != nil || seen == 0 || seen > 20 {
		t.Errorf("the database sees %d connections (%v)", seen, err)
	}
	w.project(strings.Replace(lent(web), "pool: transaction", "pool: session", 1))
	if p := w.plan(); len(p.Steps) < 3 {
		t.Errorf("another kind of pool comes in %d steps", len(p.Steps))
	}
	w.must(0, "up", "--yes")
	w.project(web)
	w.must(0, "up", "--yes")
	l.stop()
	l.check(t, w)
	for _, c := range w.status().Components {
		if c.Kind == "pooler" {
			t.Errorf("%s is still there", c.Name)
		}
	}

	w.project(lent(web))
	w.must(0, "up", "--yes")
	pid := component(w.status(), "pooler-transaction-use1-g1").PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pool is there again", func() bool {
		c := component(w.status(), "pooler-transaction-use1-g1")
		return c.PID != pid && c.Healthy
	})
	eventually(t, "writes are taken again", func() bool {
		code, _ := post(t, at+"/api/entries", `{"name":"Ada","message":"hello"}`)
		return code == 201
	})
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")
}

// With replicas: each region has a pool, the lead goes elsewhere behind it, and at level 5 a
// service does not get into another's database by it.
func TestAPoolOfConnectionsFollowsTheLead(t *testing.T) {
	w := newWorld(t)
	w.project(lent(own) + "regions: [us-east-1, eu-west-1]\n")
	w.write("public/index.html", "<h1>hello</h1>")
	home := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	near := at(t, home, "127.0.1.2")
	eventually(t, "the replica follows", func() bool {
		return component(w.status(), "db-euw1-g1").Detail == "has all that its leader has"
	})
	l := startWriting(home, near)
	w.must(0, "failover", "--to", "eu-west-1", "--yes")
	eventually(t, "writes are taken again in both regions", func() bool { return l.writes(2, 200*time.Millisecond) })
	l.stop()
	l.check(t, w, near) // where who leads is read
	if p := w.plan(); !p.Empty() {
		t.Errorf("after the failover 'up' would change %v", p.Changes())
	}
	w.must(0, "failover", "--to", "us-east-1", "--yes")
	w.must(0, "up", "--level", "5", "--yes")
	mine := w.environment(w.serving("web"), "DATABASE_URL")
	if c, err := as(t, mine, func(*url.URL) {}); err != nil {
		t.Errorf("web does not get into its own database: %v", err)
	} else {
		_ = c.Close(t.Context())
	}
	if c, err := as(t, mine, func(u *url.URL) { u.Path = "/likes-db" }); err == nil {
		_ = c.Close(t.Context())
		t.Error("web got into the database of likes")
	}
	sign(t, near, "Grace")
	w.must(0, "up", "--level", "1", "--yes")
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")
}
