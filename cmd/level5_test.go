//go:build unix

package cmd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/scale-levels/scale/internal/plan"
)

// services is the guestbook as it is cut at level 5: likes become a service.
const services = `name: shop
services:
  web:
    command: [%BIN%, guestbook, serve]
    health: /healthz
    routes: [/api, /healthz]
    calls: [likes]
  likes:
    command: [%BIN%, guestbook, likes]
    health: /api/likes/healthz
    routes: [/api/likes]
    from_level: 5
    gateway: {timeout: 3, attempts: 2, open_after: 3, open_for: 1}
static: {dir: public, route: /}
database: {engine: postgres, size: small}
`

// liking is a load of likes: how many were acknowledged.
type liking struct {
	acked atomic.Int64
	stop  func()
}

func startLiking(l *load, entry string) *liking {
	n, c := &liking{}, &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 64}}
	l.every(40*time.Millisecond, func() {
		resp, err := c.Post(l.url+"/api/likes/"+entry, "", nil)
		if err != nil {
			l.fail("like: %v", err)
			return
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			l.fail("like: %s %s", resp.Status, b)
			return
		}
		n.acked.Add(1)
	})
	l.every(100*time.Millisecond, func() {
		resp, err := c.Get(l.url + "/api/liked")
		if err != nil {
			l.fail("liked: %v", err)
			return
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || strings.Contains(string(b), `"likes":null`) {
			l.fail("liked: %s %.60s", resp.Status, b)
		}
	})
	return n
}

// likesOf are those of the first entries, as the guestbook tells them; nil when it could not learn them.
func likesOf(t testing.TB, url string) map[string]int {
	t.Helper()
	var answer struct{ Likes map[string]int }
	if code, body := get(t, url+"/api/liked"); code != http.StatusOK || json.Unmarshal([]byte(body), &answer) != nil {
		t.Fatalf("%s/api/liked: %d %s", url, code, body)
	}
	return answer.Likes
}

// Under load from two regions a service is cut out of the guestbook, released by itself,
// and taken back.
func TestLevel5IsReachedAndLeftUnderLoad(t *testing.T) {
	w := newWorld(t)
	patient := strings.Replace(services, "timeout: 3", "timeout: 20", 1) + "regions: [us-east-1, eu-west-1]\n"
	w.project(patient)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	near := at(t, url, "127.0.1.2")
	home, far := startLoad(url), startLoad(near)
	defer home.stop()
	defer far.stop()
	likes := []*liking{startLiking(home, "1000000"), startLiking(far, "1000000")}
	w.must(0, "up", "--level", "5", "--yes")
	before := w.status()
	w.project(strings.Replace(patient, "from_level: 5", "from_level: 5\n    env: {RELEASE: another}", 1))
	w.must(0, "up", "--yes")
	for _, c := range before.Components {
		if now := component(w.status(), c.Name); strings.HasPrefix(c.Name, "web-") && c.Kind == "backend" && now.PID != c.PID {
			t.Errorf("a release of likes restarted %s", c.Name)
		} else if strings.HasPrefix(c.Name, "likes-") && now.PID == c.PID {
			t.Errorf("the release of likes did not reach %s", c.Name)
		}
	}
	w.must(0, "up", "--level", "4", "--yes")
	far.stop()
	home.stop()
	home.check(t, w)
	far.check(t, w)
	acked := likes[0].acked.Load() + likes[1].acked.Load()
	code, body := post(t, url+"/api/likes/1000000", "")
	if want := fmt.Sprintf(`{"likes":%d}`, acked+1); code != http.StatusCreated || strings.TrimSpace(body) != want {
		t.Errorf("%d likes were acknowledged, and one more makes %d %s", acked, code, body)
	}
	t.Logf("%d likes acknowledged", acked)
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")
	w.gone()
}

// A service calls another with a token for that link, through the gateway, which knows
// nobody without one; a service whose circuit is open is not asked, and who calls it
// answers with less.
func TestServicesCallEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(services)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "5", "--yes").out)
	sign(t, url, "Ada")
	post(t, url+"/api/likes/1", "")
	if n := likesOf(t, url); n["1"] != 1 {
		t.Errorf("the guestbook says %v of who likes Ada", n)
	}

	call := w.environment("web-blue-use1-g1-1", "SERVICE_LIKES_URL") + "/api/likes/counts?of=1"
	token := func() string {
		b, err := os.ReadFile(w.environment("web-blue-use1-g1-1", "SERVICE_LIKES_TOKEN_FILE"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	as := func(url, token string) int {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for who, c := range map[string]struct {
		url, token string
		want       int
	}{
		"web":                        {call, token(), http.StatusOK},
		"nobody":                     {call, "", http.StatusUnauthorized},
		"somebody":                   {call, "x" + token()[1:], http.StatusUnauthorized},
		"the public, at the service": {url + "/api/likes/counts?of=1", "", http.StatusUnauthorized},
	} {
		if got := as(c.url, c.token); got != c.want {
			t.Errorf("%s is answered %d, want %d", who, got, c.want)
		}
	}
	if v := w.environment("likes-blue-use1-g1-1", "SERVICE_LIKES_URL"); v != "" {
		t.Errorf("likes calls nobody, and has %s", v)
	}

	for _, name := range []string{"likes-blue-use1-g1-1", "likes-blue-use1-g1-2"} { // they hang
		pid := component(w.status(), name).PID
		if err := syscall.Kill(-pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Kill(-pid, syscall.SIGCONT) }()
	}
	var codes []int
	for len(codes) < 5 {
		if code := as(url+"/api/likes/healthz", ""); code != http.StatusOK || len(codes) > 0 { // a signal takes a moment to arrive
			codes = append(codes, code)
		}
	}
	if want := []int{504, 504, 504, 503, 503}; !slices.Equal(codes, want) {
		t.Errorf("a service that hangs is answered for with %v, want %v", codes, want)
	}
	if n := likesOf(t, url); n != nil {
		t.Errorf("with nobody to say so, the guestbook says %v", n)
	}
	for _, name := range []string{"likes-blue-use1-g1-1", "likes-blue-use1-g1-2"} {
		if err := syscall.Kill(-component(w.status(), name).PID, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the circuit closes", func() bool { return likesOf(t, url)["1"] == 1 })
}

// A service's own database opens to that service alone; on the way to it and from it a
// service would not see what it has written, and that is refused until it is given up.
func TestAServiceHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := strings.Replace(services, "from_level: 5", "from_level: 5\n    database: own", 1)
	w.project(own)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	sign(t, url, "Ada")
	post(t, url+"/api/likes/1", "")
	if r := w.must(5, "up", "--level", "5", "--yes"); !strings.Contains(r.err, "G5") || !strings.Contains(r.err, "--allow-data-loss=likes-db-use1-g1") {
		t.Errorf("likes would begin with nothing: %s", r)
	}
	w.must(0, "up", "--level", "5", "--yes", "--allow-data-loss=likes-db-use1-g1")
	shared, its := w.environment("web-blue-use1-g1-1", "DATABASE_URL"), w.environment("likes-blue-use1-g1-1", "DATABASE_URL")
	if shared == "" || w.environment("web-green-use1-g1-1", "DATABASE_URL") != "" {
		shared = w.environment("web-green-use1-g1-1", "DATABASE_URL")
	}
	post(t, url+"/api/likes/1", "")
	post(t, url+"/api/likes/1", "")
	if n := likesOf(t, url); n["1"] != 2 {
		t.Errorf("likes began anew and has two of them, and the guestbook says %v", n)
	}
	var b plan.Bench
	r := w.must(0, "bench", "POST /api/likes/1", "--from", "us-east-1", "--rate", "20", "--for", "3s", "--json")
	if err := json.Unmarshal([]byte(r.out), &b); err != nil {
		t.Fatal(err)
	}
	wrote, has := b.Users[0].Requests, likesOf(t, url)["1"]
	if n := int64(wrote / 2); has != 2+wrote || b.Transactions["likes-db-use1-g1"] < n || b.Transactions["db-use1-g1"] > n {
		t.Errorf("%d likes are the work of their own leader: %+v, and the guestbook says %d", wrote, b.Transactions, has)
	}
	if err := opens(its); err != nil {
		t.Errorf("likes cannot open its own database: %v", err)
	}
	if err := opens(credentials(its, shared)); err == nil {
		t.Error("likes can open the shared database")
	}
	if err := opens(credentials(shared, its)); err == nil {
		t.Error("web can open the database of likes")
	}
	if r := w.must(5, "up", "--level", "4", "--yes"); !strings.Contains(r.err, "likes-db-use1-g1 holds what likes has written") {
		t.Errorf("what likes has written would not be seen: %s", r)
	}
	w.must(0, "up", "--level", "4", "--yes", "--allow-data-loss=likes-db-use1-g1")
	if n := likesOf(t, url); n["1"] != 1 {
		t.Errorf("at level 4 the shared database answers, and the guestbook says %v", n)
	}
	w.must(0, "up", "--level", "5", "--yes", "--allow-data-loss=likes-db-use1-g1")
	if n := likesOf(t, url); n["1"] != has {
		t.Errorf("the database of likes was kept, and the guestbook says %v", n)
	}
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")
	w.gone()
}

// opens reports why a database does not open.
func opens(connection string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, connection)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// credentials are those of one connection string, used where another leads.
func credentials(of, to string) string {
	u, err := neturl.Parse(of)
	v, errTo := neturl.Parse(to)
	if err != nil || errTo != nil {
		return "" // which opens nothing; that each opens its own is tested beside it
	}
	v.User = u.User
	return v.String()
}
