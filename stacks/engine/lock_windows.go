package engine

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockByte lies far behind the holder's name, so that others can read that.
const lockByte = 1 << 30

// flock takes the lock without waiting; false when another process has it.
func flock(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{Offset: lockByte})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}
