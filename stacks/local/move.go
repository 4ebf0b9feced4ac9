//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/fault"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// mover is the user as whom a database follows the tables of another.
const mover = "mover"

// moveAccess lets it.
const moveAccess = "host " + appName + " " + mover + " 127.0.0.1/32 scram-sha-256\n"

// moveKeeps is how much of its log a database keeps while tables of it are copied: more than
// for a replica that is gone, since somebody waits for the copy. What needs more is copied anew.
const moveKeeps = "4GB"

// How long requests are held at most until those that had begun are answered, and writers
// that nobody held are waited for.
const (
	holdPatience = 10 * time.Second
	lockPatience = "10s"
	// switchPatience is how long they are held in all: what is counted takes its time.
	switchPatience = time.Minute
)

// move is a service's tables on their way to another database, by logical replication.
func (p *program) move(n topology.Node, c pulumi.Resource) error {
	m := n.Move
	from, _ := p.t.Node(m.From)
	to, _ := p.t.Node(m.To)
	var pools []string // which write where the tables come from
	for _, b := range p.t.OfKind(topology.Backend) {
		if b.Backend.Service == m.Service && b.Backend.Instances > 0 && slices.Contains(p.t.Behind(b.ID), from.ID) {
			pools = append(pools, b.ID)
		}
	}
	var after []pulumi.Resource
	for _, o := range slices.Concat(group(p.t, from), group(p.t, to)) {
		after = append(after, p.made[o.ID]...)
	}
	r, err := p.resource(typeMove, n.ID, pulumi.Map{
		"node": pulumi.String(n.ID), "service": pulumi.String(m.Service), "tables": pulumi.ToStringArray(m.Tables), "switched": pulumi.Bool(m.Switched),
		"from": pulumi.String(from.ID), "fromPort": pulumi.Int(portOf(p.pins, from.ID)), "via": pulumi.Int(portFrom(p.pins, to.Region, from)), "fromPassword": p.secret(passwordKey(from.ID, admin)),
		"to": pulumi.String(to.ID), "toPort": pulumi.Int(portOf(p.pins, to.ID)), "toPassword": p.secret(passwordKey(to.ID, admin)),
		"password": p.secret(passwordKey(n.ID, mover)), "pools": pulumi.ToStringArray(pools),
	}, c, after)
	if err != nil {
		return err
	}
	for _, o := range group(p.t, to) { // what uses them there comes after them
		p.made[o.ID] = append(p.made[o.ID], r)
	}
	return nil
}

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

func movingOf(in resource.PropertyMap) *moving {
	m := &moving{service: in["service"].StringValue(),
		from: end{node: in["from"].StringValue(), port: integer(in["fromPort"]), password: in["fromPassword"].StringValue()},
		to:   end{node: in["to"].StringValue(), port: integer(in["toPort"]), password: in["toPassword"].StringValue()}}
	for _, t := range in["tables"].ArrayValue() {
		m.tables = append(m.tables, quoted(t.StringValue()))
	}
	return m
}

func (l *Local) movingOf(spec topology.MoveSpec, pins Pins) *moving {
	m := &moving{service: spec.Service,
		from: end{node: spec.From, port: portOf(pins, spec.From), password: pins[passwordKey(spec.From, admin)]},
		to:   end{node: spec.To, port: portOf(pins, spec.To), password: pins[passwordKey(spec.To, admin)]}}
	for _, t := range spec.Tables {
		m.tables = append(m.tables, quoted(t))
	}
	return m
}

// quoted is a table's name as SQL has it.
func quoted(table string) string { return pgx.Identifier(strings.Split(table, ".")).Sanitize() }

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

// putMove brings a service's tables as far as is asked for: copied and in step, or
// switched. Where they are it reads from the databases, so that it goes on from whatever
// a killed one has left.
func (l *Local) putMove(ctx context.Context, r engine.Request) error {
	m := movingOf(r.Inputs)
	if err := m.connect(ctx); err != nil {
		return err
	}
	defer m.close(ctx)
	from, err := m.has(ctx, &m.from)
	if err != nil {
		return err
	}
	to, err := m.has(ctx, &m.to)
	if err != nil {
		return err
	}
	switch {
	case to.place == here && from.place != here && len(to.lacks) == 0: // they have arrived
		return m.forget(ctx)
	case len(from.lacks) > 0:
		return &Error{What: fmt.Sprintf("%s has no %s", m.from.node, plainly(from.lacks...)), Hint: fmt.Sprintf("services.%s.tables names the tables as the database does, with their schema where that is not public", m.service)}
	case to.place == moved && from.place == copying: // they never left: an earlier move was given up in the middle of its switch
		return errors.Join(m.to.open(ctx, m.tables), m.forget(ctx))
	case from.place == moved && to.place == copying: // it was killed in the middle of its switch
	case from.place == here && to.place == here && !to.empty:
		return &Error{What: fmt.Sprintf("%s has something in %s, and so has %s: neither is a copy of the other", m.from.node, plainly(m.tables...), m.to.node),
			Hint: "nothing was changed; keep what is wanted of the one in " + m.from.node + ", and drop the tables in the other"}
	case from.place == here:
		if err := l.copyTables(ctx, r, m, to); err != nil {
			return err
		}
	default:
		return &Error{What: fmt.Sprintf("neither %s nor %s takes writes to %s", m.from.node, m.to.node, plainly(m.tables...)), Hint: "see docs/local.md, 'A service's tables move'"}
	}
	if !r.Inputs["switched"].BoolValue() {
		return nil
	}
	return l.switchTables(ctx, r, m)
}

// copyTables begins a copy, or goes on with one, and returns when it is in step.
func (l *Local) copyTables(ctx context.Context, r engine.Request, m *moving, to has) error {
	if err := m.fit(ctx); err != nil {
		return err
	}
	var follows bool
	if err := m.to.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_subscription WHERE subname = $1 AND subenabled)", m.key()).Scan(&follows); err != nil {
		return err
	}
	if to.place != copying || len(to.lacks) > 0 || !follows || !m.kept(ctx) {
		if err := errors.Join(m.forget(ctx), l.letIn(ctx, m, r.Inputs["password"].StringValue())); err != nil {
			return err
		}
		if err := l.copySchema(ctx, r.Name, m); err != nil {
			return err
		}
		fault.Point(fault.Move)
		if err := l.follow(ctx, m, integer(r.Inputs["via"]), r.Inputs["password"].StringValue(), r.Waiting); err != nil {
			return err
		}
		fault.Point(fault.Move)
	}
	if err := l.inStep(ctx, m, r.Waiting); err != nil {
		return err
	}
	// Whoever reads them next finds statistics, and the count of the switch does not read every page.
	r.Waiting("the copy is vacuumed and analysed")
	return errors.Join(m.to.run(ctx, "VACUUM (ANALYZE) "+strings.Join(m.tables, ", ")), l.arrives(ctx, m, r.Waiting))
}

// kept reports whether the one that is followed still keeps what its follower lacks.
func (m *moving) kept(ctx context.Context) (ok bool) {
	err := m.from.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND wal_status <> 'lost')", m.key()).Scan(&ok)
	return err == nil && ok
}

// fit refuses tables that cannot follow, or not by themselves.
func (m *moving) fit(ctx context.Context) error {
	var level string
	if err := m.from.QueryRow(ctx, "SHOW wal_level").Scan(&level); err != nil {
		return err
	}
	if level != "logical" {
		return &Error{What: m.from.node + " was started by an earlier version, and does not write what is needed to follow single tables", Hint: "nothing was changed; 'scale down' and 'scale up' once, at the level that stands"}
	}
	for _, t := range m.tables {
		var ordinary, identified bool
		err := m.from.QueryRow(ctx, `SELECT relkind = 'r' AND relpersistence = 'p' AND NOT relispartition AND NOT EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)),
			relreplident IN ('f', 'i') OR relreplident = 'd' AND EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)
			FROM pg_class c WHERE oid = to_regclass($1)`, t).Scan(&ordinary, &identified)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			continue // it may come with the service
		case err != nil:
			return err
		case !ordinary:
			return &Error{What: plainly(t) + " is no table that can move by itself: it is a view, unlogged, inherited or partitioned", Hint: "nothing was changed"}
		case !identified:
			return &Error{What: plainly(t) + " has no primary key: changes of its rows cannot be told to another database", Hint: fmt.Sprintf("nothing was changed; ALTER TABLE %s ADD PRIMARY KEY (…), or REPLICA IDENTITY FULL", t)}
		}
	}
	rows, err := m.from.Query(ctx, `SELECT conname, conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint, (SELECT array_agg(to_regclass(t)) AS own FROM unnest($1::text[]) t) x
		WHERE contype = 'f' AND (conrelid::regclass = ANY(own)) <> (confrelid::regclass = ANY(own))`, m.tables)
	if err != nil {
		return err
	}
	var name, of, to string
	var crossing []string
	if _, err := pgx.ForEachRow(rows, []any{&name, &of, &to}, func() error {
		crossing = append(crossing, fmt.Sprintf("%s of %s refers to %s", name, of, to))
		return nil
	}); err != nil {
		return err
	}
	if len(crossing) > 0 {
		return &Error{What: fmt.Sprintf("the tables of %s do not stand by themselves: %s", m.service, strings.Join(crossing, "; ")),
			Hint: "nothing was changed; between two databases there are no foreign keys: drop these, or let the other tables move too"}
	}
	return nil
}

// letIn makes at the one that is followed what following needs.
func (l *Local) letIn(ctx context.Context, m *moving, password string) error {
	hba := filepath.Join(l.dataDir(m.from.node+"-data"), "pg_hba.conf")
	text, err := os.ReadFile(hba)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), moveAccess) { // it was made by an earlier version
		if err := os.WriteFile(hba, append(text, moveAccess...), 0o600); err != nil {
			return err
		}
	}
	if err := ensureRole(ctx, m.from.Conn, mover, "REPLICATION LOGIN", password); err != nil {
		return err
	}
	statements := []string{"CREATE SCHEMA IF NOT EXISTS scale", "CREATE TABLE IF NOT EXISTS " + m.beat() + " (id int PRIMARY KEY, n bigint NOT NULL)",
		"INSERT INTO " + m.beat() + " VALUES (1, 0) ON CONFLICT DO NOTHING", "GRANT USAGE ON SCHEMA scale TO " + mover,
		"GRANT SELECT ON " + strings.Join(append([]string{m.beat()}, m.tables...), ", ") + " TO " + mover}
	for i, t := range m.tables {
		schema, _, ok := strings.Cut(t, `"."`)
		if ok {
			statements = append(statements, "GRANT USAGE ON SCHEMA "+schema+`" TO `+mover)
			continue
		}
		// From here on with their schemas: what a dump is read into knows no path.
		if err := m.from.QueryRow(ctx, "SELECT quote_ident(nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = to_regclass($1)", t).Scan(&schema); err != nil {
			return err
		}
		m.tables[i] = schema + "." + t
		statements = append(statements, "GRANT USAGE ON SCHEMA "+schema+" TO "+mover)
	}
	statements = append(statements, "SELECT pg_reload_conf()",
		"ALTER SYSTEM SET max_slot_wal_keep_size = '"+moveKeeps+"'", "SELECT pg_reload_conf()",
		"CREATE PUBLICATION "+m.key()+" FOR TABLE "+strings.Join(append([]string{m.beat()}, m.tables...), ", "))
	return m.from.run(ctx, statements...)
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

// copySchema makes the tables as they are in the one that is followed, empty, closed to
// all but what follows; what an earlier copy has left there goes.
func (l *Local) copySchema(ctx context.Context, name string, m *moving) error {
	pg, err := findPostgres(0)
	if err != nil {
		return err
	}
	pass := l.passfile(name)
	line := func(e end) string { return fmt.Sprintf("127.0.0.1:%d:%s:%s:%s\n", e.port, appName, admin, e.password) }
	if err := os.WriteFile(pass, []byte(line(m.from)+line(m.to)), 0o600); err != nil {
		return err
	}
	defer os.Remove(pass)
	tool := func(e end, program string, args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, filepath.Join(pg.bin, program), append([]string{"-h", "127.0.0.1", "-p", fmt.Sprint(e.port), "-U", admin, "-d", appName, "--no-password"}, args...)...)
		c.Env = append(ambient(), "PGPASSFILE="+pass, "LC_ALL=C")
		return c
	}
	args := []string{"--schema-only", "--no-privileges", "--no-publications", "--no-subscriptions"}
	for _, t := range append([]string{m.beat()}, m.tables...) {
		args = append(args, "-t", t)
	}
	dump, err := tool(m.from, "pg_dump", args...).Output()
	if err != nil {
		return fmt.Errorf("read the schema of %s: %w", m.service, said(err, nil))
	}
	var script strings.Builder
	all := append([]string{m.beat()}, m.tables...)
	fmt.Fprintf(&script, "SET client_min_messages = warning;\nDROP TABLE IF EXISTS %s;\n", strings.Join(all, ", "))
	for _, t := range all {
		schema, _, _ := strings.Cut(t, ".")
		owner := appUser
		if schema == "scale" {
			owner = admin
		}
		fmt.Fprintf(&script, "CREATE SCHEMA IF NOT EXISTS %s AUTHORIZATION %s;\n", schema, owner)
	}
	script.Write(dump)
	for _, s := range fence(m.tables, copying, "it is being copied from "+m.from.node) {
		script.WriteString(s + ";\n")
	}
	c := tool(m.to, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", "-")
	c.Stdin = strings.NewReader(script.String())
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("make the tables of %s in %s: %w", m.service, m.to.node, said(err, out))
	}
	return nil
}

// said is what a program said when it failed.
func said(err error, out []byte) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		out = append(out, exit.Stderr...)
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return &Error{What: "PostgreSQL's pg_dump and psql are not installed beside its server", Hint: installHint(""), Tool: true}
	}
	if lines := strings.Fields(string(out)); len(lines) == 0 {
		return err
	}
	return errors.New(strings.TrimSpace(string(out)))
}

// follow lets the tables follow, with what is in them first.
func (l *Local) follow(ctx context.Context, m *moving, via int, password string, waiting func(string)) error {
	if err := m.keep(ctx, waiting); err != nil {
		return err
	}
	// The statement holds a password: the server must not log it, not even when it fails.
	if err := m.to.run(ctx, "SET log_statement = 'none'", "SET log_min_error_statement = 'panic'"); err != nil {
		return err
	}
	connection := fmt.Sprintf("host=127.0.0.1 port=%d dbname=%s user=%s password=%s connect_timeout=10", via, appName, mover, password)
	statement := fmt.Sprintf("CREATE SUBSCRIPTION %s CONNECTION '%s' PUBLICATION %s WITH (create_slot = false, slot_name = '%s')", m.key(), connection, m.key(), m.key())
	return l.until(ctx, waiting, func() (string, error) { // who may connect is read anew in a moment
		if _, err := m.to.Exec(ctx, statement); err != nil {
			return fmt.Sprintf("%s cannot follow %s: %v", m.to.node, m.from.node, err), nil
		}
		return "", nil
	})
}

// keep lets the one that is followed keep what its follower lacks. It begins between two
// transactions, and waits for those that are open.
func (m *moving) keep(ctx context.Context, waiting func(string)) error {
	other := end{node: m.from.node, port: m.from.port, password: m.from.password}
	if err := other.connect(ctx); err != nil {
		return err
	}
	defer other.Close(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		// A server that is asked by nobody any more must not go on with it.
		done <- other.run(ctx, "SET client_connection_check_interval = '1s'", "SELECT pg_create_logical_replication_slot('"+m.key()+"', 'pgoutput')")
	}()
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-t.C:
			if open := m.oldest(ctx); open != "" {
				waiting(open)
			}
		}
	}
}

// oldest is the transaction that has written and is open longest, if it is so for long.
func (m *moving) oldest(ctx context.Context) string {
	var user, since, program string
	err := m.from.QueryRow(ctx, `SELECT usename, to_char(xact_start, 'HH24:MI:SS'), application_name FROM pg_stat_activity
		WHERE xact_start < now() - interval '1 second' AND backend_xid IS NOT NULL ORDER BY xact_start LIMIT 1`).Scan(&user, &since, &program)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("a transaction of %s %s in %s has been open since %s, and must end first", user, program, m.from.node, since)
}

// tooOften is how often a copy may fail, with the reason in the log, before it is given up.
const tooOften = 3

// inStep returns when every table is copied and what is written is seen.
func (l *Local) inStep(ctx context.Context, m *moving, waiting func(string)) error {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for told := time.Now(); ; {
		var ready, all, rows, failed int
		err := m.to.QueryRow(ctx, `SELECT count(*) FILTER (WHERE srsubstate = 'r'), count(*), coalesce((SELECT sum(tuples_processed) FROM pg_stat_progress_copy), 0)
			FROM pg_subscription_rel JOIN pg_subscription s ON s.oid = srsubid WHERE subname = $1`, m.key()).Scan(&ready, &all, &rows)
		if err != nil {
			return err
		}
		if ready == all && all > 0 {
			break
		}
		if m.to.PgConn().ParameterStatus("server_version") >= "15" {
			if err := m.to.QueryRow(ctx, "SELECT coalesce(sum(apply_error_count + sync_error_count), 0) FROM pg_stat_subscription_stats WHERE subname = $1", m.key()).Scan(&failed); err != nil {
				return err
			}
		}
		if failed >= tooOften {
			return fmt.Errorf("the tables of %s do not follow; the last that %s says is:\n    %s", m.service, m.to.node, strings.Join(agent.Tail(l.Log(m.to.node), 5), "\n    "))
		}
		if time.Since(told) > 500*time.Millisecond {
			waiting(or(m.oldest(ctx), fmt.Sprintf("%d of %d tables of %s are copied; %d rows of those under way", max(ready-1, 0), all-1, m.service, rows)))
			told = time.Now()
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return l.arrives(ctx, m, waiting)
}

// arrives returns when what has been written before is where it follows.
func (l *Local) arrives(ctx context.Context, m *moving, waiting func(string)) error {
	var n int
	if err := m.from.QueryRow(ctx, "UPDATE "+m.beat()+" SET n = n + 1 RETURNING n").Scan(&n); err != nil {
		return err
	}
	return l.until(ctx, waiting, func() (string, error) {
		var has int
		if err := m.to.QueryRow(ctx, "SELECT coalesce(max(n), -1) FROM "+m.beat()).Scan(&has); err != nil {
			return "", err
		}
		if has < n {
			return fmt.Sprintf("%s does not have the last that was written to the tables of %s", m.to.node, m.service), nil
		}
		return "", nil
	})
}

// switchTables lets the other database take the writes: requests are held, the tables
// closed where they were, and opened where they are to be once all has arrived and was
// counted. Until then nothing is lost by giving up: they are opened again where they were.
func (l *Local) switchTables(ctx context.Context, r engine.Request, m *moving) (err error) {
	var pools []string
	for _, p := range r.Inputs["pools"].ArrayValue() {
		pools = append(pools, p.StringValue())
	}
	if err := l.holdRequests(ctx, pools); err != nil {
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
			if err := m.from.connect(whole); err != nil {
				return err
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
	if err := m.to.open(whole, m.tables); err != nil {
		return err // nobody knows whether it is open: the next run sees
	}
	fault.Point(fault.Move)
	return m.forget(whole)
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

// forget takes away all that only a move needs, at the ends that are connected.
func (m *moving) forget(ctx context.Context) error {
	var errs []error
	if m.to.Conn != nil {
		var follows bool
		if err := m.to.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_subscription WHERE subname = $1)", m.key()).Scan(&follows); err != nil {
			return err
		}
		if follows {
			err := m.to.run(ctx, "DROP SUBSCRIPTION "+m.key())
			if err != nil { // the one that it followed does not answer, or knows nothing of it
				err = m.to.run(ctx, "ALTER SUBSCRIPTION "+m.key()+" DISABLE", "ALTER SUBSCRIPTION "+m.key()+" SET (slot_name = NONE)", "DROP SUBSCRIPTION "+m.key())
			}
			errs = append(errs, err)
		}
		errs = append(errs, m.to.run(ctx, "DROP TABLE IF EXISTS "+m.beat()))
	}
	if m.from.Conn != nil {
		errs = append(errs, m.from.run(ctx,
			"SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = '"+m.key()+"' AND active",
			"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '"+m.key()+"'",
			"ALTER SYSTEM SET max_slot_wal_keep_size = '"+slotKeeps+"'", "SELECT pg_reload_conf()", "DROP PUBLICATION IF EXISTS "+m.key(), "DROP TABLE IF EXISTS "+m.beat()))
		var there bool
		if err := m.from.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", mover).Scan(&there); err != nil {
			return err
		}
		if there {
			errs = append(errs, m.from.run(ctx, "DROP OWNED BY "+mover, "DROP ROLE "+mover))
		}
	}
	return errors.Join(errs...)
}

// readMove looks where the tables are, as far as the databases run. A move that was begun,
// however little of it was made, is one: what it has left must go with it.
func (l *Local) readMove(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	r.Inputs = r.OldInputs
	out := outputs(r)
	if _, made := r.Olds[engine.StateKey]; !made {
		out[engine.StateKey] = text(engine.Changed)
		return out, nil
	}
	m := movingOf(r.OldInputs)
	defer m.close(ctx)
	for _, e := range []*end{&m.from, &m.to} {
		if comp, ok, err := l.component(ctx, e.node); err != nil || !ok || !comp.Healthy || e.connect(ctx) != nil {
			return out, err // what is wrong with a database is told of the database
		}
	}
	from, err := m.has(ctx, &m.from)
	if err != nil {
		return nil, err
	}
	to, err := m.has(ctx, &m.to)
	if err != nil {
		return nil, err
	}
	arrived := to.place == here && from.place != here
	if !arrived && (r.OldInputs["switched"].BoolValue() || to.place != copying || !m.kept(ctx)) {
		out[engine.StateKey] = text(engine.Changed)
	}
	return out, nil
}

// deleteMove ends a move, as far as the databases run. Tables stay where they are: a copy
// that never took writes stays closed to them.
func (l *Local) deleteMove(ctx context.Context, r engine.Request) error {
	in := r.OldInputs
	if !in["from"].IsString() {
		in = r.Inputs
	}
	m := movingOf(in)
	defer m.close(ctx)
	for _, e := range []*end{&m.from, &m.to} {
		if comp, ok, err := l.component(ctx, e.node); err != nil || !ok || !comp.Healthy {
			continue
		}
		if err := e.connect(ctx); err != nil {
			return err
		}
	}
	if in["switched"].BoolValue() || m.from.Conn == nil || m.to.Conn == nil {
		return m.forget(ctx)
	}
	from, err := m.has(ctx, &m.from)
	if err != nil {
		return err
	}
	switch to, err := m.has(ctx, &m.to); {
	case err != nil:
		return err
	case from.place == moved && to.place == here:
		return &Error{What: fmt.Sprintf("the tables of %s take writes in %s already", m.service, m.to.node), Hint: "'scale up' to where the walk led finishes it; from there it goes back"}
	case from.place == moved && to.place == copying: // it was in the middle of its switch
		if err := m.from.open(ctx, m.tables); err != nil {
			return err
		}
	}
	return m.forget(ctx)
}

// movesInStep holds when what is copied follows, and replicas of it too.
func (l *Local) movesInStep(ctx context.Context, t topology.Topology, pins Pins, waiting func(string)) error {
	for _, n := range t.OfKind(topology.Move) {
		m := l.movingOf(*n.Move, pins)
		if err := m.connect(ctx); err != nil {
			return err
		}
		defer m.close(ctx)
		var follows bool
		if err := m.to.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_subscription WHERE subname = $1)", m.key()).Scan(&follows); err != nil {
			return err
		}
		if follows { // or it was there already
			if err := l.arrives(ctx, m, waiting); err != nil {
				return err
			}
		}
	}
	return l.caughtUp(ctx, t, pins, waiting)
}

// Movable refuses what could not move, before anything is changed.
func (l *Local) Movable(ctx context.Context, spec topology.MoveSpec, pins Pins) error {
	if c, ok := l.seen.Component(spec.From); !ok || !c.Healthy {
		return nil // it is looked at when it runs
	}
	m := l.movingOf(spec, pins)
	if err := m.from.connect(ctx); err != nil {
		return err
	}
	defer m.close(ctx)
	return m.fit(ctx)
}

// Moved reports whether the tables take writes where they were to go.
func (l *Local) Moved(ctx context.Context, spec topology.MoveSpec, pins Pins) (bool, error) {
	m := l.movingOf(spec, pins)
	if err := m.to.connect(ctx); err != nil {
		return false, err
	}
	defer m.close(ctx)
	to, err := m.has(ctx, &m.to)
	return to.place == here, err
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
