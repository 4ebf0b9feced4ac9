//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/scale-levels/scale/stacks/local/agent"
)

// Doctor looks for what the local target needs, changing nothing.
func (l *Local) Doctor() []Finding {
	return []Finding{l.seePostgres(), l.seeUser(), l.seeHome(), l.seeAgent(),
		seeStore("file store", "'files: true'", findFileStore),
		seeStore("cache and session store", "level 3 and above, or 'sessions: true'", func() (string, error) { return findRedis("the cache") })}
}

// seeStore looks for a program that only a setting asks for: that it is missing is
// no fault.
func seeStore(name, setting string, find func() (string, error)) Finding {
	f := Finding{Name: name, OK: true, Level: 1}
	program, err := find()
	if err != nil {
		f = f.Bad(err)
		f.What = "not installed; only " + setting + " needs it"
		return f
	}
	f.What = program
	return f
}

func (l *Local) seePostgres() Finding {
	f := Finding{Name: "PostgreSQL", Level: 1}
	p, err := findPostgres(0)
	if err != nil {
		return f.Bad(err)
	}
	f.OK, f.What = true, fmt.Sprintf("version %d in %s", p.major, p.bin)
	return f
}

func (l *Local) seeUser() Finding {
	f := Finding{Name: "unprivileged user", OK: true, What: "not needed: scale does not run as root", Level: 1}
	if os.Geteuid() != 0 {
		return f
	}
	u, err := unprivileged()
	if err != nil {
		return f.Bad(err)
	}
	f.What = fmt.Sprintf("the database runs as user id %d, since scale runs as root", u.UID)
	if err := reachable(l.Root, u); err != nil {
		return f.Bad(err)
	}
	return f
}

func (l *Local) seeHome() Finding {
	f := Finding{Name: "state directory", Level: 1}
	dir := l.Root
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		f.What, f.Hint = dir+" cannot be written to", "set SCALE_HOME to a directory that you can write to"
		return f
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return f.Bad(err)
	}
	if err := roomFor(dir); err != nil {
		return f.Bad(err)
	}
	f.OK, f.What = true, "under "+dir
	return f
}

func (l *Local) seeAgent() Finding {
	if _, seen, err := agent.Connect(context.Background(), l.dirs); err == nil {
		l.seen = seen
	}
	f := Finding{Name: "agent", OK: true, What: l.Supervisor(), Level: 1}
	if l.seen.PID == 0 && agent.Alive(l.dirs) {
		f.OK, f.What, f.Hint = false, "components run without an agent", "'scale status' starts one that adopts them"
	}
	return f
}
