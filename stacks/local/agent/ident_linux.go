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

// startTime is field 22 of /proc/PID/stat, in clock ticks since boot (proc(5)).
// A zombie has ended.
func startTime(pid int) (uint64, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// The command, in parentheses, may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, false
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return start, err == nil
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
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	want := []byte(marker)
	var found []ident
	for _, d := range dirs {
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(d + "/environ")
		if err != nil || !carries(env, want) {
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
