//go:build unix

package agent

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// MaxLog is the size in bytes at which a log starts anew; one older file is kept.
const MaxLog = 8 << 20

// tail returns the last n lines of a file, reading at most its last 16 KiB.
func Tail(file string, n int) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 16 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-most), io.SeekStart)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(bytes.ToValidUTF8(b, []byte("?"))), "\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return lines[max(0, len(lines)-n):]
}

// rotate starts every log over that has grown too large. Components write to
// their files themselves, appending, so that they can do without an agent; the
// file is therefore copied and cut, and a line written between the two is lost.
func rotate(d Dirs, most int64) error {
	files, err := filepath.Glob(filepath.Join(d.Logs(), "*.log"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Size() < most {
			continue
		}
		errs = append(errs, copyAndCut(file))
	}
	return errors.Join(errs...)
}

func copyAndCut(file string) error {
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(file+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close(), os.Truncate(file, 0))
}
