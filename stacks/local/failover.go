//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// farBehind is how much of its leader's log, in bytes, a replica may lack and still be
// waited for when it is to lead.
const farBehind = 64 << 20

// Failover looks at who is to lead before anything is touched. With the old leader alive
// it must follow and not be far behind; with a dead one, what may be lost is told.
func (l *Local) Failover(ctx context.Context, now, wanted topology.Topology, pins Pins) (found []string, err error) {
	for _, n := range now.OfKind(topology.Database) {
		if w, _ := wanted.Node(n.ID); !n.Replica() || w.Replica() {
			continue
		}
		if c, ok := l.seen.Component(n.ID); !ok || !c.Healthy {
			return nil, &Error{What: fmt.Sprintf("%s, which is to lead, does not run", n.ID), Hint: "'scale logs " + n.ID + "' shows what it says; the leader was not touched"}
		}
		conn, err := pgx.Connect(ctx, databaseURL(portOf(pins, n.ID), admin, pins[passwordKey(n.Database.Of, admin)], "postgres"))
		if err != nil {
			return nil, &Error{What: n.ID + ", which is to lead, does not answer", Hint: "'scale logs " + n.ID + "' shows what it says; the leader was not touched"}
		}
		var status, last string
		var behind int64
		err = conn.QueryRow(ctx, `SELECT coalesce((SELECT status FROM pg_stat_wal_receiver), ''),
			coalesce(pg_wal_lsn_diff((SELECT latest_end_lsn FROM pg_stat_wal_receiver), pg_last_wal_replay_lsn()), 0)::bigint,
			coalesce(to_char(pg_last_xact_replay_timestamp(), 'HH24:MI:SS'), 'its copy')`).Scan(&status, &behind, &last)
		_ = conn.Close(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		leader, _ := l.seen.Component(n.Database.Of)
		was, _ := now.Node(n.Database.Of)
		switch {
		case !leader.Healthy && was.Database.Sync:
			said, err := l.hasAll(ctx, now, n, pins)
			if err != nil {
				return nil, err
			}
			found = append(found, said)
		case !leader.Healthy:
			found = append(found, fmt.Sprintf("%s does not run: what it acknowledged and %s does not have is not taken along; the last change there is of %s", n.Database.Of, n.ID, last))
		case status != "streaming":
			return nil, &Error{What: fmt.Sprintf("%s does not follow %s, which runs: its last change is of %s, and what came after would be lost", n.ID, n.Database.Of, last), Hint: "nothing was changed; 'scale logs " + n.ID + "' shows what it says"}
		case behind > farBehind:
			return nil, &Error{What: fmt.Sprintf("%s is %d MB behind %s", n.ID, behind>>20, n.Database.Of), Hint: "nothing was changed; try again when 'scale status' shows that it has caught up"}
		}
	}
	return found, nil
}

// Anew implements stacks' failover: one that led follows from a fresh copy, as itself.
func (l *Local) Anew() bool { return false }

// Promote implements stacks' failover: the provider does it.
func (l *Local) Promote(context.Context, topology.Topology, topology.Topology, func(string)) error {
	return nil
}

// hasAll says whether the one that is to lead instead of a dead leader has all that this one
// acknowledged: a write was on one replica at least, so that the one that got most has all,
// if all can be asked.
func (l *Local) hasAll(ctx context.Context, t topology.Topology, next topology.Node, pins Pins) (string, error) {
	has := map[string]int64{}
	for _, n := range group(t, next) {
		if n.Database.Of != next.Database.Of {
			continue
		}
		c, err := pgx.Connect(ctx, superURL(portOf(pins, n.ID), pins[passwordKey(n.Database.Of, admin)], "postgres"))
		if err != nil {
			return fmt.Sprintf("%s does not run, nor does %s: what only they have is not taken along", n.Database.Of, n.ID), nil
		}
		var got int64
		err = c.QueryRow(ctx, "SELECT pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::bigint").Scan(&got)
		_ = c.Close(context.WithoutCancel(ctx))
		if err != nil {
			return "", err
		}
		has[n.ID] = got
	}
	for id, got := range has {
		if o, _ := t.Node(id); got > has[next.ID] {
			return "", &Error{What: fmt.Sprintf("%s has %d bytes that %s does not have, and %s may have acknowledged them", id, got-has[next.ID], next.ID, next.Database.Of),
				Hint: "scale failover --to " + o.Region}
		}
	}
	return fmt.Sprintf("%s does not run: %s has all that it acknowledged (database.replication: sync)", next.Database.Of, next.ID), nil
}

// fenced holds when those that led are stopped and who follows them has all that they
// wrote before. One that ended otherwise than in order cannot say what it had written.
func (l *Local) fenced(ctx context.Context, t topology.Topology, pins Pins, waiting func(string)) error {
	for _, old := range t.OfKind(topology.Database) {
		if !old.Fenced() {
			continue
		}
		if c, ok, err := l.component(ctx, old.ID); err != nil || ok && c.State != agent.Stopped {
			return errors.Join(err, fmt.Errorf("%s still runs", old.ID))
		}
		written, inOrder, err := l.lastWritten(old)
		if err != nil {
			return err
		}
		for _, n := range group(t, old) {
			if n.Database.Of != old.ID || !inOrder {
				continue
			}
			err := l.until(ctx, waiting, func() (string, error) {
				conn, err := pgx.Connect(ctx, databaseURL(portOf(pins, n.ID), admin, pins[passwordKey(old.ID, admin)], "postgres"))
				if err != nil {
					return n.ID + " does not answer", nil
				}
				defer conn.Close(context.WithoutCancel(ctx))
				var has bool
				if err := conn.QueryRow(ctx, "SELECT pg_last_wal_replay_lsn() > $1::pg_lsn", written).Scan(&has); err != nil || !has {
					return n.ID + " does not have the last that its leader wrote", nil
				}
				return "", nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// lastWritten is where in its log a stopped database's last checkpoint is, and whether
// it was stopped in order, so that nothing came after that.
func (l *Local) lastWritten(n topology.Node) (lsn string, inOrder bool, err error) {
	dir := l.dataDir(n.ID + "-data")
	pg, err := findPostgres(majorOf(dir))
	if err != nil {
		return "", false, err
	}
	c := exec.Command(filepath.Join(pg.bin, "pg_controldata"), dir)
	c.Env = append(ambient(), "LC_ALL=C")
	out, err := c.Output()
	if err != nil {
		return "", false, nil // its files are broken: nobody knows
	}
	for line := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(line, ":")
		switch v = strings.TrimSpace(v); k {
		case "Database cluster state":
			inOrder = v == "shut down"
		case "Latest checkpoint location":
			lsn = v
		}
	}
	return lsn, inOrder, nil
}
