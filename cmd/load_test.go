//go:build unix

package cmd_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// load is what the guestbook's users do meanwhile, through the public address:
// reads and writes on connections that are kept and on new ones, writes that take
// two seconds, a WebSocket that signs, and a stream of events that must miss
// nothing. It is an open load: a slow answer does not slow the next request down.
type load struct {
	url    string
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	samples  []sample
	failures []string
	acked    map[int64]string // entries whose write was acknowledged, and by what
	streamed map[int64]bool   // entries that the event stream told of

	moved atomic.Int64 // streams and WebSockets that were closed in order and opened again
}

// sample is one quick request that was answered.
type sample struct {
	at   time.Time
	took time.Duration
}

const slowWrite = 2000 // ms

func startLoad(url string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{url: url, ctx: ctx, cancel: cancel, acked: map[int64]string{}, streamed: map[int64]bool{}}
	kept := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 64}}
	fresh := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	ready := make(chan struct{})
	l.wg.Go(func() { l.listen(ready) })
	<-ready
	for name, c := range map[string]*http.Client{"kept": kept, "fresh": fresh} {
		l.every(20*time.Millisecond, func() { l.read(c, name, "/api/entries") })
		l.every(50*time.Millisecond, func() { l.read(c, name, "/") })
		l.every(40*time.Millisecond, func() { l.write(c, name, 0) })
		l.every(400*time.Millisecond, func() { l.write(c, name+" slow", slowWrite) })
	}
	l.wg.Go(l.chat)
	return l
}

// every does something at a rate, however long each takes.
func (l *load) every(period time.Duration, do func()) {
	l.wg.Go(func() {
		t := time.NewTicker(period)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				l.wg.Go(do)
			case <-l.ctx.Done():
				return
			}
		}
	})
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

func (l *load) read(c *http.Client, name, path string) {
	began := time.Now()
	resp, err := c.Get(l.url + path)
	if err != nil {
		l.fail("read %s (%s): %v", path, name, err)
		return
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		l.fail("read %s (%s): %s %v", path, name, resp.Status, err)
		return
	}
	l.sample(began)
}

func (l *load) sample(began time.Time) {
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, sample{began, took})
}

func (l *load) write(c *http.Client, name string, delay int) {
	began := time.Now()
	body := fmt.Sprintf(`{"name":%q,"message":"hello","delay":%d}`, name, delay)
	resp, err := c.Post(l.url+"/api/entries", "application/json", strings.NewReader(body))
	if err != nil {
		l.fail("write (%s): %v", name, err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	var e struct{ ID int64 }
	if err := errors.Join(err, json.Unmarshal(b, &e)); err != nil || resp.StatusCode != http.StatusCreated {
		l.fail("write (%s): %s %v %s", name, resp.Status, err, b)
		return
	}
	l.ack(e.ID, name)
	if delay == 0 {
		l.sample(began)
	}
}

func (l *load) ack(id int64, by string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[id] = by
}

// chat signs over a WebSocket. One that is closed because its instance goes away
// is opened again, and what was not acknowledged is sent again.
func (l *load) chat() {
	for l.ctx.Err() == nil {
		c, _, err := websocket.Dial(l.ctx, strings.Replace(l.url, "http", "ws", 1)+"/api/chat", nil)
		if err != nil {
			if l.ctx.Err() == nil {
				l.fail("open a WebSocket: %v", err)
			}
			return
		}
		err = l.converse(c)
		c.CloseNow()
		if l.ctx.Err() != nil {
			return
		}
		if websocket.CloseStatus(err) != websocket.StatusGoingAway {
			l.fail("WebSocket: %v", err)
			return
		}
		l.moved.Add(1)
	}
}

func (l *load) converse(c *websocket.Conn) error {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		if err := wsjson.Write(l.ctx, c, map[string]string{"name": "chat", "message": "hello"}); err != nil {
			// The other side may have closed: what it said is what is read.
			var end any
			if rerr := wsjson.Read(l.ctx, c, &end); rerr != nil {
				return rerr
			}
			return err
		}
		var e struct{ ID int64 }
		if err := wsjson.Read(l.ctx, c, &e); err != nil {
			return err
		}
		l.ack(e.ID, "WebSocket")
		select {
		case <-t.C:
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
}

// listen follows the event stream. One that ends in order is opened again from
// the last event.
func (l *load) listen(ready chan<- struct{}) {
	var last int64
	var once sync.Once
	for l.ctx.Err() == nil {
		req, err := http.NewRequestWithContext(l.ctx, http.MethodGet, l.url+"/api/events", nil)
		if err != nil {
			panic(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		if last > 0 {
			req.Header.Set("Last-Event-ID", strconv.FormatInt(last, 10))
		}
		resp, err := (&http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}).Do(req)
		if err != nil {
			if l.ctx.Err() == nil {
				l.fail("open the event stream: %v", err)
			}
			return
		}
		err = l.follow(resp.Body, &last, func() { once.Do(func() { close(ready) }) })
		resp.Body.Close()
		if l.ctx.Err() != nil {
			return
		}
		if err != nil || resp.StatusCode != http.StatusOK {
			l.fail("event stream: %s %v", resp.Status, err)
			return
		}
		l.moved.Add(1)
	}
}

// follow reads events until the stream ends; nil when it ended in order.
func (l *load) follow(body io.Reader, last *int64, ready func()) error {
	r := bufio.NewScanner(body)
	for r.Scan() {
		ready()
		id, ok := bytes.CutPrefix(r.Bytes(), []byte("id: "))
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(string(id), 10, 64)
		if err != nil {
			return err
		}
		*last = n
		l.mu.Lock()
		l.streamed[n] = true
		l.mu.Unlock()
	}
	return r.Err()
}

// stop ends the load; requests in flight are answered first.
func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

// p99 is that of the quick requests that began in a span of time.
func (l *load) p99(from, to time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ds []time.Duration
	for _, s := range l.samples {
		if s.at.After(from) && s.at.Before(to) {
			ds = append(ds, s.took)
		}
	}
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[len(ds)*99/100]
}

// check fails the test for every request that failed and every acknowledged write
// that the database does not have.
func (l *load) check(t testing.TB, w *world) {
	t.Helper()
	if n := len(l.failures); n > 0 {
		t.Errorf("%d requests failed, the first: %q", n, l.failures[:min(n, 10)])
	}
	kept := w.entries(l.url)
	lost := 0
	for id := range l.acked {
		if !kept[id] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, len(l.acked))
	}
	t.Logf("%d quick requests, %d acknowledged writes, %d told by the event stream; streams moved %d times; failed %d, lost %d",
		len(l.samples), len(l.acked), len(l.streamed), l.moved.Load(), len(l.failures), lost)
}

// entries are the ids of everything in the guestbook, read through the stream.
func (w *world) entries(url string) map[int64]bool {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var newest []struct{ ID int64 }
	if _, body := get(w.t, url+"/api/entries"); json.Unmarshal([]byte(body), &newest) != nil || len(newest) == 0 {
		w.t.Fatalf("no entries: %s", body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/events", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", "0")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	ids := map[int64]bool{}
	for r := bufio.NewScanner(resp.Body); r.Scan(); {
		id, ok := strings.CutPrefix(r.Text(), "id: ")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			w.t.Fatal(err)
		}
		ids[n] = true
		if n >= newest[0].ID {
			return ids
		}
	}
	w.t.Fatalf("the stream ended after %d entries", len(ids))
	return nil
}
