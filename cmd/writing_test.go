//go:build unix

package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// writing is a load that counts with writes being refused for a while: it remembers
// which were acknowledged, and when which were not.
type writing struct {
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	mu      sync.Mutex
	acked   map[int64]bool
	ok      map[string][]time.Time // by address
	failed  map[string][]time.Time // writes
	reads   []string               // reads that failed
	longest time.Duration          // that may pass without a write
}

func startWriting(urls ...string) *writing {
	ctx, cancel := context.WithCancel(context.Background())
	l := &writing{cancel: cancel, acked: map[int64]bool{}, ok: map[string][]time.Time{}, failed: map[string][]time.Time{}, longest: 15 * time.Second}
	for _, url := range urls {
		c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 64}}
		for _, do := range []func(){func() { l.write(c, url) }, func() { l.read(c, url) }} {
			l.wg.Go(func() {
				t := time.NewTicker(40 * time.Millisecond)
				defer t.Stop()
				for {
					select {
					case <-t.C:
						l.wg.Go(do)
					case <-ctx.Done():
						return
					}
				}
			})
		}
	}
	return l
}

func (l *writing) write(c *http.Client, url string) {
	began := time.Now()
	var e struct{ ID int64 }
	resp, err := c.Post(url+"/api/entries", "application/json", strings.NewReader(`{"name":"load","message":"hello"}`))
	if err == nil {
		err = json.NewDecoder(resp.Body).Decode(&e)
		resp.Body.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || resp.StatusCode != http.StatusCreated {
		l.failed[url] = append(l.failed[url], began)
		return
	}
	l.acked[e.ID] = true
	l.ok[url] = append(l.ok[url], time.Now())
}

func (l *writing) read(c *http.Client, url string) {
	resp, err := c.Get(url + "/api/entries")
	what := ""
	if err != nil {
		what = err.Error()
	} else {
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			what = resp.Status + " " + string(b)
		}
	}
	if what != "" {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.reads = append(l.reads, time.Now().Format("05.000 ")+what)
	}
}

// writes reports whether so many addresses have taken one within a span of time.
func (l *writing) writes(addresses int, span time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, ts := range l.ok {
		if len(ts) > 0 && time.Since(slices.MaxFunc(ts, time.Time.Compare)) < span {
			n++
		}
	}
	return n >= addresses
}

func (l *writing) stop() {
	l.cancel()
	l.wg.Wait()
}

// longest is the longest time without a write that was taken.
func longest(ts []time.Time) (gap time.Duration) {
	slices.SortFunc(ts, time.Time.Compare)
	for i := 1; i < len(ts); i++ {
		gap = max(gap, ts[i].Sub(ts[i-1]))
	}
	return gap
}

func (l *writing) check(t testing.TB, w *world, url string) {
	t.Helper()
	kept, lost := w.entries(url), 0
	for id := range l.acked {
		if !kept[id] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, len(l.acked))
	}
	for url, ok := range l.ok {
		t.Logf("%s: %d writes taken, %d refused, %d ms without one at the longest", url, len(ok), len(l.failed[url]), longest(ok).Milliseconds())
		if longest(ok) > l.longest {
			t.Errorf("no write was taken for %s", longest(ok))
		}
	}
	if len(l.reads) > 0 {
		t.Errorf("%d reads failed, the first: %q", len(l.reads), l.reads[:min(5, len(l.reads))])
	}
	t.Logf("%d acknowledged writes, %d lost", len(l.acked), lost)
}

// killForGood kills a database that nobody can start again, and waits until that is seen.
func (w *world) killForGood(name string) {
	w.t.Helper()
	data := filepath.Join(w.home, "environments/shop/dev/local/data", name+"-data")
	if err := os.Rename(filepath.Join(data, "global/pg_control"), filepath.Join(data, "pg_control.gone")); err != nil {
		w.t.Fatal(err)
	}
	if err := syscall.Kill(-component(w.status(), name).PID, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, name+" is seen to be dead", func() bool { return !component(w.status(), name).Healthy })
}

// server is the program that a component runs.
func (w *world) server(name string) string {
	w.t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(component(w.status(), name).PID) + "/cmdline")
	if err != nil {
		w.t.Fatal(err)
	}
	program, _, _ := bytes.Cut(b, []byte{0})
	return string(program)
}

// writesTo starts a database on a directory, as its owner, and returns what it says to a
// write by the application.
func (w *world) writesTo(server, dir string) string {
	w.t.Helper()
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	info, err := os.Stat(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	// Whoever starts it is let in without a password.
	if err := os.WriteFile(filepath.Join(dir, "pg_hba.conf"), []byte("host all all 127.0.0.1/32 trust\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	c := exec.Command(server, "-D", dir, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200")
	c.Dir = dir
	if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}
	}
	var log bytes.Buffer
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = c.Process.Signal(syscall.SIGINT); _ = c.Wait() }()
	var said error
	eventually(w.t, "it answers", func() bool {
		conn, err := pgx.Connect(context.Background(), fmt.Sprintf("postgres://app@127.0.0.1:%d/app?sslmode=disable", port))
		if err != nil {
			return false
		}
		defer conn.Close(context.Background())
		_, said = conn.Exec(context.Background(), "INSERT INTO entries (name, message) VALUES ('late', 'hello')")
		return true
	})
	return fmt.Sprint(said)
}
