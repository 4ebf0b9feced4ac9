//go:build unix

package agent

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// ColorHeader names the colour that a request is for, also an idle one.
const ColorHeader = "X-Scale-Color"

// outFor is how long an instance that failed a request gets no more, unless all
// of its pool did: the passive health check beside the active one.
const outFor = 2 * time.Second

// balancer knows what goes on at each address that takes requests. Every choice
// of an address passes through it, so that an instance which is taken out has
// seen its last request when drain returns.
type balancer struct {
	mu       sync.Mutex
	loads    map[string]*load   // by address
	meters   map[string]*meter  // by node
	circuits map[string]circuit // by a rule's first pool
	holds    *holds
}

type load struct {
	requests, streams int
	draining          bool
	out               time.Time     // gets nothing until then
	idle              chan struct{} // closed when the last request has ended; nil when nobody waits
}

func newBalancer() *balancer {
	return &balancer{loads: map[string]*load{}, meters: map[string]*meter{}, circuits: map[string]circuit{}, holds: newHolds()}
}

func (b *balancer) load(addr string) *load {
	l := b.loads[addr]
	if l == nil {
		l = &load{}
		b.loads[addr] = l
	}
	return l
}

// pick chooses the address with the least to do and counts a request there; ""
// when none takes any.
func (b *balancer) pick(addrs []string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	best, from := "", time.Now()
	less := func(x, y *load) bool { // the failed ones last, then by what they have to do
		if xo, yo := x.out.After(from), y.out.After(from); xo != yo {
			return yo
		}
		return x.requests+x.streams < y.requests+y.streams
	}
	start := 0
	if len(addrs) > 0 {
		start = rand.IntN(len(addrs)) // equals take turns
	}
	for i := range addrs {
		a := addrs[(start+i)%len(addrs)]
		if l := b.load(a); !l.draining && (best == "" || less(l, b.load(best))) {
			best = a
		}
	}
	if best == "" {
		return ""
	}
	b.loads[best].requests++
	return best
}

// stream counts a request as a stream from now on: nobody waits for its end.
func (b *balancer) stream(addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.load(addr)
	l.streams++
	l.answered()
}

// answered counts a request less; the caller holds the mutex.
func (l *load) answered() {
	if l.requests--; l.requests == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// end counts a request as over; one that failed takes the address out for a while.
func (b *balancer) end(addr string, stream, failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.load(addr)
	if failed {
		l.out = time.Now().Add(outFor)
	}
	if stream {
		l.streams--
		return
	}
	l.answered()
}

// admit lets an address take requests: what runs there is new.
func (b *balancer) admit(addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.load(addr)
	l.draining, l.out = false, time.Time{}
}

// drain gives an address no more requests and waits until those that it has are
// answered, at most for so long. Streams, which never end by themselves, are left
// to the application: it closes them in order when it is asked to stop.
func (b *balancer) drain(ctx context.Context, addr string, patience time.Duration) {
	b.mu.Lock()
	l := b.load(addr)
	l.draining = true
	if l.requests == 0 {
		b.mu.Unlock()
		return
	}
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	b.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(patience):
	case <-ctx.Done():
	}
}

// recent reports whether any node has had a request within a span of time.
func (b *balancer) recent(span time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.meters {
		if m.last(time.Now(), span) {
			return true
		}
	}
	return false
}

// busy is how many requests and streams a node's addresses have.
func (b *balancer) busy(addrs []string) (requests, streams int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range addrs {
		l := b.load(a)
		requests, streams = requests+l.requests, streams+l.streams
	}
	return requests, streams
}

// meter is that of a node.
func (b *balancer) meter(node string) *meter {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.meters[node]
	if m == nil {
		m = &meter{}
		b.meters[node] = m
	}
	return m
}

// mark begins a new measure of every node: traffic has been moved.
func (b *balancer) mark() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.meters {
		m.mark(time.Now())
	}
}

// trip is one request on its way to a pool.
type trip struct {
	b      *balancer
	find   func(node string) []string // the healthy addresses of a node
	pools  []Share
	color  string // that was asked for
	stream bool   // it has become a WebSocket or an event stream
	node   string // the pool that was chosen
	addr   string // the instance that has it now; "" before the first attempt
	asked  string // the instance that had it last
	tries  int
	most   int    // so many instances are asked; 0: as many as there is time for
	giveUp func() // no more are
}

func newTrip(b *balancer, find func(string) []string, pools []Share, r *http.Request) *trip {
	return &trip{b: b, find: find, pools: pools, color: r.Header.Get(ColorHeader)}
}

// becomes is told how the answer begins.
func (t *trip) becomes(status int, h http.Header) (stream bool) {
	t.stream = t.addr != "" && (status == http.StatusSwitchingProtocols || strings.HasPrefix(h.Get("Content-Type"), "text/event-stream"))
	if t.stream {
		t.b.stream(t.addr)
	}
	return t.stream
}

// candidates are the addresses of the pool that the request goes to. The pool is
// drawn by weight; another one is drawn when nobody in it can answer.
func (t *trip) candidates() []string {
	if t.node != "" {
		if addrs := t.find(t.node); len(addrs) > 0 {
			return addrs
		}
	}
	pools := slices.Clone(t.pools)
	if i := slices.IndexFunc(pools, func(s Share) bool { return t.color != "" && s.Color == t.color }); i >= 0 {
		t.node = pools[i].To
		return t.find(t.node)
	}
	for {
		sum := 0
		for _, s := range pools {
			sum += s.Weight
		}
		if sum == 0 {
			return nil
		}
		n, i := rand.IntN(sum), 0
		for ; n >= pools[i].Weight; i++ {
			n -= pools[i].Weight
		}
		t.node = pools[i].To
		if addrs := t.find(t.node); len(addrs) > 0 {
			return addrs
		}
		pools = slices.Delete(pools, i, i+1)
	}
}

// next chooses an instance among candidates. A second call means that the one
// before did not work out.
func (t *trip) next(addrs []string) string {
	t.leave(true)
	if t.tries++; t.most > 0 && t.tries > t.most {
		t.giveUp()
		return ""
	}
	t.addr = t.b.pick(addrs)
	t.asked = t.addr
	return t.addr
}

func (t *trip) leave(failed bool) {
	if t.addr != "" {
		t.b.end(t.addr, t.stream, failed)
		t.addr = ""
	}
}
