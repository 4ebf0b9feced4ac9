//go:build unix

package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A handover, seen from the successor: it opens a socket, asks the running agent
// to send its listeners there, serves on them beside it, adopts the processes,
// and then says thanks. Only then does the predecessor stop accepting, let its
// requests end, and say so by closing the socket: until then the successor changes
// nothing that the predecessor might still be asking. Streams stay with the
// predecessor until they end. At every moment somebody accepts connections.

func (d Dirs) handoverSocket() string { return filepath.Join(d.Run(), "handover.sock") }

// handoverPatience is how long either side waits for the other.
const handoverPatience = 30 * time.Second

// handOver is the predecessor's side.
func (a *Agent) handOver() error {
	c, err := dialUnix(context.Background(), a.dirs.handoverSocket())
	if err != nil {
		return err
	}
	conn := c.(*net.UnixConn)
	if err := conn.SetDeadline(time.Now().Add(handoverPatience)); err != nil {
		return err
	}
	if err := a.sendListeners(conn); err != nil {
		conn.Close()
		return err
	}
	for _, s := range a.each() {
		s.release()
	}
	go func() {
		defer conn.Close()
		b := make([]byte, 1)
		if _, err := io.ReadFull(conn, b); err != nil {
			a.log.Error("the successor did not take over; watching again", "error", err)
			a.watchAgain()
			return
		}
		a.log.Info("handed over")
		a.unhold() // the successor waits for it
		if err := a.edges.leave(func() { conn.Close() }); err != nil {
			a.log.Error("close the edges", "error", err)
		}
		a.stop()
	}()
	return nil
}

// watchAgain takes back what was released for a successor that failed.
func (a *Agent) watchAgain() {
	for _, s := range a.each() {
		id, err := readIdent(a.dirs.ident(s.spec.Name))
		if err != nil {
			a.log.Error("watch again", "component", s.spec.Name, "error", err)
		}
		a.setProc(s.spec.Name, supervise(a.dirs, s.spec, id, true))
	}
}

func (a *Agent) sendListeners(conn *net.UnixConn) error {
	a.edges.mu.Lock()
	defer a.edges.mu.Unlock()
	var names []string
	var fds []int
	for name, l := range a.edges.sockets {
		f, err := l.File()
		if err != nil {
			return err
		}
		defer f.Close()
		names, fds = append(names, name), append(fds, int(f.Fd()))
	}
	b, err := json.Marshal(names)
	if err != nil {
		return err
	}
	_, _, err = conn.WriteMsgUnix(b, unix.UnixRights(fds...), nil)
	return err
}

// takeOver is the successor's side. What it returns says thanks.
func (a *Agent) takeOver() (func() error, error) {
	l, err := listenUnix(a.dirs.handoverSocket())
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if err := l.SetDeadline(time.Now().Add(handoverPatience)); err != nil {
		return nil, err
	}
	asked := make(chan error, 1)
	go func() { asked <- (&Client{dirs: a.dirs}).do(context.Background(), "POST", "/v1/handover", nil, nil) }()
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(handoverPatience)); err != nil {
		return nil, err
	}
	if err := a.receiveListeners(conn); err != nil {
		return nil, err
	}
	if err := <-asked; err != nil {
		return nil, err
	}
	return func() error {
		defer conn.Close()
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, conn) // until the predecessor has answered its requests, or is gone
		return removeAll(a.dirs.handoverSocket())
	}, nil
}

func (a *Agent) receiveListeners(conn *net.UnixConn) error {
	b, oob := make([]byte, 64<<10), make([]byte, 64<<10)
	n, oobn, _, _, err := conn.ReadMsgUnix(b, oob)
	if err != nil {
		return err
	}
	var names []string
	if err := json.Unmarshal(b[:n], &names); err != nil {
		return err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return err
	}
	var fds []int
	for _, m := range msgs {
		more, err := unix.ParseUnixRights(&m)
		if err != nil {
			return err
		}
		fds = append(fds, more...)
	}
	if len(fds) != len(names) {
		return fmt.Errorf("%d listeners for %d names", len(fds), len(names))
	}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), names[i])
		s, err := socketOf(f, names[i])
		f.Close()
		if err != nil {
			return err
		}
		a.edges.adopt(names[i], s)
	}
	return nil
}

func socketOf(f *os.File, name string) (socket, error) {
	if strings.HasSuffix(name, udp) {
		c, err := net.FilePacketConn(f)
		if err != nil {
			return nil, err
		}
		return c.(*net.UDPConn), nil
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}
