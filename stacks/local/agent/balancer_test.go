//go:build unix

package agent

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func request(header ...string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, "http://x/", nil)
	if err != nil {
		panic(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// When drain returns, the last request has ended and none comes after it.
func TestDrainIsExact(t *testing.T) {
	b, addrs := newBalancer(), []string{"a", "b", "c"}
	var drained atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5000 {
				addr := b.pick(addrs)
				if addr == "b" && drained.Load() {
					t.Error("a drained address got a request")
				}
				b.end(addr, false, false)
			}
		})
	}
	b.drain(context.Background(), "b", time.Minute)
	drained.Store(true)
	if requests, _ := b.busy([]string{"b"}); requests != 0 {
		t.Errorf("%d requests are left", requests)
	}
	wg.Wait()
	b.admit("b")
	got := map[string]bool{}
	for range 200 {
		got[b.pick(addrs)] = true
	}
	if !got["b"] {
		t.Error("an address that was admitted again gets nothing")
	}
}

func TestStreamsDoNotHoldADrainUp(t *testing.T) {
	b := newBalancer()
	tr := newTrip(b, func(string) []string { return []string{"a"} }, []Share{{To: "n", Weight: 1}}, request())
	tr.next(tr.candidates())
	tr.becomes(http.StatusOK, http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}})
	b.drain(context.Background(), "a", time.Minute)
	if _, streams := b.busy([]string{"a"}); streams != 1 || b.pick([]string{"a"}) != "" {
		t.Errorf("%d streams, and a drained address takes another", streams)
	}
	tr.leave(false)
	if requests, streams := b.busy([]string{"a"}); requests != 0 || streams != 0 {
		t.Errorf("afterwards %d requests and %d streams", requests, streams)
	}
}

func TestTrips(t *testing.T) {
	b := newBalancer()
	healthy := map[string][]string{"blue": {"b1", "b2"}, "green": {"g1"}}
	find := func(node string) []string { return healthy[node] }
	pools := []Share{{To: "blue", Color: "blue", Weight: 90}, {To: "green", Color: "green", Weight: 10}}

	green := 0
	for range 10000 {
		if tr := newTrip(b, find, pools, request()); slices.Contains(tr.candidates(), "g1") {
			green++
		}
	}
	if green < 800 || green > 1200 { // six standard deviations are 180
		t.Errorf("%d of 10000 requests went to a pool of 10 %%", green)
	}
	pools[1].Weight = 0
	for range 1000 {
		if tr := newTrip(b, find, pools, request()); slices.Contains(tr.candidates(), "g1") {
			t.Fatal("an idle pool got a request")
		}
	}
	if tr := newTrip(b, find, pools, request(ColorHeader, "green")); !slices.Equal(tr.candidates(), []string{"g1"}) {
		t.Error("the header does not reach the idle colour")
	}

	// An instance that did not work out is left for another, and left alone after that.
	tr := newTrip(b, find, pools, request())
	first := tr.next(tr.candidates())
	second := tr.next(tr.candidates())
	tr.leave(false)
	if first == second {
		t.Errorf("tried %s again while another was healthy", first)
	}
	for range 100 {
		tr := newTrip(b, find, pools, request())
		if tr.next(tr.candidates()) == first {
			t.Fatal("an instance that failed gets requests while another is healthy")
		}
		tr.leave(false)
	}
	// When nobody in the pool can answer, another pool does, if it has a weight.
	healthy["blue"], pools[1].Weight = nil, 1
	if tr := newTrip(b, find, pools, request()); !slices.Equal(tr.candidates(), []string{"g1"}) {
		t.Error("a request was left to a pool in which nobody is healthy")
	}
	for status, kind := range map[int]string{http.StatusSwitchingProtocols: "", http.StatusOK: "text/event-stream"} {
		tr := newTrip(b, find, pools, request())
		tr.next(tr.candidates())
		if !tr.becomes(status, http.Header{"Content-Type": {kind}}) {
			t.Errorf("%d %s is not taken for a stream", status, kind)
		}
	}
	if newTrip(b, find, pools, request()).becomes(http.StatusOK, http.Header{"Content-Type": {"application/json"}}) {
		t.Error("an answer that is no stream is taken for one")
	}
}

func TestMeter(t *testing.T) {
	var m meter
	at := time.Unix(1000, 0)
	m.count(at.Add(-time.Hour), true) // long forgotten
	for i := range 10 {
		m.count(at.Add(time.Duration(i)*time.Second), i < 2)
	}
	m.mark(at.Add(10 * time.Second))
	m.count(at.Add(11*time.Second), true)
	m.count(at.Add(12*time.Second), false)
	before, since := m.read()
	if before != (Counts{10, 2}) || since != (Counts{2, 1}) {
		t.Errorf("before %+v, since %+v", before, since)
	}
	m.mark(at.Add(40 * time.Second)) // of 30 s before, the first requests are no part any more
	if before, _ := m.read(); before != (Counts{2, 1}) {
		t.Errorf("before %+v", before)
	}
}
