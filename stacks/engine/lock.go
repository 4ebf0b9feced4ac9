package engine

import (
	"context"
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

// Lock is a lock on a file, held by this process until Release or until the
// process ends, however it ends. The file names the holder.
type Lock struct {
	// Dead is who held it before and ended without releasing it; none when its PID is 0.
	Dead Holder

	name string
	f    *os.File
}

// Acquire takes the lock that the file is, waiting at most timeout for another
// holder; waiting, when not nil, is told once who that is.
func Acquire(ctx context.Context, file, what, command string, timeout time.Duration, waiting func(Holder)) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("lock %s: %w", what, err)
	}
	start := time.Now()
	for told := false; ; {
		l, err := try(file)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", what, err)
		}
		if l != nil {
			l.Dead, _ = ReadHolder(file) // one that cannot be read held nothing that matters
			return l, l.sign(command)
		}
		held := &LockedError{What: what}
		held.Holder, _ = ReadHolder(file) // the holder may be about to sign, or gone just now
		if time.Since(start) >= timeout {
			if timeout > 0 {
				held.Waited = time.Since(start)
			}
			return nil, held
		}
		if !told && waiting != nil {
			waiting(held.Holder)
			told = true
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ErrCancelled
		}
	}
}

// try returns nil when another process holds the lock.
func try(file string) (*Lock, error) {
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
	return &Lock{name: file, f: f}, nil
}

func (l *Lock) sign(command string) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	b, err := json.Marshal(Holder{PID: os.Getpid(), Host: host, Command: command, Since: time.Now()})
	if err != nil {
		return err
	}
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err = l.f.WriteAt(append(b, '\n'), 0)
	return err
}

// Release gives the lock up.
func (l *Lock) Release() error {
	return errors.Join(l.f.Truncate(0), l.f.Close())
}

// Remove gives the lock up and removes its file, as the last act on a state.
func (l *Lock) Remove() error {
	err := os.Remove(l.name)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.f.Close())
}

// ReadHolder says who signed the lock's file last; a released lock has no holder.
func ReadHolder(file string) (Holder, error) {
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

// Inspect says how a lock stands.
func Inspect(file string) (LockState, error) {
	var s LockState
	h, err := ReadHolder(file)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Holder = h
	l, err := try(file)
	if err != nil {
		return s, err
	}
	if l == nil {
		s.Held = true
		return s, nil
	}
	s.Stale = h.PID != 0
	return s, l.f.Close()
}
