//go:build unix

package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// InspectApp looks at a running backend for what would break with two of them. It
// runs a second instance for a moment, outside of all traffic. paths are asked for
// a session cookie.
func (l *Local) InspectApp(ctx context.Context, t topology.Topology, paths []string) ([]Finding, error) {
	c, st, err := agent.Connect(ctx, l.dirs)
	if errors.Is(err, agent.ErrNotRunning) {
		return nil, &Error{What: "the application does not run", Hint: "'scale up --level 1' runs it"}
	}
	if err != nil {
		return nil, err
	}
	var fs []Finding
	for _, n := range t.OfKind(topology.Backend) {
		if n.Backend.Instances == 0 {
			continue
		}
		name := instance(n.ID, 1)
		comp, _ := st.Component(name)
		if comp.State != agent.Running || !comp.Healthy {
			return nil, &Error{What: name + " is not healthy", Hint: "'scale logs " + name + "' shows what it says"}
		}
		open := openFiles(agent.Members(l.dirs, name))
		fs = append(fs, seeWritten(n, open), seeSQLite(n, open), l.seeSessions(ctx, c, comp, paths))
	}
	return fs, nil
}

// opened is a plain file that a process has open.
type opened struct {
	path    string
	written bool // open for writing
}

// openFiles are those of some processes, as far as the system tells.
func openFiles(pids []int) []opened {
	var all []opened
	for _, pid := range pids {
		links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			continue
		}
		for _, l := range links {
			to, err := os.Readlink(l)
			if err != nil || !filepath.IsAbs(to) {
				continue
			}
			if info, err := os.Stat(l); err != nil || !info.Mode().IsRegular() {
				continue
			}
			about, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, filepath.Base(l)))
			if err != nil {
				continue
			}
			all = append(all, opened{to, writes(about)})
		}
	}
	return all
}

// writes reads the access mode out of /proc/PID/fdinfo/FD: "flags:\t0100001".
func writes(about []byte) bool {
	for line := range bytes.Lines(about) {
		if v, ok := bytes.CutPrefix(line, []byte("flags:")); ok {
			flags, err := strconv.ParseInt(strings.TrimSpace(string(v)), 8, 64)
			return err == nil && int(flags)&syscall.O_ACCMODE != os.O_RDONLY
		}
	}
	return false
}

func cannotLook(f Finding) (Finding, bool) {
	if runtime.GOOS == "linux" {
		return f, false
	}
	f.OK, f.What = true, "not looked at: this system does not show a process's open files"
	return f, true
}

// seeWritten looks for files beside the code that are open for writing.
func seeWritten(n topology.Node, open []opened) Finding {
	f, cannot := cannotLook(Finding{Name: n.Backend.Service + ": files beside the code", Level: 2})
	if cannot {
		return f
	}
	for _, o := range open {
		if n.Backend.Dir != "" && strings.HasPrefix(o.path, n.Backend.Dir+"/") && o.written && !isSQLite(o.path) {
			f.What = "it writes " + o.path
			f.Hint = "a second instance does not see it: keep files in the bucket FILES_BUCKET ('files: true'), and write logs to standard output"
			return f
		}
	}
	f.OK, f.What = true, "none is open for writing"
	return f
}

// seeSQLite looks for a database in a file.
func seeSQLite(n topology.Node, open []opened) Finding {
	f, cannot := cannotLook(Finding{Name: n.Backend.Service + ": a database in a file", Level: 2})
	if cannot {
		return f
	}
	files := map[string]bool{}
	for _, o := range open {
		files[o.path] = true
	}
	if entries, err := os.ReadDir(n.Backend.Dir); err == nil && n.Backend.Dir != "" {
		for _, e := range entries {
			files[filepath.Join(n.Backend.Dir, e.Name())] = true
		}
	}
	for file := range files {
		if isSQLite(file) {
			f.What, f.Hint = file+" is a SQLite database", "a second instance on another machine has none: use DATABASE_URL ('database: {}')"
			return f
		}
	}
	f.OK, f.What = true, "there is none"
	return f
}

// isSQLite knows a database by its first bytes (https://www.sqlite.org/fileformat.html, 1.2).
func isSQLite(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 16)
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == "SQLite format 3\x00"
}

// seeSessions asks one instance for a cookie and shows it to another.
func (l *Local) seeSessions(ctx context.Context, c *agent.Client, comp agent.Component, paths []string) Finding {
	f := Finding{Name: comp.Node + ": session cookies", Level: 2}
	port, err := l.choose()
	if err != nil {
		return f.Bad(err)
	}
	stop, err := c.Twin(ctx, comp.Name, port)
	if err != nil {
		f.What, f.Hint = "a second instance does not start: "+err.Error(), "it must run beside the first, on the port that PORT names"
		return f
	}
	defer stop()
	one, two := fmt.Sprintf("http://127.0.0.1:%d", comp.Port), fmt.Sprintf("http://127.0.0.1:%d", port)
	seen := 0
	for _, p := range paths {
		given, err := cookies(ctx, one+p, nil)
		if err != nil || len(given) == 0 {
			continue
		}
		seen++
		same, err1 := cookies(ctx, one+p, given)
		other, err2 := cookies(ctx, two+p, given)
		if err := errors.Join(err1, err2); err != nil {
			return f.Bad(err)
		}
		for _, g := range given {
			// The first instance knows the cookie when it leaves it alone.
			if known := !replaced(same, g); known && replaced(other, g) {
				f.What = fmt.Sprintf("the cookie %s of %s is accepted by the instance that gave it and by no other", g.Name, p)
				f.Hint = "keep sessions where all instances find them (the database, or 'sessions: true' and SESSION_URL), and sign cookies with one secret ('secrets')"
				return f
			}
		}
	}
	f.OK, f.What = true, fmt.Sprintf("a second instance accepts them (%d paths gave one)", seen)
	if seen == 0 {
		f.What, f.Hint = "no path that was asked gave one: "+strings.Join(paths, ", "), "name one that starts a session with --path"
	}
	return f
}

func cookies(ctx context.Context, url string, with []*http.Cookie) ([]*http.Cookie, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for _, c := range with {
		req.AddCookie(c)
	}
	resp, err := asker.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return resp.Cookies(), nil
}

// replaced reports whether an answer gives another value for a cookie.
func replaced(answer []*http.Cookie, given *http.Cookie) bool {
	return slices.ContainsFunc(answer, func(c *http.Cookie) bool { return c.Name == given.Name && c.Value != given.Value })
}
