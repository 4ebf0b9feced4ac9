package local

import (
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// niceness is how far behind what serves a command stands in the queue for the
// processors, of 19.
const niceness = 10

// yield leaves the processors to what serves: half of them are enough for a change,
// and those after everybody else. It is called once an agent runs: what a command
// starts from then on would start with its priority, and agents must not.
var yield = sync.OnceFunc(func() {
	runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return // it only costs others some time
	}
	for _, t := range threads { // those that are made later take after these
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, niceness)
		}
	}
})
