package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Holder is who holds a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Command string    `json:"command"` // "scale up --level 1": no argument of ours is a secret
	Since   time.Time `json:"since"`
}

func (h Holder) String() string {
	return fmt.Sprintf("%q (pid %d on %s, since %s)", h.Command, h.PID, h.Host, h.Since.Local().Format("2006-01-02 15:04:05"))
}

// LockedError means that somebody else holds the lock.
type LockedError struct {
	What   string
	Holder Holder
	Waited time.Duration
}

func (e *LockedError) Error() string {
	s := fmt.Sprintf("%s is locked by %s", e.What, e.Holder)
	if e.Waited > 0 {
		s += fmt.Sprintf(", still after waiting %s", e.Waited.Round(time.Second))
	}
	return s
}

// Lock is held by this process until Release; one on a file, at the latest until the
// process ends, however it ends. It names its holder.
type Lock struct {
	// Dead is who held it before and ended without releasing it; none when its PID is 0.
	Dead Holder

	release, remove func() error
}

// NewLock is a lock that was taken: release gives it up, remove also leaves nothing of it.
func NewLock(dead Holder, release, remove func() error) *Lock { return &Lock{dead, release, remove} }

// Release gives the lock up.
func (l *Lock) Release() error { return l.release() }

// Remove gives the lock up and removes its file, as the last act on a state.
func (l *Lock) Remove() error { return l.remove() }

// Sign is who this process is, running a command.
func Sign(command string) Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return Holder{PID: os.Getpid(), Host: host, Command: command, Since: time.Now()}
}

// TryLock implements Files.
func (d Directory) TryLock(name, command string) (*Lock, Holder, error) {
	file := d.Place(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, Holder{}, err
	}
	f, err := try(file)
	if err != nil {
		return nil, Holder{}, err
	}
	holder, _ := readHolder(file) // one that cannot be read may be about to sign, or is gone, or held nothing that matters
	if f == nil {
		return nil, holder, nil
	}
	b, err := json.Marshal(Sign(command))
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(b, '\n'), 0)
	}
	if err != nil {
		return nil, holder, errors.Join(err, f.Close())
	}
	return NewLock(holder,
		func() error { return errors.Join(f.Truncate(0), f.Close()) },
		func() error { return errors.Join(d.Remove(name), f.Close()) }), holder, nil
}

// try takes the lock that a file is; nil when another process holds it.
func try(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	ok, err := flock(f)
	if err != nil || !ok {
		return nil, errors.Join(err, f.Close())
	}
	// Another process may have removed the file while this one waited for it: the
	// lock would then be on a file that nobody else can see.
	held, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if there, err := os.Stat(file); err != nil || !os.SameFile(held, there) {
		return nil, f.Close()
	}
	return f, nil
}

// readHolder says who signed the lock's file last; a released lock has no holder.
func readHolder(file string) (Holder, error) {
	var h Holder
	f, err := os.Open(file)
	if err != nil {
		return h, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil || strings.TrimSpace(string(b)) == "" {
		return h, err
	}
	return h, json.Unmarshal(b, &h)
}

// LockState is what is known of a lock without taking it.
type LockState struct {
	Holder Holder `json:"holder"`
	Held   bool   `json:"held"`  // a living process holds it
	Stale  bool   `json:"stale"` // its holder died without releasing it: the next run takes it over
}

// Inspect implements Files.
func (d Directory) Inspect(name string) (LockState, error) {
	var s LockState
	h, err := readHolder(d.Place(name))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Holder = h
	f, err := try(d.Place(name))
	if err != nil {
		return s, err
	}
	if f == nil {
		s.Held = true
		return s, nil
	}
	s.Stale = h.PID != 0
	return s, f.Close()
}
