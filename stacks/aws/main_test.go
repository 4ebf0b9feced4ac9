package aws_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// Walks through the engine make garbage by the gigabyte: collected less often, they take a
// quarter less of the processor.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
		debug.SetMemoryLimit(5 << 30)
	}
	os.Exit(m.Run())
}
