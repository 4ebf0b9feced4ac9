package agent

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// stat are the fields of /proc/PID/stat from the third on, the state (proc(5)). A zombie
// has ended.
func stat(pid int) ([]string, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, false
	}
	// The command, in parentheses, may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return fields, len(fields) >= 20 && fields[0] != "Z" && fields[0] != "X"
}

// startTime is field 22, in clock ticks since boot.
func startTime(pid int) (uint64, bool) {
	fields, ok := stat(pid)
	if !ok {
		return 0, false
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return start, err == nil
}

// paused reports whether a process was stopped by a signal, and not ended.
func paused(pid int) bool {
	fields, ok := stat(pid)
	return ok && fields[0] == "T"
}

// parents are those of all processes: field 4.
func parents() map[int]int {
	of := map[int]int{}
	for _, pid := range all() {
		if fields, ok := stat(pid); ok {
			of[pid], _ = strconv.Atoi(fields[1]) // the kernel writes a number
		}
	}
	return of
}

// all are the processes of this machine.
func all() []int {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, d := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(d)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

var bootID = sync.OnceValue(func() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
})

// await returns when a process that is not our child has ended, or ctx is done.
func await(ctx context.Context, i ident) {
	fd, err := unix.PidfdOpen(i.PID, 0)
	if err != nil {
		awaitByPolling(ctx, i)
		return
	}
	defer unix.Close(fd)
	for i.alive() && ctx.Err() == nil {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 500)
	}
}

// marked finds the processes that carry the marker in their environment: the
// ones that we started, and what they started in turn.
func marked(marker string) []ident {
	want := []byte(marker)
	var found []ident
	for _, pid := range all() {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil || pid == os.Getpid() || !carries(env, want) {
			continue
		}
		if i, ok := identify(pid); ok {
			found = append(found, i)
		}
	}
	return found
}

func carries(env, want []byte) bool {
	for e := range bytes.SplitSeq(env, []byte{0}) {
		if bytes.Equal(e, want) {
			return true
		}
	}
	return false
}

// pollEvery is how often a wait that cannot be told looks again.
const pollEvery = 20 * time.Millisecond
