//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/scale-levels/scale/internal/fault"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// How long requests are held at most until those that had begun are answered, and writers
// that nobody held are waited for.
const (
	holdPatience = 10 * time.Second
	lockPatience = "10s"
	// switchPatience is how long they are held in all: what is counted takes its time.
	switchPatience = time.Minute
)

// switchTables lets the other database take the writes: requests are held, the tables
// closed where they were, and opened where they are to be once all has arrived and was
// counted. Until then nothing is lost by giving up: they are opened again where they were.
func (l *Local) switchTables(ctx context.Context, r engine.Request, m *moving) (err error) {
	if err := l.holdRequests(ctx, words(r.Inputs["pools"])); err != nil {
		return fmt.Errorf("hold requests to %s: %w", m.service, err)
	}
	defer func() {
		if err != nil {
			l.release()
		}
	}()
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, switchPatience)
	defer cancel()
	from, err := m.has(ctx, &m.from)
	if err != nil {
		return err
	}
	if from.place == here {
		if err := m.from.run(ctx, append([]string{"SET lock_timeout = '" + lockPatience + "'", "BEGIN", "LOCK TABLE " + strings.Join(m.tables, ", ") + " IN SHARE ROW EXCLUSIVE MODE"},
			append(fence(m.tables, moved, "it is kept in "+m.to.node), "COMMIT")...)...); err != nil {
			return errors.Join(err, m.from.run(ctx, "ROLLBACK"))
		}
		fault.Point(fault.Move)
	}
	give := func(err error) error {
		whole := context.WithoutCancel(whole)
		if m.from.IsClosed() { // what was under way took too long
			if again := m.from.connect(whole); again != nil {
				return errors.Join(err, again)
			}
		}
		return errors.Join(err, m.from.open(whole, m.tables))
	}
	if err := l.arrives(ctx, m, r.Waiting); err != nil {
		return give(err)
	}
	if err := m.count(ctx); err != nil {
		return give(err)
	}
	if err := m.sequences(ctx); err != nil {
		return give(err)
	}
	// When this fails nobody knows whether they are open: the next run sees. What the move needed
	// goes with the resource.
	err = m.to.open(whole, m.tables)
	fault.Point(fault.Move)
	return err
}

// count compares how many rows there are, both sides at once: requests wait for it.
func (m *moving) count(ctx context.Context) error {
	var n [2][]int64
	var errs [2]error
	var wg sync.WaitGroup
	for i, e := range []end{m.from, m.to} {
		wg.Go(func() {
			n[i] = make([]int64, len(m.tables))
			for j, t := range m.tables {
				errs[i] = errors.Join(errs[i], e.QueryRow(ctx, "SELECT count(*) FROM "+t).Scan(&n[i][j]))
			}
		})
	}
	wg.Wait()
	for j, t := range m.tables {
		if errors.Join(errs[:]...) == nil && n[0][j] != n[1][j] {
			return fmt.Errorf("%s has %d rows in %s, and %d in its copy in %s", plainly(t), n[0][j], m.from.node, n[1][j], m.to.node)
		}
	}
	return errors.Join(errs[:]...)
}

// sequences takes over where those that belong to the tables are: they do not follow.
func (m *moving) sequences(ctx context.Context) error {
	rows, err := m.from.Query(ctx, `SELECT format('%I.%I', nspname, relname) FROM pg_class s JOIN pg_namespace n ON n.oid = relnamespace
		JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
		WHERE relkind = 'S' AND refobjid IN (SELECT to_regclass(t) FROM unnest($1::text[]) t)`, m.tables)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, s := range names {
		var last int64
		var called bool
		if err := m.from.QueryRow(ctx, "SELECT last_value, is_called FROM "+s).Scan(&last, &called); err != nil {
			return err
		}
		if _, err := m.to.Exec(ctx, "SELECT setval($1::regclass, $2, $3)", s, last, called); err != nil {
			return err
		}
	}
	return nil
}

// holdRequests lets requests for some pools wait until the next update begins or the gate
// of this one is looked at; the edges lead them elsewhere before that.
func (l *Local) holdRequests(ctx context.Context, pools []string) error {
	l.release()
	if len(pools) == 0 {
		return nil
	}
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	stop, err := c.Hold(context.WithoutCancel(ctx), agent.Hold{Pools: pools, Patience: holdPatience})
	l.held = stop
	return err
}

// release lets requests go on that were held.
func (l *Local) release() {
	if l.held != nil {
		l.held()
		l.held = nil
	}
}
