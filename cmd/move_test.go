//go:build unix

package cmd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// own is the guestbook whose likes have a database of their own, where their table moves.
var own = strings.Replace(services, "from_level: 5", "from_level: 5\n    database: own\n    tables: [likes]", 1)

// likeIt adds a like and returns how many that makes, 0 when it was not taken.
func likeIt(t testing.TB, url, entry string) int {
	t.Helper()
	var n struct{ Likes int }
	code, body := post(t, url+"/api/likes/"+entry, "")
	if code != http.StatusCreated || json.Unmarshal([]byte(body), &n) != nil {
		t.Errorf("a like is answered %d %s", code, body)
	}
	return n.Likes
}

// open is a connection to the database that a component uses.
func (w *world) open(instance string) *pgx.Conn {
	w.t.Helper()
	c, err := pgx.Connect(w.t.Context(), w.environment(instance, "DATABASE_URL"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// serving is an instance of a service that takes requests.
func (w *world) serving(service string) string {
	w.t.Helper()
	for _, c := range w.status().Components {
		if c.Kind == "backend" && strings.HasPrefix(c.Name, service+"-") && strings.HasSuffix(c.Name, "-1") {
			return c.Name
		}
	}
	w.t.Fatalf("nothing of %s runs", service)
	return ""
}

// Under load from two regions a service goes to a database of its own, with its table,
// and back: no request fails, and no like that was acknowledged is lost.
func TestTablesMoveUnderLoad(t *testing.T) {
	w := newWorld(t)
	w.project(strings.Replace(own, "timeout: 3", "timeout: 20", 1) + "regions: [us-east-1, eu-west-1]\n")
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	near := at(t, url, "127.0.1.2")
	home, far := startLoad(url), startLoad(near)
	defer home.stop()
	defer far.stop()
	likes := []*liking{startLiking(home, "1000000"), startLiking(far, "1000000")}
	w.must(0, "up", "--level", "5", "--yes")
	if on := w.environment(w.serving("likes"), "DATABASE_URL"); on == w.environment(w.serving("web"), "DATABASE_URL") {
		t.Error("likes uses the shared database")
	}
	w.must(0, "up", "--level", "4", "--yes")
	far.stop()
	home.stop()
	home.check(t, w)
	far.check(t, w)
	acked := int(likes[0].acked.Load() + likes[1].acked.Load())
	if n := likeIt(t, url, "1000000"); n != acked+1 || acked < 100 {
		t.Errorf("%d likes were acknowledged, and one more makes %d", acked, n)
	}
	t.Logf("%d likes acknowledged", acked)
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")
	w.gone()
}

// What goes with a table goes with it; where it was it takes no writes. What cannot move is
// refused before anything is changed, and what turns out not to is where it was.
func TestWhatMovesAndWhatDoesNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(own)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	sign(t, url, "Ada")
	likeIt(t, url, "1")
	db := w.open(w.serving("web"))
	do := func(sql string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	stays := func(what string) {
		t.Helper()
		if s := w.status(); s.Level != 4 || s.Walk != "" || s.State != "up" {
			t.Fatalf("%s: %+v", what, s)
		}
		likeIt(t, url, "2")
	}
	with := func(tables string) { w.project(strings.Replace(own, "tables: [likes]", "tables: ["+tables+"]", 1)) }

	do("CREATE TABLE log (line text)")
	with("likes, log")
	if r := w.must(3, "up", "--level", "5", "--yes"); !strings.Contains(r.err, "log has no primary key") || !strings.Contains(r.err, "nothing was changed") {
		t.Errorf("a table without a key: %s", r)
	}
	do("CREATE SCHEMA sales; CREATE TABLE sales.fans (id bigserial PRIMARY KEY, entry bigint REFERENCES likes, \"Name\" text); INSERT INTO sales.fans (\"Name\") SELECT 'fan ' || n FROM generate_series(1, 5000) n")
	with("sales.fans")
	if r := w.must(3, "up", "--level", "5", "--yes"); !strings.Contains(r.err, "fans_entry_fkey of sales.fans refers to likes") {
		t.Errorf("a key to a table that stays: %s", r)
	}
	stays("refused before")
	with("likes, nothing")
	if r := w.must(7, "up", "--level", "5", "--yes"); !strings.Contains(r.err, "db-use1-g1 has no nothing") || !strings.Contains(r.err, "rolled back") {
		t.Errorf("a table that does not exist: %s", r)
	}
	stays("a table that does not exist")

	// The copy begins between two transactions: one that is open is named and waited for.
	with("likes, sales.fans")
	do("BEGIN; UPDATE sales.fans SET \"Name\" = 'Eve' WHERE id = 1")
	c := w.command("up", "--level", "5", "--yes")
	said, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if strings.Contains(lines.Text(), "a transaction of app") && strings.Contains(lines.Text(), "must end first") && db.PgConn().TxStatus() == 'T' {
			do("COMMIT")
		}
	}
	if err := c.Wait(); err != nil || db.PgConn().TxStatus() != 'I' {
		t.Fatalf("a transaction that was open: %v", err)
	}
	if n := likeIt(t, url, "2"); n != 3 {
		t.Errorf("there were two likes, and with one more there are %d", n)
	}
	itsURL := w.environment(w.serving("likes"), "DATABASE_URL")
	its := w.open(w.serving("likes"))
	var fans, next int
	var eve string
	if err := its.QueryRow(t.Context(), `SELECT count(*), nextval('sales.fans_id_seq'), min("Name") FROM sales.fans`).Scan(&fans, &next, &eve); err != nil || fans != 5000 || next != 5001 || eve != "Eve" {
		t.Errorf("5000 fans, the next of which is 5001, moved: %d, %d, %s, %v", fans, next, eve, err)
	}
	for _, sql := range []string{"UPDATE likes SET n = 0", "INSERT INTO likes VALUES (9, 9)", "TRUNCATE sales.fans CASCADE"} {
		if _, err := db.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "likes-db-use1-g1") {
			t.Errorf("%s where the table was: %v", sql, err)
		}
	}
	var left int
	if err := db.QueryRow(t.Context(), leftOfAMove).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d things of the move are left, %v", left, err)
	}

	// What a 'down' keeps is where it was.
	w.must(0, "down", "--yes")
	w.must(0, "up", "--level", "5", "--yes")
	if n := likeIt(t, url, "2"); n != 4 {
		t.Errorf("down and up: %d likes", n)
	}
	shared := strings.Replace(strings.Replace(own, "tables: [likes]", "tables: [likes, sales.fans]", 1), "database: own", "database: shared", 1)
	w.project(shared)
	w.must(0, "up", "--yes")
	if n := likeIt(t, url, "2"); n != 5 {
		t.Errorf("back at level 5: %d likes", n)
	}
	if p := w.plan(); !p.Empty() {
		t.Errorf("afterwards 'up' would change %v", p.Changes())
	}

	// A copy that is not one is noticed, and everything is where it was.
	w.project(strings.Replace(own, "tables: [likes]", "tables: [likes, sales.fans]", 1))
	spoilt := make(chan error, 1)
	go func() {
		spoilt <- spoil(itsURL, "ALTER TABLE sales.fans DISABLE TRIGGER scale_copying; INSERT INTO sales.fans VALUES (0); ALTER TABLE sales.fans ENABLE TRIGGER scale_copying")
	}()
	if r := w.must(7, "up", "--yes"); !strings.Contains(r.err, "sales.fans has 5000 rows in db-use1-g1, and 5001 in its copy in likes-db-use1-g1") || !strings.Contains(r.err, "rolled back") {
		t.Errorf("a row too many: %s", r)
	}
	if err := <-spoilt; err != nil {
		t.Fatal(err)
	}
	if n := likeIt(t, url, "2"); n != 6 {
		t.Errorf("given up at level 5: %d likes", n)
	}

	// So is everything when the service turns out to fail there, with what it has written since.
	go func() { spoilt <- spoil(itsURL, "REVOKE INSERT, UPDATE ON likes FROM app") }()
	done, acked := make(chan struct{}), make(chan int)
	go func() {
		n := 6
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-tick.C:
				if code, _ := post(t, url+"/api/likes/2", ""); code == http.StatusCreated {
					n++
				}
			case <-done:
				acked <- n
				return
			}
		}
	}()
	r := w.scale("up", "--yes")
	if err := <-spoilt; err != nil {
		t.Fatal(err)
	}
	close(done)
	likes := <-acked + 1
	if r.code != 7 || !strings.Contains(r.err, "requests failed since the traffic moved") || !strings.Contains(r.err, "rolled back") {
		t.Errorf("a service that cannot write: %s", r)
	}
	if n := likeIt(t, url, "2"); n != likes {
		t.Errorf("given up after the switch: %d likes, want %d", n, likes)
	}
	if p := w.plan(); p.Empty() {
		t.Error("there is nothing to do")
	}
	w.must(0, "up", "--yes")
	if n := likeIt(t, url, "2"); n != likes+1 {
		t.Errorf("and tried again: %d likes, want %d", n, likes+1)
	}
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")
	w.gone()
}

// leftOfAMove counts what only a move needs, at either of its ends.
const leftOfAMove = `SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_stat_subscription WHERE subname IS NOT NULL)
	+ (SELECT count(*) FROM pg_roles WHERE rolname = 'mover') + (SELECT count(*) FROM pg_tables WHERE schemaname = 'scale')`

// spoil does something to a copy as soon as there is one.
func spoil(url, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("there is no copy")
		}
		c, err := pgx.Connect(ctx, url)
		if err != nil {
			continue
		}
		var copied bool
		err = c.QueryRow(ctx, "SELECT count(*) > 0 AND count(*) = count(*) FILTER (WHERE srsubstate = 'r') FROM pg_subscription_rel").Scan(&copied)
		if err == nil && copied {
			_, err = c.Exec(ctx, sql)
			return errors.Join(err, c.Close(ctx))
		}
		_ = c.Close(ctx)
	}
}

// Two databases that both have something of a service's are never made one.
func TestNothingIsWrittenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	without := strings.Replace(own, "    tables: [likes]\n", "", 1)
	w.project(without)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	likeIt(t, url, "1")
	w.must(0, "up", "--level", "5", "--yes", "--allow-data-loss=likes-db-use1-g1")
	likeIt(t, url, "2")
	w.must(0, "up", "--level", "4", "--yes", "--allow-data-loss=likes-db-use1-g1")
	w.project(own)
	if r := w.must(7, "up", "--level", "5", "--yes"); !strings.Contains(r.err, "neither is a copy of the other") || !strings.Contains(r.err, "rolled back") {
		t.Errorf("both have likes: %s", r)
	}
	if n := likeIt(t, url, "1"); n != 2 {
		t.Errorf("the shared one has %d", n)
	}
	// From nothing but what a 'down' keeps, level 5 is reached too.
	w.must(0, "down", "--yes")
	w.project(without)
	if r := w.must(5, "up", "--level", "5", "--yes"); !strings.Contains(r.err, "G5") {
		t.Errorf("from level 0 likes would not see its own: %s", r)
	}
}

// A move that is killed at any moment, and then goes on or back, loses nothing.
func TestAMoveKilledAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shared := strings.Replace(own, "database: own", "database: shared", 1)
	w.project(shared)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "5", "--yes").out)
	likes := likeIt(t, url, "1")
	check := func(what string) {
		t.Helper()
		if n := likeIt(t, url, "1"); n != likes+1 {
			t.Fatalf("%s: %d likes, and one more makes %d", what, likes, n)
		}
		likes++
		if p := w.plan(); !p.Empty() {
			t.Fatalf("%s: then there is still to do: %v", what, p.Changes())
		}
		for _, service := range []string{"web", "likes"} {
			c, err := pgx.Connect(t.Context(), w.environment(w.serving(service), "DATABASE_URL"))
			if err != nil {
				t.Fatal(err)
			}
			var left int
			if err := c.QueryRow(t.Context(), leftOfAMove).Scan(&left); err != nil || left != 0 {
				t.Fatalf("%s: %d things of the move are left where %s writes, %v", what, left, service, err)
			}
			_ = c.Close(t.Context())
		}
	}
	w.project(own)
	marks := w.marks("up", "--yes")
	check("there")
	yaml := map[bool]string{true: own, false: shared}
	at := true // at its own database
	marks = slices.DeleteFunc(marks, func(m string) bool {
		return !strings.HasPrefix(m, "move:") && !strings.HasPrefix(m, "gate:") && !strings.HasPrefix(m, "journal:")
	})
	if len(marks) < 12 || !slices.Contains(marks, "move:4") {
		t.Fatalf("a move passes too few marks: %v", marks)
	}
	for i, mark := range marks {
		itself := strings.HasPrefix(mark, "move:")
		if !itself && i%24 != 0 && !testing.Verbose() { // a few of the others; all with -v
			continue
		}
		for _, on := range []bool{true, false} { // and there it goes on, or back
			if !itself && on == (i/24%2 == 0) {
				continue
			}
			what := fmt.Sprintf("%s, then on: %t", mark, on)
			w.project(yaml[!at])
			c := w.command("up", "--yes")
			c.Env = append(c.Env, "SCALE_FAULT="+mark)
			if r := finish(t, c); r.code == 0 {
				at = !at // the way back is not as long
				check(what + ", not killed")
				continue
			}
			at = at != on
			w.project(yaml[at])
			w.must(0, "up", "--yes")
			check(what)
			t.Log(what)
		}
	}
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")
	w.gone()
}
