package stacks

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/scale-levels/scale/stacks/engine"
)

// Lease takes the environment for a walk, waiting at most timeout for another
// holder.
func (e *Environment) Lease(ctx context.Context, timeout time.Duration, waiting func(engine.Holder)) (*engine.Lock, error) {
	if err := os.MkdirAll(e.home.dir(e.app.Name, e.app.Env), dirMode()); err != nil {
		return nil, &Error{What: "the environment's directory cannot be made", Err: err, Hint: "set SCALE_HOME to a directory that you can write to"}
	}
	return engine.Acquire(ctx, e.files, e.leaseFile(), e.app.Name+"/"+e.app.Env, e.command, timeout, waiting)
}

// Locks say how the lease and the lock stand.
func (e *Environment) Locks() (lease, lock engine.LockState, err error) {
	lease, err = e.files.Inspect(e.leaseFile())
	lock, err2 := e.files.Inspect(e.lockFile())
	return lease, lock, errors.Join(err, err2)
}

// ReleaseStale clears what a dead holder left; a living one's is refused.
func (e *Environment) ReleaseStale() (released []engine.Holder, err error) {
	for _, file := range []string{e.leaseFile(), e.lockFile()} {
		s, err := e.files.Inspect(file)
		if err != nil {
			return released, err
		}
		if s.Held {
			return released, &engine.LockedError{What: e.Name(), Holder: s.Holder}
		}
		if !s.Stale {
			continue
		}
		l, err := engine.Acquire(context.Background(), e.files, file, e.Name(), e.command, 0, nil)
		if err != nil {
			return released, err
		}
		if err := l.Release(); err != nil {
			return released, err
		}
		released = append(released, s.Holder)
	}
	return released, nil
}
