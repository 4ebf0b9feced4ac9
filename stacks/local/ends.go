//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/topology"
)

// place says what of a service's tables a database has. It is kept by a trigger on each of
// them, which refuses writes: at any time at most one of two databases has them "here".
type place string

const (
	absent  place = ""
	here    place = "here"          // and takes writes
	copying place = "scale_copying" // they are written by what they follow alone; or were
	moved   place = "scale_moved"   // another has them
)

// end is one of the databases of a move.
type end struct {
	node     string
	port     int
	password string
	*pgx.Conn
}

// moving is a move as it is made: both ends connected.
type moving struct {
	service  string
	tables   []string // quoted, with their schemas as far as these are known
	from, to end
}

func newMoving(service string, tables []string, from, to end) *moving {
	m := &moving{service: service, from: from, to: to}
	for _, t := range tables {
		m.tables = append(m.tables, pgx.Identifier(strings.Split(t, ".")).Sanitize())
	}
	return m
}

func movingOf(in resource.PropertyMap) *moving {
	return newMoving(in["service"].StringValue(), words(in["tables"]),
		end{node: in["from"].StringValue(), port: integer(in["fromPort"]), password: in["fromPassword"].StringValue()},
		end{node: in["to"].StringValue(), port: integer(in["toPort"]), password: in["toPassword"].StringValue()})
}

func movingBy(spec topology.MoveSpec, pins Pins) *moving {
	at := func(node string) end {
		return end{node: node, port: portOf(pins, node), password: pins[passwordKey(node, admin)]}
	}
	return newMoving(spec.Service, spec.Tables, at(spec.From), at(spec.To))
}

// plainly are tables' names as a person writes them.
func plainly(tables ...string) string { return strings.ReplaceAll(strings.Join(tables, ", "), `"`, "") }

// key names what a move has in both databases.
func (m *moving) key() string { return "scale_" + slot(m.service) }

// beat is a table that follows with the others: what is seen there says that all that
// came before has arrived.
func (m *moving) beat() string { return `scale."beat_` + slot(m.service) + `"` }

func (e *end) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, superURL(e.port, e.password, appName))
	if err != nil {
		return fmt.Errorf("%s does not answer", e.node) // pgx's own text quotes the connection string
	}
	e.Conn = c
	return nil
}

func (m *moving) connect(ctx context.Context) error {
	return errors.Join(m.from.connect(ctx), m.to.connect(ctx))
}

func (m *moving) close(ctx context.Context) {
	for _, e := range []end{m.from, m.to} {
		if e.Conn != nil {
			_ = e.Close(context.WithoutCancel(ctx))
		}
	}
}

// run takes statements one after the other.
func (e *end) run(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := e.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", e.node, err)
		}
	}
	return nil
}

// has is what an end has of the tables: where those are that it has, whether there is
// anything in them, and which it lacks.
type has struct {
	place
	empty bool
	lacks []string
}

func (m *moving) has(ctx context.Context, e *end) (has, error) {
	h, first := has{empty: true}, ""
	for _, t := range m.tables {
		var p place
		err := e.QueryRow(ctx, `SELECT CASE WHEN to_regclass($1) IS NULL THEN '' ELSE
			coalesce((SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname IN ($2, $3)), 'here') END`, t, string(copying), string(moved)).Scan(&p)
		switch {
		case err != nil:
			return h, err
		case p == absent:
			h.lacks = append(h.lacks, t)
			continue
		case first == "":
			first, h.place = t, p
		case p != h.place:
			return h, &Error{What: fmt.Sprintf("%s and %s of %s are not in the same database", plainly(first), plainly(t), m.service),
				Hint: fmt.Sprintf("in %s one is %q and the other %q: see docs/local.md, 'A service's tables move'", e.node, h.place, p)}
		}
		var some bool
		if err := e.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+t+")").Scan(&some); err != nil {
			return h, err
		}
		h.empty = h.empty && !some
	}
	return h, nil
}

// fence are the statements that close tables to writes, and say why.
func fence(tables []string, as place, why string) []string {
	statements := []string{"CREATE SCHEMA IF NOT EXISTS scale", `CREATE OR REPLACE FUNCTION scale.fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		RAISE EXCEPTION '%.% takes no writes here: %', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'read_only_sql_transaction'; END $$`}
	for _, t := range tables {
		statements = append(statements, fmt.Sprintf("CREATE TRIGGER %s BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION scale.fence('%s')", as, t, why))
	}
	return statements
}

// open lets tables take writes.
func (e *end) open(ctx context.Context, tables []string) error {
	statements := []string{"BEGIN"}
	for _, t := range tables {
		for _, p := range []place{copying, moved} {
			statements = append(statements, fmt.Sprintf("DROP TRIGGER IF EXISTS %s ON %s", p, t))
		}
	}
	return e.run(ctx, append(statements, "COMMIT")...)
}

// forget takes away all that only a move needs, in whatever direction it went, at the ends
// that are connected: first what follows, then what is followed.
func (m *moving) forget(ctx context.Context) error {
	var errs []error
	for _, e := range []*end{&m.to, &m.from} {
		if e.Conn != nil {
			errs = append(errs, e.unfollow(ctx, m.key()))
		}
	}
	for _, e := range []*end{&m.to, &m.from} {
		if e.Conn != nil {
			errs = append(errs, e.lockOut(ctx, m.key()), e.run(ctx, "DROP TABLE IF EXISTS "+m.beat()))
		}
	}
	return errors.Join(errs...)
}

// unfollow ends following.
func (e *end) unfollow(ctx context.Context, key string) error {
	var follows bool
	if err := e.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_subscription WHERE subname = $1)", key).Scan(&follows); err != nil || !follows {
		return err
	}
	if e.run(ctx, "DROP SUBSCRIPTION "+key) == nil {
		return nil
	}
	// The one that it followed does not answer, or knows nothing of it.
	return e.run(ctx, "ALTER SUBSCRIPTION "+key+" DISABLE", "ALTER SUBSCRIPTION "+key+" SET (slot_name = NONE)", "DROP SUBSCRIPTION "+key)
}

// lockOut ends being followed.
func (e *end) lockOut(ctx context.Context, key string) error {
	var followed bool
	if err := e.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", mover).Scan(&followed); err != nil || !followed {
		return err
	}
	return e.run(ctx,
		"SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = '"+key+"' AND active",
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '"+key+"'",
		"ALTER SYSTEM SET max_slot_wal_keep_size = '"+slotKeeps+"'", "SELECT pg_reload_conf()",
		"DROP PUBLICATION IF EXISTS "+key, "DROP OWNED BY "+mover, "DROP ROLE "+mover)
}
