//go:build unix

package agent

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// listenerOf is a listener on a free port, closed at the test's end.
func listenerOf(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// echo answers each line until the test's end; gone is told of each connection that has ended.
func echo(t *testing.T, gone func()) (address string) {
	l := listenerOf(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer gone()
				defer c.Close()
				s := bufio.NewScanner(c)
				for s.Scan() {
					fmt.Fprintln(c, "echo", s.Text())
				}
			}()
		}
	}()
	return l.Addr().String()
}

// linked serves a link until the test's end.
func linked(t *testing.T, e Edge) (l *link, address string) {
	front := listenerOf(t)
	l = newLink(e, new(atomic.Int64))
	go l.serve(new(traffic).listener(front.(*net.TCPListener)))
	t.Cleanup(l.end)
	return l, front.Addr().String()
}

// dial connects until the test's end.
func dial(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

// settles waits for what is about to be so.
func settles(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(time.Millisecond); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// What passes a link takes a round trip at least, also the first word; the bytes are
// counted, and what is cut off is closed at both ends.
func TestLink(t *testing.T) {
	closed := make(chan struct{})
	server := echo(t, func() { close(closed) })
	const rtt = 40 * time.Millisecond
	l, front := linked(t, Edge{To: server, RTT: rtt})
	c, r := dial(t, front)
	for i, least := range []time.Duration{2 * rtt, rtt} { // the first waits for the connection too
		began := time.Now()
		fmt.Fprintln(c, "hello")
		if s, err := r.ReadString('\n'); err != nil || s != "echo hello\n" {
			t.Fatal(s, err)
		}
		if took := time.Since(began); took < least-time.Millisecond {
			t.Errorf("word %d took %s, less than %s", i, took, least)
		}
	}
	if l.passages.Load() != 1 || l.bytes.Load() != 2*(6+11) {
		t.Errorf("%d passages, %d bytes", l.passages.Load(), l.bytes.Load())
	}
	l.end()
	if _, err := r.ReadString('\n'); err == nil {
		t.Error("the client's end is open")
	}
	<-closed
	settles(t, "a passage is left", func() bool { return l.passages.Load() == 0 })
}

// Who has said all that it has to say still gets the answer.
func TestLinkOneWayEndsBeforeTheOther(t *testing.T) {
	server := listenerOf(t)
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		all, _ := io.ReadAll(c)
		fmt.Fprintf(c, "%d bytes", len(all))
	}()
	_, front := linked(t, Edge{To: server.Addr().String(), RTT: 2 * time.Millisecond})
	c, r := dial(t, front)
	const much = 3 << 20
	if _, err := c.Write(make([]byte, much)); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(r); err != nil || string(answer) != fmt.Sprint(much, " bytes") {
		t.Errorf("%q %v", answer, err)
	}
}

// Through a link that is cut nothing passes and nobody is told; when it is mended, who
// lost something has to begin anew.
func TestLinkIsCut(t *testing.T) {
	l, front := linked(t, Edge{To: echo(t, func() {})})
	c, r := dial(t, front)
	fmt.Fprintln(c, "one")
	if s, err := r.ReadString('\n'); err != nil {
		t.Fatal(s, err)
	}
	undo := l.disturb(1, 0)
	fmt.Fprintln(c, "two")
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if s, err := r.ReadString('\n'); err == nil || !err.(net.Error).Timeout() {
		t.Errorf("a link that is cut answers %q, %v", s, err)
	}
	undo()
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if s, err := r.ReadString('\n'); err == nil {
		t.Errorf("what was cut goes on: %q", s)
	}
	c, r = dial(t, front)
	fmt.Fprintln(c, "three")
	if s, err := r.ReadString('\n'); err != nil || s != "echo three\n" {
		t.Error(s, err)
	}
}

// A link that leads elsewhere, gets longer and is cut, again and again, while everybody
// talks at once and some read nothing of what they asked for, waits for none of them.
func TestLinkChangesUnderLoad(t *testing.T) {
	servers := []string{echo(t, func() {}), echo(t, func() {})}
	l, front := linked(t, Edge{To: servers[0], RTT: time.Millisecond})
	done := make(chan struct{})
	var users sync.WaitGroup
	for i := range 16 {
		users.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				c, err := net.Dial("tcp4", front)
				if err != nil {
					t.Error(err)
					return
				}
				r := bufio.NewReader(c)
				for err == nil {
					if _, err = c.Write(append(make([]byte, 8<<10), '\n')); err == nil && i%4 > 0 {
						_, err = r.ReadString('\n')
					}
				}
				c.Close()
			}
		})
	}
	for i := range 200 {
		l.become(Edge{To: servers[i/3%2], RTT: time.Duration(i%5) * time.Millisecond})
		l.disturb(i%2, time.Duration(i%3)*time.Millisecond)()
		before := l.bytes.Load()
		settles(t, "nothing passes any more", func() bool { return l.bytes.Load() > before })
	}
	close(done)
	ended := make(chan struct{})
	go func() { users.Wait(); close(ended) }()
	settles(t, "users wait for an answer", func() bool {
		l.end()
		select {
		case <-ended:
			return l.passages.Load() == 0
		default:
			return false
		}
	})
}
