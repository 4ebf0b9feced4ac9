//go:build unix

package agent

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	way "github.com/Shopify/toxiproxy/v2/stream"
	"github.com/rs/zerolog"
)

// link is a way between two regions: what passes takes as long as it would take there.
// The agent has the socket, so that a successor gets it; what a connection suffers is
// toxiproxy's.
type link struct {
	proxy    *toxiproxy.Proxy
	server   *toxiproxy.ApiServer
	passages *atomic.Int64 // connections that a leaving agent lingers for

	mu  sync.Mutex
	to  string
	rtt time.Duration
	// slower is by how much a round trip takes longer for now.
	slower time.Duration
	conns  map[net.Conn]bool
	made   int
	bytes  atomic.Int64 // both ways
}

func newLink(e Edge, passages *atomic.Int64) (*link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{server: server, proxy: toxiproxy.NewProxy(server, e.Name, "", ""), passages: passages, conns: map[net.Conn]bool{}}
	for _, dir := range directions {
		toxic := fmt.Sprintf(`{"name": %q, "type": "latency", "stream": %[1]q, "attributes": %s}`, dir, latency(e.RTT))
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return nil, fmt.Errorf("make the link %s: %w", e.Name, err)
		}
	}
	l.to, l.rtt = e.To, e.RTT
	return l, nil
}

// directions are the two of a link, as toxiproxy calls them.
var directions = []string{"upstream", "downstream"}

// latency is what one way takes: half of a round trip.
func latency(rtt time.Duration) string {
	return fmt.Sprintf(`{"latency": %d, "jitter": 0}`, (rtt / 2).Milliseconds())
}

// become changes where the link leads, for connections to come, and how long it takes,
// for all.
func (l *link) become(e Edge) error {
	return l.takes(func() time.Duration {
		if l.to != e.To { // who asked the other one asks this one now
			for c := range l.conns {
				c.Close()
			}
		}
		l.to, l.rtt = e.To, e.RTT
		return l.rtt + l.slower
	})
}

// takes changes how long a round trip takes, for all connections.
func (l *link) takes(change func() time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.rtt + l.slower
	after := change()
	if before == after {
		return nil
	}
	for _, dir := range directions {
		if _, err := l.proxy.Toxics.UpdateToxicJson(dir, strings.NewReader(fmt.Sprintf(`{"toxicity": 1, "attributes": %s}`, latency(after)))); err != nil {
			return err
		}
	}
	return nil
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
	l.mu.Lock()
	to, wait := l.to, l.rtt+l.slower
	l.made++
	name := fmt.Sprint(l.made)
	l.conns[c] = true
	l.mu.Unlock()
	time.Sleep(wait)
	up, err := net.DialTimeout("tcp4", to, 5*time.Second)
	if err != nil {
		l.over(c)
		return
	}
	l.mu.Lock()
	moved := l.to != to // while it connected
	l.conns[up] = !moved
	l.mu.Unlock()
	if moved {
		l.over(up)
		l.over(c)
		return
	}
	l.passages.Add(1)
	var once sync.Once
	ended := func() {
		once.Do(func() { l.passages.Add(-1); l.over(c); l.over(up) })
	}
	l.proxy.Toxics.StartLink(l.server, name+"upstream", &counted{c, l, ended}, &counted{up, l, ended}, way.Upstream)
	l.proxy.Toxics.StartLink(l.server, name+"downstream", up, &counted{c, l, ended}, way.Downstream)
}

func (l *link) over(c net.Conn) {
	c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// end cuts off what passes.
func (l *link) end() {
	l.mu.Lock()
	var all []net.Conn
	for c := range l.conns {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		l.over(c)
	}
}

// detail says what the link carries.
func (l *link) detail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d ms to %s, %d kB", (l.rtt + l.slower).Milliseconds(), l.to, l.bytes.Load()>>10)
}

// counted is one end of a connection.
type counted struct {
	net.Conn
	l     *link
	ended func()
}

// Write implements net.Conn.
func (c *counted) Write(b []byte) (int, error) {
	c.l.bytes.Add(int64(len(b)))
	return c.Conn.Write(b)
}

// Close implements net.Conn: with one end goes the other, as toxiproxy has it.
func (c *counted) Close() error {
	c.ended()
	return nil
}
