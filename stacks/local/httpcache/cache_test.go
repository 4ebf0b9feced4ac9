package httpcache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// edge is a cache in front of an origin that counts what it is asked.
type edge struct {
	*testing.T
	*Cache
	clock  time.Time
	asked  atomic.Int64
	origin http.HandlerFunc
	fails  atomic.Bool // the origin cannot be reached
}

func newEdge(t *testing.T, origin http.HandlerFunc) *edge {
	e := &edge{T: t, clock: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), origin: origin}
	e.Cache = New(Options{Name: "edge", Most: 1 << 20})
	e.now = func() time.Time { return e.clock }
	return e
}

func (e *edge) next(w http.ResponseWriter, r *http.Request) error {
	e.asked.Add(1)
	if e.fails.Load() {
		return fmt.Errorf("unreachable")
	}
	w.Header().Set("Date", e.clock.Format(http.TimeFormat))
	e.origin(w, r)
	return nil
}

// ask sends one request: "GET /a", with header fields "Name: value".
func (e *edge) ask(what string, fields ...string) *httptest.ResponseRecorder {
	e.Helper()
	method, target, _ := strings.Cut(what, " ")
	r := httptest.NewRequest(method, target, nil)
	for _, f := range fields {
		k, v, _ := strings.Cut(f, ": ")
		r.Header.Add(k, v)
	}
	w := httptest.NewRecorder()
	if err := e.Serve(w, r, e.next); err != nil {
		w.WriteHeader(http.StatusBadGateway)
	}
	return w
}

// says is an origin that answers with header fields and a body.
func says(status int, body string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, f := range fields {
			k, v, _ := strings.Cut(f, ": ")
			w.Header().Add(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// What may be stored, and for how long: RFC 9111, sections 3, 4 and 5.2.2. Each is asked
// for, and asked for again after a while.
func TestWhatIsStored(t *testing.T) {
	date := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	in := func(s int) string { return date.Add(time.Duration(s) * time.Second).Format(http.TimeFormat) }
	for _, c := range []struct {
		name    string
		status  int
		fields  []string
		request []string
		after   int // seconds
		stored  bool
	}{
		{"max-age", 200, []string{"Cache-Control: max-age=60"}, nil, 59, true},
		{"max-age is over", 200, []string{"Cache-Control: max-age=60"}, nil, 60, false},
		{"s-maxage wins, longer", 200, []string{"Cache-Control: max-age=1, s-maxage=60"}, nil, 30, true},
		{"s-maxage wins, shorter", 200, []string{"Cache-Control: max-age=60, s-maxage=1"}, nil, 30, false},
		{"in two fields", 200, []string{"Cache-Control: public", "Cache-Control: max-age=60"}, nil, 30, true},
		{"Expires", 200, []string{"Expires: " + in(60)}, nil, 30, true},
		{"Expires is over", 200, []string{"Expires: " + in(60)}, nil, 61, false},
		{"Expires that is no time", 200, []string{"Expires: 0"}, nil, 0, false},
		{"max-age wins over Expires", 200, []string{"Cache-Control: max-age=1", "Expires: " + in(60)}, nil, 30, false},
		{"an age that it has already", 200, []string{"Cache-Control: max-age=60", "Age: 50"}, nil, 30, false},
		{"no-store", 200, []string{"Cache-Control: no-store, max-age=60"}, nil, 0, false},
		{"private", 200, []string{"Cache-Control: private, max-age=60"}, nil, 0, false},
		{"no-cache", 200, []string{"Cache-Control: no-cache, max-age=60"}, nil, 0, false},
		{"no word", 200, nil, nil, 0, false},
		{"no word, and a date of change", 200, []string{"Last-Modified: " + in(-86400)}, nil, 0, false},
		{"a cookie", 200, []string{"Cache-Control: max-age=60", "Set-Cookie: a=b"}, nil, 0, false},
		{"a cookie for everyone", 200, []string{"Cache-Control: public, max-age=60", "Set-Cookie: a=b"}, nil, 0, true},
		{"with a login", 200, []string{"Cache-Control: max-age=60"}, []string{"Authorization: Basic x"}, 0, false},
		{"with a login, public", 200, []string{"Cache-Control: public, max-age=60"}, []string{"Authorization: Basic x"}, 0, true},
		{"with a login, s-maxage", 200, []string{"Cache-Control: s-maxage=60"}, []string{"Authorization: Basic x"}, 0, true},
		{"Vary: *", 200, []string{"Cache-Control: max-age=60", "Vary: *"}, nil, 0, false},
		{"404", 404, []string{"Cache-Control: max-age=60"}, nil, 30, true},
		{"301", 301, []string{"Cache-Control: max-age=60", "Location: /b"}, nil, 30, true},
		{"500", 500, []string{"Cache-Control: max-age=60"}, nil, 0, false},
		{"206", 206, []string{"Cache-Control: max-age=60", "Content-Range: bytes 0-1/2"}, nil, 0, false},
		{"a user's reload", 200, []string{"Cache-Control: max-age=60"}, []string{"Cache-Control: no-cache", "Pragma: no-cache"}, 30, true},
		{"a directive that is no number", 200, []string{"Cache-Control: max-age=soon"}, nil, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, says(c.status, "hello", c.fields...))
			first := e.ask("GET /a", c.request...)
			e.clock = e.clock.Add(time.Duration(c.after) * time.Second)
			second := e.ask("GET /a", c.request...)
			if first.Code != c.status || second.Code != c.status || first.Body.String() != "hello" || second.Body.String() != "hello" {
				t.Fatalf("answers %d %q and %d %q", first.Code, first.Body, second.Code, second.Body)
			}
			hit := strings.HasPrefix(second.Header().Get("Cache-Status"), "edge; hit")
			if stored := e.asked.Load() == 1; stored != c.stored || hit != stored {
				t.Fatalf("the origin was asked %d times; then %q", e.asked.Load(), second.Header().Get("Cache-Status"))
			}
			if c.stored && second.Header().Get("Age") == "" {
				t.Fatal("no Age")
			}
		})
	}
}

func TestVary(t *testing.T) {
	e := newEdge(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "Accept-Language, X-Other")
		fmt.Fprint(w, r.Header.Get("Accept-Language"))
	})
	for range 2 {
		for _, lang := range []string{"de", "en"} {
			if got := e.ask("GET /a", "Accept-Language: "+lang).Body.String(); got != lang {
				t.Fatalf("%s gets %s", lang, got)
			}
		}
	}
	if e.asked.Load() != 2 {
		t.Fatalf("asked %d times", e.asked.Load())
	}
}

func TestAskingAgain(t *testing.T) {
	version := "1"
	e := newEdge(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=10")
		w.Header().Set("Etag", `"`+version+`"`)
		w.Header().Set("X-Seen", r.Header.Get("If-None-Match"))
		if r.Header.Get("If-None-Match") == `"`+version+`"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, "version "+version)
	})
	e.ask("GET /a")
	e.clock = e.clock.Add(11 * time.Second)
	w := e.ask("GET /a")
	if w.Code != 200 || w.Body.String() != "version 1" || w.Header().Get("X-Seen") != `"1"` || !strings.Contains(w.Header().Get("Cache-Status"), "fwd-status=304") {
		t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if w = e.ask("GET /a"); !strings.HasPrefix(w.Header().Get("Cache-Status"), "edge; hit; ttl=") || e.asked.Load() != 2 {
		t.Fatalf("then %v", w.Header())
	}
	version = "2"
	e.clock = e.clock.Add(11 * time.Second)
	if w = e.ask("GET /a"); w.Body.String() != "version 2" {
		t.Fatalf("after a change: %s", w.Body)
	}
	// Conditions and parts of a client are answered from the store, or once it is filled.
	if w = e.ask("GET /a", `If-None-Match: "2"`); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Fatalf("a condition: %d", w.Code)
	}
	if w = e.ask("GET /a", "Range: bytes=0-6"); w.Code != http.StatusPartialContent || w.Body.String() != "version" {
		t.Fatalf("a part: %d %s", w.Code, w.Body)
	}
	if w = e.ask("HEAD /a"); w.Code != 200 || w.Body.Len() != 0 || e.asked.Load() != 3 {
		t.Fatalf("a head: %d", w.Code)
	}
	e.Purge("/a")
	if w = e.ask("GET /a", `If-None-Match: "2"`); w.Code != http.StatusNotModified || e.asked.Load() != 4 {
		t.Fatalf("a condition with an empty store: %d", w.Code)
	}
	if w = e.ask("GET /a"); w.Body.String() != "version 2" || e.asked.Load() != 4 {
		t.Fatalf("it was not stored: %s", w.Body)
	}
}

func TestWritesForget(t *testing.T) {
	for status, forgotten := range map[int]bool{201: true, 303: true, 400: false, 500: false} {
		e := newEdge(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				w.Header().Set("Cache-Control", "max-age=60")
				return
			}
			w.Header().Set("Location", "/b")
			w.WriteHeader(status)
		})
		e.ask("GET /a")
		e.ask("GET /b")
		e.ask("POST /a")
		e.ask("GET /a")
		e.ask("GET /b")
		if n := e.asked.Load(); forgotten && n != 5 || !forgotten && n != 3 {
			t.Errorf("after a POST with %d the origin was asked %d times", status, n)
		}
	}
}

func TestPurge(t *testing.T) {
	e := newEdge(t, says(200, "x", "Cache-Control: max-age=60"))
	for _, p := range []string{"/", "/css/a", "/css/b?v=1", "/api"} {
		e.ask("GET " + p)
	}
	for path, n := range map[string]int{"/api": 1, "/css/*": 2, "/none": 0} {
		if got := e.Purge(path); got != n {
			t.Errorf("purge %s forgot %d, not %d", path, got, n)
		}
	}
	if s := e.Stats(); s.Objects != 1 {
		t.Fatalf("%d are left", s.Objects)
	}
	if e.Purge("/*"); e.Stats().Bytes != 0 || len(e.stored) != 0 {
		t.Fatalf("something is left: %+v", e.Stats())
	}
}

// What is forgotten while it is on its way is not stored behind that.
func TestForgottenOnItsWay(t *testing.T) {
	for what, forget := range map[string]func(*edge){
		"purge": func(e *edge) { e.Purge("/*") },
		"write": func(e *edge) { e.ask("POST /a") },
	} {
		arrived, go_ := make(chan struct{}), make(chan struct{})
		e := newEdge(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				w.Header().Set("Cache-Control", "max-age=60")
				arrived <- struct{}{}
				<-go_
			}
		})
		var wg sync.WaitGroup
		wg.Go(func() { e.ask("GET /a") })
		<-arrived
		forget(e)
		close(go_)
		wg.Wait()
		if n := e.Stats().Objects; n != 0 {
			t.Errorf("after a %s %d objects are stored", what, n)
		}
	}
}

// Many who ask at once for what is not there are one request to the origin; what is not
// to be stored is waited for by nobody.
func TestCoalescing(t *testing.T) {
	for control, most := range map[string]int64{"max-age=60": 1, "no-store": 50} {
		arrived, go_ := make(chan struct{}, 50), make(chan struct{})
		e := newEdge(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", control)
			w.WriteHeader(200)
			arrived <- struct{}{}
			<-go_
			fmt.Fprint(w, "late")
		})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if w := e.ask("GET /a"); w.Body.String() != "late" {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
		for range most {
			<-arrived // all of them, where nobody waits for another
		}
		close(go_)
		wg.Wait()
		if e.asked.Load() != most {
			t.Errorf("%s: the origin was asked %d times", control, e.asked.Load())
		}
	}
}

func TestStale(t *testing.T) {
	body := "old"
	e := newEdge(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=10, stale-while-revalidate=20, stale-if-error=60")
		fmt.Fprint(w, body)
	})
	refreshed := make(chan struct{}, 9)
	e.refresh = func(r *http.Request) {
		_ = e.Serve(httptest.NewRecorder(), r.WithContext(Refreshing(context.Background())), e.next)
		refreshed <- struct{}{}
	}
	e.ask("GET /a")
	body = "new"
	e.clock = e.clock.Add(15 * time.Second)
	if w := e.ask("GET /a"); w.Body.String() != "old" {
		t.Fatalf("while it is asked for again: %s", w.Body)
	}
	<-refreshed
	if w := e.ask("GET /a"); w.Body.String() != "new" || e.asked.Load() != 2 {
		t.Fatalf("then: %s, asked %d times", w.Body, e.asked.Load())
	}
	e.fails.Store(true)
	e.clock = e.clock.Add(40 * time.Second)
	if w := e.ask("GET /a"); w.Body.String() != "new" || w.Code != 200 {
		t.Fatalf("while the origin is gone: %d %s", w.Code, w.Body)
	}
	e.clock = e.clock.Add(60 * time.Second)
	if w := e.ask("GET /a"); w.Code != http.StatusBadGateway {
		t.Fatalf("when it has been gone for long: %d", w.Code)
	}
}

// A store holds no more than it may, and forgets first what nobody asks for.
func TestSize(t *testing.T) {
	e := newEdge(t, says(200, strings.Repeat("x", 100<<10), "Cache-Control: max-age=600"))
	e.ask("GET /first")
	for i := range 20 {
		e.ask(fmt.Sprintf("GET /%d", i))
		e.ask("GET /first")
	}
	if s := e.Stats(); s.Bytes > 1<<20 || s.Objects != 10 || s.Hits != 20 {
		t.Fatalf("%+v", s)
	}
	big := newEdge(t, says(200, strings.Repeat("x", 200<<10), "Cache-Control: max-age=600"))
	for _, condition := range []string{"X: y", `If-None-Match: "z"`} {
		if w := big.ask("GET /a", condition); w.Body.Len() != 200<<10 || big.Stats().Objects != 0 {
			t.Fatalf("what is too large: %d bytes, %+v", w.Body.Len(), big.Stats())
		}
	}
}

// An answer that breaks off is not stored.
func TestHalfAnAnswer(t *testing.T) {
	e := newEdge(t, says(200, "half", "Cache-Control: max-age=60", "Content-Length: 8"))
	e.ask("GET /a")
	if s := e.Stats(); s.Objects != 0 {
		t.Fatalf("%+v", s)
	}
}

func BenchmarkHit(b *testing.B) {
	c := New(Options{Name: "edge"})
	next := func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Cache-Control", "max-age=600")
		_, err := w.Write(make([]byte, 4<<10))
		return err
	}
	r := httptest.NewRequest("GET", "/a", nil)
	for b.Loop() {
		if err := c.Serve(httptest.NewRecorder(), r, next); err != nil {
			b.Fatal(err)
		}
	}
}
