//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/scale-levels/scale/internal/fault"
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

// copyTables begins a copy, or goes on with one, and returns when it is in step.
func (l *Local) copyTables(ctx context.Context, r engine.Request, m *moving, to has) error {
	if err := m.fit(ctx); err != nil {
		return err
	}
	var follows bool
	if err := m.to.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_subscription WHERE subname = $1 AND subenabled)", m.key()).Scan(&follows); err != nil {
		return err
	}
	begins := to.place != copying || len(to.lacks) > 0 || !follows || !m.kept(ctx)
	if begins {
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
	if err := l.inStep(ctx, m, r.Waiting); err != nil || !begins {
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
