//go:build unix

package agent

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A client that goes away in the middle of an answer is no request that still runs: who
// takes the instance out later would wait for its end in vain.
func TestAClientBreaksOff(t *testing.T) {
	more := make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/whole" {
			return
		}
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
			select {
			case <-more:
			case <-r.Context().Done():
				return
			}
		}
	}))
	defer app.Close()
	at := app.Listener.Addr().String()
	e := newEdges(Dirs{t.TempDir()}, Key{}, func(string) []string { return []string{at} }, func(string) bool { return true })
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	entry := Edge{Name: "entry", Node: "entry", Kind: "entry", Port: port, Routes: []Route{{"/", "web"}}}
	if err := e.put(entry); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.close(); err != nil {
			t.Error(err)
		}
	}()
	get := func(path string) *http.Response {
		t.Helper()
		resp, err := http.Get("http://" + entry.address() + path)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := get("/endless")
	if _, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if n, _ := e.balancer.busy([]string{at}); n != 1 {
		t.Fatalf("%d requests are under way, and one is", n)
	}
	resp.Body.Close() // it breaks off
	close(more)
	left := time.After(10 * time.Second)
	for n := 1; n != 0; {
		select {
		case <-left:
			t.Fatal("the request that broke off is counted still")
		case <-time.After(5 * time.Millisecond):
			n, _ = e.balancer.busy([]string{at})
		}
	}
	if resp := get("/whole"); resp.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %s", resp.Status)
	}
}
