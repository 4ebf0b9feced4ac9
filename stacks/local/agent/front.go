//go:build unix

package agent

import (
	"errors"
	"net"
	"sync"
	"time"
)

// front is the one listener of Caddy's one server: it takes the connections of all
// entries. Entries come and go here, while Caddy's configuration, a reload of which can
// drop a connection, stays as it is.
type front struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newFront() *front { return &front{conns: make(chan net.Conn), closed: make(chan struct{})} }

// take hands on what an entry's listener accepts, until that or the front is closed.
func (f *front) take(l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // too many open files, or the like
			time.Sleep(5 * time.Millisecond)
			continue
		}
		select {
		case f.conns <- c:
		case <-f.closed:
			c.Close()
			return
		}
	}
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The entries' own sockets stay.
func (f *front) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// Addr implements net.Listener; whose connection it is says the connection.
func (f *front) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
