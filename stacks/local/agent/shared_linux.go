package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ForgetShared removes the segment of shared memory that a database which was killed has
// left in the kernel: only a server on the same files would find it there, and a kernel has
// room for some thousands. One that is in use stays.
func ForgetShared(dataDir string) {
	b, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if err != nil {
		return // it was stopped in order
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 7 {
		return
	}
	keyID := strings.Fields(lines[6]) // its key and id (PostgreSQL's miscadmin.h, LOCK_FILE_LINE_SHMEM_KEY)
	if len(keyID) != 2 {
		return
	}
	key, err := strconv.ParseUint(keyID[0], 10, 64)
	id, err2 := strconv.Atoi(keyID[1])
	var d unix.SysvShmDesc
	if err != nil || err2 != nil {
		return
	}
	if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &d); err != nil || d.Nattch != 0 || uint64(uint32(d.Perm.Key)) != key {
		return // the number is another's by now
	}
	_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) // what stays takes 56 bytes
}
