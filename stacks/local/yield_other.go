//go:build unix && !linux

package local

import (
	"runtime"
	"sync"
)

// yield leaves processors to what serves: half of them are enough for a change.
var yield = sync.OnceFunc(func() { runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2)) })

// unyielding runs what starts a process that is not to yield with us.
func unyielding(f func()) { f() }
