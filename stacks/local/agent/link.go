//go:build unix

package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is a way between two regions: what passes takes as long as it would take there.
// How long that is, and whether anything passes, is asked for each piece that passes:
// nothing is rebuilt for connections that are there.
type link struct {
	passages *atomic.Int64 // connections that a leaving agent lingers for
	bytes    atomic.Int64  // both ways

	mu  sync.Mutex
	to  string
	rtt time.Duration
	// slower is by how much a round trip takes longer for now; cut, by how many nothing passes.
	slower time.Duration
	cut    int
	conns  map[net.Conn]bool
}

func newLink(e Edge, passages *atomic.Int64) *link {
	return &link{to: e.To, rtt: e.RTT, passages: passages, conns: map[net.Conn]bool{}}
}

// become changes where the link leads, for connections to come, and how long it takes,
// for all.
func (l *link) become(e Edge) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != e.To { // who asked the other one asks this one now
		l.closeAll()
	}
	l.to, l.rtt = e.To, e.RTT
}

// now is where the link leads, how long a round trip takes, and whether nothing passes.
func (l *link) now() (to string, rtt time.Duration, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to, l.rtt + l.slower, l.cut > 0
}

// serve takes connections until the listener is closed.
func (l *link) serve(listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		go l.carry(c)
	}
}

// carry connects once a handshake over the distance would be done, and then both ways.
func (l *link) carry(c net.Conn) {
	to, rtt, _ := l.now()
	defer l.keep(c, to)()
	time.Sleep(rtt)
	up, err := net.DialTimeout("tcp4", to, 5*time.Second)
	if err != nil {
		return
	}
	defer l.keep(up, to)()
	l.passages.Add(1)
	defer l.passages.Add(-1)
	var ways sync.WaitGroup
	ways.Go(func() { l.pass(c, up) })
	ways.Go(func() { l.pass(up, c) })
	ways.Wait()
}

// keep notes a connection that is there because the link leads to a place, and closes
// it if that is not so any more. What it returns lets it go.
func (l *link) keep(c net.Conn, to string) (over func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = true
	if l.to != to { // moved while it connected
		c.Close()
	}
	return func() {
		c.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
	}
}

// piece is what was read at once, and when.
type piece struct {
	data []byte
	at   time.Time
}

// onTheWay is how many pieces, of 32 KiB at most, are on one way of a connection at once.
const onTheWay = 256

// pass carries one way of a connection until its end, which is passed on as it came:
// one way may be over before the other.
func (l *link) pass(from, to net.Conn) {
	way := make(chan piece, onTheWay)
	var broken error
	go func() {
		defer close(way)
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			way <- piece{bytes.Clone(b[:n]), time.Now()} // the end takes as long as all else
			if err != nil {
				if !errors.Is(err, io.EOF) {
					broken = err
				}
				return
			}
		}
	}()
	var err error
	for p := range way {
		_, rtt, _ := l.now()
		time.Sleep(time.Until(p.at.Add(rtt / 2)))
		if _, _, cut := l.now(); cut || err != nil {
			continue // nobody waits for it: who reads must not wait for anybody either
		}
		l.bytes.Add(int64(len(p.data)))
		if _, err = to.Write(p.data); err != nil {
			from.Close()
		}
	}
	_, _, cut := l.now()
	switch {
	case cut: // nor does the end pass
	case errors.Join(err, broken) != nil:
		from.Close()
		to.Close()
	default:
		_ = to.(closeWriter).CloseWrite() // who is gone needs not be told
	}
}

// closeWriter is a connection of which one way can be over.
type closeWriter interface{ CloseWrite() error }

// end cuts off what passes.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeAll()
}

func (l *link) closeAll() {
	for c := range l.conns {
		c.Close()
	}
}

// detail says what the link carries.
func (l *link) detail() string {
	to, rtt, _ := l.now()
	return fmt.Sprintf("%d ms to %s, %d kB", rtt.Milliseconds(), to, l.bytes.Load()>>10)
}

// disturb changes the link until undone.
func (l *link) disturb(cut int, slower time.Duration) (undo func()) {
	change := func(cut int, slower time.Duration) {
		l.mu.Lock()
		defer l.mu.Unlock()
		before := l.cut
		l.cut += cut
		l.slower += slower
		if before > 0 && l.cut == 0 { // they have lost some of their bytes
			l.closeAll()
		}
	}
	change(cut, slower)
	return func() { change(-cut, -slower) }
}
