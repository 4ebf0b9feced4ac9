//go:build unix

package agent

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// markerName is the variable by which a process and its children are known to
// be a component of ours, should the file that names it be lost.
const markerName = "SCALE_COMPONENT"

func (d Dirs) marker(name string) string { return markerName + "=" + d.Root + "#" + name }

// command prepares a process as the leader of a group of its own.
func command(d Dirs, p Process, log *os.File) *exec.Cmd {
	c := exec.Command(p.Argv[0], p.Argv[1:]...)
	c.Env = append(append([]string(nil), p.Env...), d.marker(p.Name))
	c.Dir, c.Stdout, c.Stderr = p.Dir, log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.User != nil && os.Geteuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: p.User.UID, Gid: p.User.GID}
	}
	return c
}

// end asks the group of a process to end, and makes it after the deadline.
// Groups are signalled only while their leader is known to be ours: a number may
// be another's by then.
func end(ctx context.Context, i ident, sig string, deadline time.Duration) {
	if !i.alive() {
		return
	}
	_ = unix.Kill(-i.PID, signals[sig]) // it may end by itself meanwhile
	if ended(ctx, i, deadline) {
		return
	}
	_ = unix.Kill(-i.PID, unix.SIGKILL)
	ended(ctx, i, 5*time.Second)
}

var signals = map[string]syscall.Signal{"": unix.SIGTERM, "TERM": unix.SIGTERM, "INT": unix.SIGINT}

func ended(ctx context.Context, i ident, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	await(ctx, i)
	return !i.alive()
}

func awaitByPolling(ctx context.Context, i ident) {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for i.alive() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep ends what is left of a component: children that outlived their leader,
// or a leader whose file was lost. Patience is for those that end by themselves,
// as PostgreSQL's do when their postmaster is gone.
func sweep(ctx context.Context, d Dirs, name string, patience time.Duration) {
	for _, sig := range []syscall.Signal{0, unix.SIGTERM, unix.SIGKILL} {
		left := marked(d.marker(name))
		if len(left) == 0 {
			return
		}
		for _, i := range left {
			if sig != 0 && i.alive() {
				_ = unix.Kill(i.PID, sig)
			}
		}
		for _, i := range left {
			ended(ctx, i, patience)
		}
	}
}

// Members are the processes of a component: the one that was started, and what it
// started in turn.
func Members(d Dirs, name string) []int {
	var pids []int
	for _, i := range marked(d.marker(name)) {
		pids = append(pids, i.PID)
	}
	return pids
}

// exitText says how a process ended.
func exitText(err error) string {
	var e *exec.ExitError
	switch {
	case err == nil:
		return "ended with exit code 0"
	case errors.As(err, &e):
		if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return "was ended by signal " + unix.SignalName(ws.Signal())
		}
		return "ended with " + e.Error()
	default:
		return "could not be started: " + err.Error()
	}
}
