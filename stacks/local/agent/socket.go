//go:build unix

package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
)

// maxSocket is the longest path that the systems' sockaddr_un holds, with room
// for its end: 108 bytes on Linux, 104 on macOS (unix(7), unix(4)).
const maxSocket = 100

// short is a path to a socket that the system accepts, and what to call when it
// has been used.
func short(path string) (string, func(), error) {
	if len(path) <= maxSocket {
		return path, func() {}, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("%s is too long for a socket: set SCALE_HOME to a shorter directory", path)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), filepath.Base(path)), func() { d.Close() }, nil
}

// listenUnix opens a socket that only this user can reach, in place of one that
// was left there.
func listenUnix(path string) (*net.UnixListener, error) {
	if err := removeAll(path); err != nil {
		return nil, err
	}
	s, done, err := short(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // a successor has its own by then
	return l, os.Chmod(path, 0o600)
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	s, done, err := short(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", s)
}
