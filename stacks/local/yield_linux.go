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
// and those after everybody else.
var yield = sync.OnceFunc(func() {
	keep := aside().thread
	runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return // it only costs others some time
	}
	for _, t := range threads { // those that are made later take after these
		if id, err := strconv.Atoi(t.Name()); err == nil && id != keep {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, niceness)
		}
	}
})

// thread is one of ours that never yields. A process takes after the thread that
// starts it, and without privileges nobody gets out of a niceness again.
type thread struct {
	thread int
	work   chan func()
}

var aside = sync.OnceValue(func() thread {
	t, id := thread{work: make(chan func())}, make(chan int)
	go func() {
		runtime.LockOSThread()
		id <- unix.Gettid()
		for f := range t.work {
			f()
		}
	}()
	t.thread = <-id
	return t
})

// unyielding runs what starts a process that is not to yield with us.
func unyielding(f func()) {
	done := make(chan struct{})
	aside().work <- func() { defer close(done); f() }
	<-done
}
