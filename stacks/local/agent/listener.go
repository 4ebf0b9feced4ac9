//go:build unix

package agent

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// traffic is what goes on at the edges: it lets an agent leave without cutting
// anything off. Caddy does not wait for its servers unless the process is ending
// on Caddy's own terms.
type traffic struct {
	requests atomic.Int64 // being answered
	streams  atomic.Int64 // WebSockets and event streams that are open
	open     atomic.Int64 // connections

	mu        sync.Mutex
	draining  bool
	listeners map[*edgeListener]bool
}

// edgeListener is a server's view of a socket that belongs to the agent.
type edgeListener struct {
	*net.TCPListener
	t      *traffic
	closed chan struct{}
	once   sync.Once
}

func (t *traffic) listener(l *net.TCPListener) net.Listener {
	e := &edgeListener{TCPListener: l, t: t, closed: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listeners == nil {
		t.listeners = map[*edgeListener]bool{}
	}
	t.listeners[e] = true
	return e
}

// Accept stops taking connections when the agent drains, and leaves those that
// wait to whoever else has the socket.
func (e *edgeListener) Accept() (net.Conn, error) {
	c, err := e.AcceptTCP()
	if err == nil {
		e.t.open.Add(1)
		return &edgeConn{TCPConn: c, t: e.t}, nil
	}
	e.t.mu.Lock()
	draining := e.t.draining
	e.t.mu.Unlock()
	if draining {
		<-e.closed
		return nil, net.ErrClosed
	}
	return nil, err
}

// Close closes this view; the agent's own socket stays.
func (e *edgeListener) Close() error {
	e.once.Do(func() {
		e.t.mu.Lock()
		delete(e.t.listeners, e)
		e.t.mu.Unlock()
		close(e.closed)
	})
	return e.TCPListener.Close()
}

type edgeConn struct {
	*net.TCPConn
	t    *traffic
	once sync.Once
}

// Close implements net.Conn.
func (c *edgeConn) Close() error {
	c.once.Do(func() { c.t.open.Add(-1) })
	return c.TCPConn.Close()
}

// passage is one request at an edge.
type passage struct {
	t *traffic
	n *atomic.Int64 // where it is counted
}

// began counts a request. While the agent leaves, each answer asks the client to
// come back on another connection, so that none is closed on a client that is
// about to use it.
func (t *traffic) began(w http.ResponseWriter) *passage {
	t.mu.Lock()
	leaving := t.draining
	t.mu.Unlock()
	if leaving {
		w.Header().Set("Connection", "close")
	}
	t.requests.Add(1)
	return &passage{t, &t.requests}
}

// stream counts the request as a stream from now on.
func (p *passage) stream() {
	p.t.streams.Add(1)
	p.n.Add(-1)
	p.n = &p.t.streams
}

func (p *passage) ended() { p.n.Add(-1) }

// How long a leaving agent waits: at most, for requests to be answered; for
// connections on which nothing happens; for streams, which end when they end.
const (
	grace  = 10 * time.Second
	quiet  = 2 * time.Second
	linger = 10 * time.Minute
)

// drain takes no more connections and waits until nothing is being answered, and
// those that ask again and again have been told to go elsewhere.
func (t *traffic) drain() {
	t.mu.Lock()
	t.draining = true
	for l := range t.listeners {
		_ = l.SetDeadline(time.Now()) // wakes Accept; a closed one is awake
	}
	t.mu.Unlock()
	began := time.Now()
	t.until(began.Add(quiet), func() bool { return t.open.Load() <= t.streams.Load() })
	t.until(began.Add(grace), func() bool { return t.requests.Load() == 0 })
}

// linger waits for streams to end.
func (t *traffic) linger() {
	t.until(time.Now().Add(linger), func() bool { return t.streams.Load() == 0 })
}

func (t *traffic) until(deadline time.Time, holds func() bool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() && time.Now().Before(deadline) {
		<-tick.C
	}
}

// emptied waits a moment for connections to close.
func (t *traffic) emptied() {
	t.until(time.Now().Add(time.Second), func() bool { return t.open.Load() == 0 })
}
