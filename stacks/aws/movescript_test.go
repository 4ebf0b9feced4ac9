//go:build linux

package aws_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/scale-levels/scale/stacks/aws/program"
)

// server is a PostgreSQL of its own, as RDS would be one.
type server struct {
	*testing.T
	bin  string
	port int
	dir  string
}

func startServer(t *testing.T) *server {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if p, err := exec.LookPath("initdb"); err == nil {
		found = append(found, p)
	}
	if len(found) == 0 {
		t.Fatal("there is no PostgreSQL: make test installs it")
	}
	dir, err := os.MkdirTemp("", "scale-move-")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{T: t, bin: filepath.Dir(found[0]), dir: dir}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("secret of the admin"), 0o644); err != nil {
		t.Fatal(err)
	}
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(s.bin, name), args...)
		c.Dir, c.SysProcAttr, c.Env = dir, as, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "scale", "--auth=scram-sha-256", "--pwfile="+filepath.Join(dir, "password"), "--no-sync", "-E", "UTF8", "--locale=C.UTF-8").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_ = l.Close()
	serve := run("postgres", "-D", data, "-p", strconv.Itoa(s.port), "-k", "", "-c", "listen_addresses=127.0.0.1", "-c", "wal_level=logical", "-c", "fsync=off")
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGINT)
		_ = serve.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			_, err = c.Exec(ctx, "CREATE DATABASE app")
			_ = c.Close(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func (s *server) url(db string) string {
	return fmt.Sprintf("postgres://scale:secret%%20of%%20the%%20admin@127.0.0.1:%d/%s", s.port, db)
}

// sql is what one value comes to, or the error.
func (s *server) sql(statement string) string {
	s.Helper()
	c, err := pgx.Connect(s.Context(), s.url("app"))
	if err != nil {
		s.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(s.Context()))
	rs, err := c.PgConn().Exec(s.Context(), statement).ReadAll()
	if err != nil {
		return err.Error()
	}
	if last := rs[len(rs)-1]; len(last.Rows) > 0 {
		return string(last.Rows[0][0])
	}
	return ""
}

// moveTables runs the script as its task does, and returns what it said.
func moveTables(t *testing.T, from, to *server, tables string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "bash", append([]string{"-c", program.MoveScript, "move"}, args...)...)
	c.Env = []string{"PATH=" + from.bin + ":" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "KEY=scale_likes", "TABLES=" + tables, "DATABASE=app"}
	for name, s := range map[string]*server{"FROM": from, "TO": to} {
		c.Env = append(c.Env, name+"_HOST=127.0.0.1", fmt.Sprintf("%s_PORT=%d", name, s.port), name+"_USER=scale", name+"_PASSWORD=secret of the admin")
	}
	out, err := c.CombinedOutput()
	return string(out), err
}

// A service's tables go to another database and back on a real PostgreSQL, by the script that
// is a task on AWS: what was written before, while it was copied and since is there, and at any
// time one of the two takes writes.
func TestMoveScript(t *testing.T) {
	a, b := startServer(t), startServer(t)
	must := func(from, to *server, phase string) {
		t.Helper()
		if out, err := moveTables(t, from, to, "likes,sales.Fans", phase); err != nil {
			t.Fatalf("%s: %v\n%s", phase, err, out)
		}
	}
	fails := func(says, tables string, from, to *server) {
		t.Helper()
		if out, err := moveTables(t, from, to, tables, "copy"); err == nil || !strings.Contains(out, says) {
			t.Errorf("%q was not said: %v\n%s", says, err, out)
		}
	}
	like := func(s *server) string { return s.sql("INSERT INTO likes (who) VALUES ('x')") }
	a.sql(`CREATE TABLE likes (id bigserial PRIMARY KEY, who text NOT NULL); CREATE SCHEMA sales; CREATE TABLE sales."Fans" (id int PRIMARY KEY, likes bigint REFERENCES likes);
		INSERT INTO likes (who) SELECT 'user ' || i FROM generate_series(1, 1000) i; INSERT INTO sales."Fans" SELECT i, i FROM generate_series(1, 10) i;
		CREATE TABLE plain (x int); CREATE TABLE other (id int PRIMARY KEY, likes bigint REFERENCES likes)`)
	fails("no primary key", "plain", a, b)
	fails("do not stand by themselves", "likes,sales.Fans", a, b)
	fails("not all of", "likes,nowhere", a, b)
	a.sql("DROP TABLE other")
	if got := a.sql("SELECT count(*) FROM pg_replication_slots"); got != "0" {
		t.Errorf("what was refused left %s slots", got)
	}

	must(a, b, "copy")
	if got := b.sql("SELECT count(*) FROM likes"); got != "1000" {
		t.Fatalf("the copy has %s", got)
	}
	if got := like(b); !strings.Contains(got, "takes no writes here") {
		t.Errorf("the copy took a write: %q", got)
	}
	for range 100 {
		if got := like(a); got != "" {
			t.Fatal(got)
		}
	}
	must(a, b, "copy") // again: it is in step
	must(a, b, "switch")
	if got := b.sql("SELECT count(*) FROM likes"); got != "1100" {
		t.Errorf("there are %s", got)
	}
	if got := like(a); !strings.Contains(got, "takes no writes here") {
		t.Errorf("the old table took a write: %q", got)
	}
	if got := like(b); got != "" {
		t.Errorf("the new one took none: %s", got)
	}
	if got := b.sql("SELECT max(id) FROM likes"); got != "1101" {
		t.Errorf("the sequence went on at %s", got)
	}
	nothingLeft := func() {
		t.Helper()
		for name, s := range map[string]*server{"a": a, "b": b} {
			if got := s.sql("SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_subscription) + (SELECT count(*) FROM pg_roles WHERE rolname = 'scale_likes')"); got != "0" {
				t.Errorf("%s things are left in %s", got, name)
			}
		}
	}
	nothingLeft()
	must(a, b, "switch") // again: they have arrived
	must(b, a, "switch") // and back, at once
	if got := a.sql("SELECT count(*) FROM likes"); got != "1101" {
		t.Errorf("back there are %s", got)
	}
	if got := like(a); got != "" {
		t.Errorf("back none was taken: %s", got)
	}
	nothingLeft()

	// A copy that has a row too many goes nowhere.
	must(a, b, "copy")
	b.sql("SET session_replication_role = replica; INSERT INTO likes (id, who) VALUES (5000, 'nobody')")
	if out, err := moveTables(t, a, b, "likes,sales.Fans", "switch"); err == nil || !strings.Contains(out, "1102 10 rows, and the copy 1103 10") || !strings.Contains(out, "stay where they are") {
		t.Errorf("what was counted: %v\n%s", err, out)
	}
	if got := like(a); got != "" {
		t.Errorf("afterwards none was taken where they stayed: %s", got)
	}
	b.sql("SET session_replication_role = replica; DELETE FROM likes WHERE id = 5000")

	// Killed between the two, the next one goes on.
	a.sql("CREATE TRIGGER scale_moved BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON likes FOR EACH STATEMENT EXECUTE FUNCTION scale.fence(); CREATE TRIGGER scale_moved BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON sales.\"Fans\" FOR EACH STATEMENT EXECUTE FUNCTION scale.fence()")
	must(a, b, "switch")
	if got := b.sql("SELECT count(*) FROM likes"); got != "1103" {
		t.Errorf("after a kill there are %s", got)
	}
	nothingLeft()

	// Both have something: neither is overwritten.
	a.sql(`DROP TRIGGER scale_moved ON likes; DROP TRIGGER scale_moved ON sales."Fans"`)
	fails("neither is a copy of the other", "likes,sales.Fans", a, b)
}
