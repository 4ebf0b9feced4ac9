package aws_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// Walks through the engine make garbage by the gigabyte, and what the engine never gives back is
// looked at each time: collected a little less often, they take less of the processor.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(150)
		debug.SetMemoryLimit(8 << 30)
	}
	os.Exit(m.Run())
}
