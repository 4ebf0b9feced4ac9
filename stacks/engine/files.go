package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Files is where state is kept: small files by their names, which have slashes.
// Directory is one on this machine; there may be others that several machines reach.
type Files interface {
	// Read is a file's content; fs.ErrNotExist when there is none.
	Read(name string) ([]byte, error)
	// Write replaces a file durably: whoever reads finds the old or the new content.
	// Where others can write it too, it fails when they have since the last Read.
	Write(name string, b []byte) error
	// Remove removes a file; there may be none.
	Remove(name string) error
	// Log is a file that grows.
	Log(name string) Log
	// TryLock takes a lock, or says who has it: the Lock is nil then.
	TryLock(name, command string) (*Lock, Holder, error)
	// Inspect says how a lock stands, without taking it.
	Inspect(name string) (LockState, error)
	// Place is a file's name for people.
	Place(name string) string
}

// Log is a file that grows. One that was not read through this Log must not be there
// at the first Append: two runs never add to the same one.
type Log interface {
	// Read is all that was added, perhaps with a torn last line; fs.ErrNotExist when
	// there is none.
	Read() ([]byte, error)
	// Append adds lines durably, all or none.
	Append(lines []byte) error
	// Remove removes the file; there may be none.
	Remove() error
	Close() error
}

// Acquire takes a lock, waiting at most timeout for another holder; waiting, when not
// nil, is told once who that is.
func Acquire(ctx context.Context, files Files, name, what, command string, timeout time.Duration, waiting func(Holder)) (*Lock, error) {
	start, pause := time.Now(), 50*time.Millisecond
	for told := false; ; pause = min(2*pause, time.Second) {
		l, holder, err := files.TryLock(name, command)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", what, err)
		}
		if l != nil {
			return l, nil
		}
		if time.Since(start) >= timeout {
			held := &LockedError{What: what, Holder: holder}
			if timeout > 0 {
				held.Waited = time.Since(start)
			}
			return nil, held
		}
		if !told && waiting != nil {
			waiting(holder)
			told = true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ErrCancelled
		}
	}
}

// Directory keeps files on this machine, under it.
type Directory string

// Place implements Files.
func (d Directory) Place(name string) string {
	return filepath.Join(string(d), filepath.FromSlash(name))
}

// Read implements Files.
func (d Directory) Read(name string) ([]byte, error) { return os.ReadFile(d.Place(name)) }

// Write implements Files: temporary file, sync, rename, sync the directory.
func (d Directory) Write(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(d.Place(name)), 0o700); err != nil {
		return err
	}
	return WriteFile(d.Place(name), b)
}

// Remove implements Files.
func (d Directory) Remove(name string) error {
	if err := os.Remove(d.Place(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Log implements Files.
func (d Directory) Log(name string) Log { return &fileLog{name: d.Place(name)} }

// fileLog keeps its file whole: what could not be written in full is cut off again.
type fileLog struct {
	name string
	f    *os.File
	size int64 // of the whole lines
	read bool  // it is there
}

func (l *fileLog) Read() ([]byte, error) {
	b, err := os.ReadFile(l.name)
	l.read, l.size = err == nil, int64(bytes.LastIndexByte(b, '\n')+1)
	return b, err
}

func (l *fileLog) Append(b []byte) error {
	if l.f == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	if _, err := l.f.WriteAt(b, l.size); err != nil {
		return errors.Join(err, l.f.Truncate(l.size))
	}
	l.size += int64(len(b))
	return l.f.Sync()
}

func (l *fileLog) open() (err error) {
	if l.read {
		if l.f, err = os.OpenFile(l.name, os.O_WRONLY, 0o600); err != nil {
			return err
		}
		return l.f.Truncate(l.size)
	}
	if l.f, err = os.OpenFile(l.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	l.read = true
	return syncDir(filepath.Dir(l.name)) // or the file's name may be lost with the power
}

func (l *fileLog) Close() error {
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f = nil
	return err
}

func (l *fileLog) Remove() error {
	err := l.Close()
	l.read, l.size = false, 0
	if gone := os.Remove(l.name); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// WriteFile replaces a file so that a crash leaves the old or the new content:
// temporary file, sync, rename, sync the directory. Mode 0600.
func WriteFile(name string, b []byte) (err error) {
	tmp := name + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp)
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrInvalid) {
		return err
	}
	return nil
}
