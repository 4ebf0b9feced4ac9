//go:build unix

package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/scale-levels/scale/stacks/local/agent"
)

// usual are the places where packages put PostgreSQL's programs outside PATH:
// Debian and Ubuntu, Red Hat, Homebrew on both architectures, Postgres.app.
var usual = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin", "/usr/local/pgsql/bin",
}

// postgres is one installed PostgreSQL.
type postgres struct {
	bin   string
	major int
}

// findPostgres returns the installed PostgreSQL of that major version, or with 0
// the newest. Only directories that hold the server and initdb count.
func findPostgres(major int) (postgres, error) {
	all := installed()
	for _, p := range all {
		if major == 0 || p.major == major {
			return p, nil
		}
	}
	if major != 0 && len(all) > 0 {
		return postgres{}, &Error{What: fmt.Sprintf("the data was written by PostgreSQL %d, and only %d is installed", major, all[0].major),
			Hint: fmt.Sprintf("install PostgreSQL %d beside it: %s", major, installHint(fmt.Sprintf("-%d", major))), Tool: true}
	}
	return postgres{}, &Error{What: "PostgreSQL is not installed: no initdb and postgres on PATH or in the usual places",
		Hint: installHint(""), Tool: true}
}

func installHint(suffix string) string {
	if runtime.GOOS == "darwin" {
		return "brew install postgresql" + strings.Replace(suffix, "-", "@", 1)
	}
	return "'make tools' installs it without a server of its own; or: apt-get install postgresql" + suffix
}

func installed() []postgres {
	var dirs []string
	if f, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(f))
	}
	for _, pattern := range usual {
		found, err := filepath.Glob(pattern)
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	var all []postgres
	for _, d := range dirs {
		if p, ok := inspect(d); ok && !slices.ContainsFunc(all, func(o postgres) bool { return o.major == p.major }) {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b postgres) int { return b.major - a.major })
	return all
}

// inspect asks the server for its version: "postgres (PostgreSQL) 15.18 (Debian …)".
func inspect(bin string) (postgres, bool) {
	initdb, err := exec.LookPath(filepath.Join(bin, "initdb"))
	if err != nil {
		return postgres{}, false
	}
	if real, err := filepath.EvalSymlinks(initdb); err == nil {
		bin = filepath.Dir(real) // where its other programs are
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return postgres{}, false
	}
	_, v, ok := strings.Cut(string(out), ") ")
	if !ok {
		return postgres{}, false
	}
	digits, _, _ := strings.Cut(strings.Fields(v)[0], ".")
	major, err := strconv.Atoi(strings.TrimRight(digits, "abcdefghijklmnopqrstuvwxyz"))
	return postgres{bin, major}, err == nil
}

// unprivileged is whom the database runs as: nil for ourselves, unless we are
// root, which PostgreSQL refuses to run as.
func unprivileged() (*agent.User, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err, err2); err != nil {
			return nil, err
		}
		return &agent.User{UID: uint32(uid), GID: uint32(gid)}, nil
	}
	return nil, &Error{What: "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as",
		Hint: "run scale as an ordinary user"}
}

// reachable checks that a user may pass through every directory above a place.
func reachable(dir string, u *agent.User) error {
	if u == nil {
		return nil
	}
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err == nil && info.Mode().Perm()&0o001 == 0 {
			st, ok := info.Sys().(*syscall.Stat_t)
			owner := ok && st.Uid == u.UID && info.Mode().Perm()&0o100 != 0
			group := ok && st.Gid == u.GID && info.Mode().Perm()&0o010 != 0
			if !owner && !group {
				return &Error{What: fmt.Sprintf("the database runs as an unprivileged user, who may not pass through %s", d),
					Hint: "set SCALE_HOME to a directory that others may pass through, or: chmod o+x " + d}
			}
		}
		if d == filepath.Dir(d) {
			return nil
		}
	}
}

// settings are what a size means: memory for shared buffers and how many
// connections: during a change of release both pools of all regions have some. They
// are choices of ours, for machines from a laptop up.
var settings = map[string][]string{
	"small":  {"shared_buffers=64MB", "max_connections=200"},
	"medium": {"shared_buffers=256MB", "max_connections=400"},
	"large":  {"shared_buffers=1GB", "max_connections=800"},
}
