//go:build faults

package fault

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

var (
	mu     sync.Mutex
	passed = map[string]int{}
)

// Point kills the process when SCALE_FAULT names this mark and this passing of it.
// With SCALE_FAULT_LOG it appends the mark to that file instead, so that a test
// learns which marks there are.
func Point(mark string) {
	mu.Lock()
	defer mu.Unlock()
	passed[mark]++
	if file := os.Getenv("SCALE_FAULT_LOG"); file != "" {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintf(f, "%s:%d\n", mark, passed[mark])
			f.Close()
		}
	}
	want, n, ok := strings.Cut(os.Getenv("SCALE_FAULT"), ":")
	if !ok || want != mark || strconv.Itoa(passed[mark]) != n {
		return
	}
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		_ = p.Kill()
	}
	select {}
}
