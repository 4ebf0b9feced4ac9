//go:build unix && !linux

package agent

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// startTime is when the process started, in microseconds since 1970.
func startTime(pid int) (uint64, bool) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || k.Proc.P_pid != int32(pid) || k.Proc.P_stat == zombie {
		return 0, false
	}
	t := k.Proc.P_starttime
	return uint64(t.Sec)*1e6 + uint64(t.Usec), true
}

// paused reports whether a process was stopped by a signal, and not ended.
func paused(pid int) bool {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	return err == nil && k.Proc.P_pid == int32(pid) && k.Proc.P_stat == suspended
}

// suspended is SSTOP of sys/proc.h.
const suspended = 4

// parents are those of all processes.
func parents() map[int]int {
	of := map[int]int{}
	all, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return of
	}
	for _, k := range all {
		of[int(k.Proc.P_pid)] = int(k.Eproc.Ppid)
	}
	return of
}

// zombie is SZOMB of sys/proc.h.
const zombie = 5

var bootID = sync.OnceValue(func() string {
	t, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return ""
	}
	return strconv.FormatInt(t.Sec, 10)
})

func await(ctx context.Context, i ident) { awaitByPolling(ctx, i) }

// marked finds nothing here: the environment of another process cannot be read,
// and the identity files have to do.
func marked(string) []ident { return nil }

// pollEvery is how often a wait that cannot be told looks again.
const pollEvery = 50 * time.Millisecond
