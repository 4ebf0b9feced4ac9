package stacks

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
)

// A release is named by what it consists of, so that the same sources are the
// same release and changed sources are a new one.

// largest is the size in bytes above which a file counts by its size and time
// instead of its content.
const largest = 64 << 20

// never are the names of what no release consists of: what tools fetch or make.
var never = []string{"node_modules", "__pycache__", "venv", ".venv", "target", "tmp", "log", "logs"}

// ignoreFiles list what does not belong to a release, in git's form.
var ignoreFiles = []string{".gitignore", ".dockerignore", ".scaleignore"}

// DigestSources is the digest of a project's directory: without hidden files,
// scale.yaml, what tools make, what the ignore files in it list, and the given
// directories.
func DigestSources(dir string, skip []string) (string, error) {
	ignored := ignores(dir)
	return Digest(os.DirFS(dir), func(path string, d fs.DirEntry) bool {
		return byTools(d) || d.Name() == "scale.yaml" || slices.Contains(skip, filepath.Join(dir, path)) ||
			ignored.Match(strings.Split(path, "/"), d.IsDir())
	})
}

// byTools reports whether tools made or fetched something, or it is hidden.
func byTools(d fs.DirEntry) bool {
	name := d.Name()
	return strings.HasPrefix(name, ".") && name != "." || d.IsDir() && slices.Contains(never, name) || strings.HasSuffix(name, ".pyc")
}

// Written are the files under a project's directory that no release consists of and
// that have been written since: what the application keeps beside its code. They
// are what the ignore files list, without what tools make.
func Written(dir string, since time.Time) ([]string, error) {
	ignored := ignores(dir)
	var files []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && p != ".":
			return nil
		case err != nil:
			return err
		case byTools(d) && d.IsDir():
			return fs.SkipDir
		case byTools(d) || !d.Type().IsRegular() || !under(ignored, p):
			return nil
		}
		if info, err := d.Info(); err == nil && info.ModTime().After(since) {
			files = append(files, p)
		}
		return nil
	})
	return files, err
}

// under reports whether a file or a directory above it is ignored.
func under(ignored gitignore.Matcher, file string) bool {
	parts := strings.Split(file, "/")
	for i := range parts {
		if ignored.Match(parts[:i+1], i < len(parts)-1) {
			return true
		}
	}
	return false
}

func ignores(dir string) gitignore.Matcher {
	var ps []gitignore.Pattern
	for _, name := range ignoreFiles {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				ps = append(ps, gitignore.ParsePattern(line, nil))
			}
		}
	}
	return gitignore.NewMatcher(ps)
}

// Digest names the plain files under a directory, by path, mode and content; 12
// hexadecimal digits. skip, when not nil, leaves entries out.
func Digest(dir fs.FS, skip func(path string, d fs.DirEntry) bool) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(dir, ".", func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && p != "." {
			return nil // it went away while we looked
		}
		if err != nil {
			return err
		}
		if p != "." && skip != nil && skip(p, d) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return digestFile(h, dir, p, d)
	})
	return hex.EncodeToString(h.Sum(nil))[:12], err
}

func digestFile(h hash.Hash, dir fs.FS, p string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	f, err := dir.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	begin := make([]byte, len(plan.FileBegins))
	n, err := io.ReadFull(f, begin)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if string(begin[:n]) == plan.FileBegins {
		return nil // a saved plan is no part of what it plans
	}
	fmt.Fprintf(h, "%q %o %d\n", p, info.Mode().Perm()&0o111, info.Size())
	if info.Size() > largest {
		fmt.Fprintf(h, "%d\n", info.ModTime().UnixNano())
		return nil
	}
	h.Write(begin[:n])
	_, err = io.Copy(h, f)
	return err
}

// digestSources fills in what releases are named by: the digest of the sources
// of each service, and of the static files.
func digestSources(app *config.App) error {
	var skip []string
	if app.Static != nil && app.Static.Dir != "" {
		s := *app.Static
		d, err := Digest(os.DirFS(s.Dir), nil)
		if err != nil {
			return &Error{What: "the static files cannot be read", Err: pathError(err, s.Dir), Hint: "'static.dir' is relative to scale.yaml"}
		}
		s.Release, app.Static = d, &s
		skip = append(skip, s.Dir)
	}
	for s := range app.Each() {
		if s.Dir == "" {
			continue
		}
		d, err := DigestSources(s.Dir, skip)
		if err != nil {
			return &Error{What: "the sources of " + s.Name + " cannot be read", Err: err, Hint: "'dir' is relative to scale.yaml"}
		}
		s.Release = d
	}
	return nil
}

// pathError names the directory where an error would only name a path in it.
func pathError(err error, dir string) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %s: %w", dir, pe.Path, pe.Err)
	}
	return err
}
