//go:build unix

package cmd_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// atlantic is the project web in two regions.
const atlantic = web + "regions: [us-east-1, eu-west-1]\n"

// outputs are what the environment offers, as text.
func (w *world) outputs() map[string]any {
	w.t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(w.must(0, "outputs", "--json").out), &out); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// lookup asks the environment's name server for somebody in the region whose users
// have such addresses: "127.0.1.0/24".
func (w *world) lookup(users string) (address string, ttl uint32) {
	w.t.Helper()
	out, from := w.outputs(), netip.MustParsePrefix(users)
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(out["name"].(string)), dns.TypeA)
	q.SetEdns0(dns.DefaultMsgSize, false)
	q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(from.Bits()), Address: from.Addr().AsSlice()})
	a, err := dns.Exchange(q, out["nameServer"].(string))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, rr := range a.Answer {
		if a, ok := rr.(*dns.A); ok {
			return a.A.String(), a.Hdr.Ttl
		}
	}
	w.t.Fatalf("no address: %v", a)
	return "", 0
}

// at is the environment's address with another host.
func at(t testing.TB, address, host string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + host + ":" + u.Port()
}

// Under load from home, and from the other region while that stands: to level 3, other
// settings, other files, a newer agent, and back. Nothing fails and nothing is lost.
func TestLevel3IsReachedAndLeftUnderLoad(t *testing.T) {
	w := newWorld(t)
	w.project(atlantic)
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "2", "--yes").out)
	database := component(w.status(), "db-use1-g1").PID
	home := startLoad(url)
	defer home.stop()
	w.must(0, "up", "--level", "3", "--yes")
	far := startLoad(at(t, url, "127.0.1.2"))
	defer far.stop()
	w.project(strings.Replace(atlantic, "GREETING: hello", "GREETING: goodbye", 1))
	w.write("public/index.html", "<h1>goodbye</h1>")
	w.must(0, "up", "--yes")
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.0.1.1", "127.0.1.2"} {
		if _, body := get(t, at(t, url, host)+"/"); body != "<h1>goodbye</h1>" {
			t.Errorf("%s serves stale files: %s", host, body)
		}
	}
	c := w.command("up", "--yes")
	c.Path = w.newer()
	if r := finish(t, c); r.code != 0 {
		t.Fatalf("up by a newer scale: %s", r)
	}
	far.stop()
	w.must(0, "up", "--level", "2", "--yes")
	w.must(0, "up", "--level", "3", "--yes")
	w.must(0, "up", "--level", "1", "--yes")
	home.stop()
	home.check(t, w)
	far.url = url // whose entry is gone
	far.check(t, w)
	if pid := component(w.status(), "db-use1-g1").PID; pid != database {
		t.Errorf("the database was restarted: pid %d, then %d", database, pid)
	}
	w.must(0, "down", "--delete-data", "--confirm", "dev", "--yes")
	if _, err := os.Stat(w.home); err == nil {
		t.Error("something is left")
	}
}

// What level 3 promises: a distant user is answered from near by, the database is asked
// less, and each is measured and not only there.
func TestLevel3IsNearItsUsers(t *testing.T) {
	w := newWorld(t)
	w.project(atlantic)
	w.write("public/index.html", "<h1>hello</h1>")
	home := strings.TrimSpace(w.must(0, "up", "--level", "3", "--yes").out)
	near, far := at(t, home, "127.0.1.2"), at(t, home, "127.0.1.1") // as at level 2: all the way to home
	sign(t, near, "Ada")
	median := func(url string) time.Duration {
		var took []time.Duration
		c := &http.Client{Transport: &http.Transport{Proxy: nil}}
		defer c.CloseIdleConnections()
		for range 21 {
			began := time.Now()
			resp, err := c.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	for _, path := range []string{"/", "/api/entries"} {
		n, f := median(near+path), median(far+path)
		t.Logf("%s: a user in eu-west-1 waits %.1f ms for home, and %.1f ms for their own region", path, f.Seconds()*1000, n.Seconds()*1000)
		if f < 70*time.Millisecond || n > f/2 {
			t.Errorf("%s: %s from near by, %s from home, which is 71 ms away", path, n, f)
		}
	}
	resp, err := client.Get(near + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if s := resp.Header.Get("Cache-Status"); !strings.Contains(s, "eu-west-1; hit") {
		t.Errorf("the edge in eu-west-1 says %q", s)
	}
	if d := component(w.status(), "cdn-use1-g1-eu-west-1").Detail; !strings.HasPrefix(d, "hits ") || strings.HasPrefix(d, "hits 0 ") {
		t.Errorf("status says of the edge: %q", d)
	}
	if r := w.must(0, "purge", "/*"); !strings.HasPrefix(r.out, "2 stored answers") {
		t.Errorf("purge says %s", r)
	}
	w.must(3, "purge", "news")
	// A write anywhere is seen everywhere once the database has told every region.
	sign(t, home, "Grace")
	eventually(t, "eu-west-1 sees what was written in us-east-1", func() bool { return slices.Contains(names(t, near), "Grace") })
}

// Whom the application's name leads where, and that a region that does not answer is left out
// until it does.
func TestNameFollowsTheRegions(t *testing.T) {
	w := newWorld(t)
	w.project(atlantic)
	w.write("public/index.html", "<h1>hello</h1>")
	w.must(0, "up", "--level", "3", "--yes")
	us, eu := "127.0.0.0/24", "127.0.1.0/24"
	leads := func(users, want string) {
		t.Helper()
		got, ttl := w.lookup(users)
		if got != want || ttl == 0 || ttl > 5 {
			t.Fatalf("users in %s are led to %s (TTL %d), not to %s", users, got, ttl, want)
		}
	}
	leads(us, "127.0.0.1")
	leads(eu, "127.0.1.2")
	var stopped []int
	for _, c := range w.status().Components {
		if strings.HasPrefix(c.Name, "web-blue-euw1") {
			stopped = append(stopped, c.PID)
			if err := syscall.Kill(c.PID, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
	}
	began := time.Now()
	eventually(t, "users in eu-west-1 are led to us-east-1", func() bool { a, _ := w.lookup(eu); return a == "127.0.1.1" })
	t.Logf("%.1f s until the name leads elsewhere", time.Since(began).Seconds())
	leads(us, "127.0.0.1")
	for _, pid := range stopped {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	eventually(t, "users in eu-west-1 are led home again", func() bool { a, _ := w.lookup(eu); return a == "127.0.1.2" })
}

// The guestbook can be told how to use its cache, and what each way costs in freshness.
func TestCacheStrategies(t *testing.T) {
	for _, strategy := range []string{"ttl", "notify", "objects", "off"} {
		t.Run(strategy, func(t *testing.T) {
			w := newWorld(t)
			w.project(strings.Replace(atlantic, "GREETING: hello", "GUESTBOOK_CACHE: "+strategy, 1))
			w.write("public/index.html", "<h1>hello</h1>")
			home := strings.TrimSpace(w.must(0, "up", "--level", "3", "--yes").out)
			far := at(t, home, "127.0.1.2")
			for i := range 3 {
				name := fmt.Sprint("guest ", i)
				sign(t, home, name)
				if got := names(t, home); strategy != "ttl" && got[0] != name {
					t.Errorf("who wrote does not see it: %v", got)
				}
				eventually(t, "the other region sees it", func() bool { return names(t, far)[0] == name })
			}
			// Without its cache the application answers all the same.
			for _, c := range w.status().Components {
				if c.Kind == "cache" {
					_ = syscall.Kill(c.PID, syscall.SIGSTOP)
					defer func() { _ = syscall.Kill(c.PID, syscall.SIGKILL) }()
				}
			}
			sign(t, far, "late")
			eventually(t, "it is seen without a cache", func() bool { return names(t, far)[0] == "late" })
		})
	}
}
