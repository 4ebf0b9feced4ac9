//go:build unix

package agent

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// traffic is what goes on at the edges: it lets an agent leave without cutting
// anything off. Caddy does not wait for its servers unless the process is ending
// on Caddy's own terms.
type traffic struct {
	requests atomic.Int64 // being answered
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
	c, err := e.TCPListener.Accept()
	if err == nil {
		e.t.open.Add(1)
		return &edgeConn{Conn: c, t: e.t}, nil
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
	net.Conn
	t    *traffic
	once sync.Once
}

// Close implements net.Conn.
func (c *edgeConn) Close() error {
	c.once.Do(func() { c.t.open.Add(-1) })
	return c.Conn.Close()
}

// How long a leaving agent waits: for a request to come on a connection that was
// just taken, and at most for requests to be answered.
const (
	lull  = 50 * time.Millisecond
	grace = 10 * time.Second
)

// drain takes no more connections and waits until nothing is being answered.
func (t *traffic) drain() {
	t.mu.Lock()
	t.draining = true
	for l := range t.listeners {
		_ = l.SetDeadline(time.Now()) // wakes Accept; a closed one is awake
	}
	t.mu.Unlock()
	deadline := time.Now().Add(grace)
	for quiet := time.Now(); time.Since(quiet) < lull && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if t.requests.Load() > 0 {
			quiet = time.Now()
		}
	}
}

// emptied waits a moment for connections to close.
func (t *traffic) emptied() {
	for deadline := time.Now().Add(time.Second); t.open.Load() > 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
}
