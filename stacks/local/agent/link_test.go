//go:build unix

package agent

import (
	"bufio"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// What passes a link takes a round trip at least, also the first word; the bytes are
// counted, and what is cut off is closed at both ends.
func TestLink(t *testing.T) {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	closed := make(chan struct{})
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		s := bufio.NewScanner(c)
		for s.Scan() {
			fmt.Fprintln(c, "echo", s.Text())
		}
		close(closed)
	}()
	var passages atomic.Int64
	const rtt = 40 * time.Millisecond
	l, err := newLink(Edge{Name: "link", To: server.Addr().String(), RTT: rtt}, &passages)
	if err != nil {
		t.Fatal(err)
	}
	front, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go l.serve(front)
	c, err := net.Dial("tcp4", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
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
	if passages.Load() != 1 || l.bytes.Load() != 2*(6+11) {
		t.Errorf("%d passages, %d bytes", passages.Load(), l.bytes.Load())
	}
	if err := l.become(Edge{To: server.Addr().String(), RTT: 0}); err != nil {
		t.Fatal(err)
	}
	front.Close()
	l.end()
	if _, err := r.ReadString('\n'); err == nil {
		t.Error("the client's end is open")
	}
	<-closed
	if passages.Load() != 0 {
		t.Errorf("%d passages are left", passages.Load())
	}
}
