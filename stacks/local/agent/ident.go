//go:build unix

package agent

import (
	"encoding/json"
	"errors"
	"os"
)

// ident tells one process from a later one with the same number.
type ident struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"` // in the units of the system
	Boot   string `json:"boot"`
	Digest string `json:"digest"` // of the Process that was started
}

// identify reads the identity of a running process; false when there is none.
func identify(pid int) (ident, bool) {
	start, ok := startTime(pid)
	return ident{PID: pid, Start: start, Boot: bootID()}, ok
}

// alive reports whether the very process still runs.
func (i ident) alive() bool {
	if i.PID <= 1 || i.Boot != bootID() {
		return false
	}
	start, ok := startTime(i.PID)
	return ok && start == i.Start
}

func readIdent(file string) (ident, error) {
	var i ident
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return i, nil
	}
	if err != nil {
		return i, err
	}
	if json.Unmarshal(b, &i) != nil {
		return ident{}, nil // half-written by a crash: the sweep finds the process
	}
	return i, nil
}

func (i ident) write(file string) error {
	b, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return replace(file, b)
}
