package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// entry is one line of the guestbook.
type entry struct {
	ID      int64     `json:"id"`
	Name    string    `json:"name"`
	Message string    `json:"message"`
	Words   *int      `json:"words,omitempty"` // counted by the worker
	At      time.Time `json:"at"`
}

// store keeps entries.
type store interface {
	Add(ctx context.Context, name, message string) (entry, error)
	Latest(ctx context.Context, n int) ([]entry, error)
	// LatestIDs are those of Latest.
	LatestIDs(ctx context.Context, n int) ([]int64, error)
	// Since are the entries after that id, the oldest first.
	Since(ctx context.Context, id int64) ([]entry, error)
	// CaughtUp returns when what is read is no older than what had been written when it
	// was asked.
	CaughtUp(ctx context.Context) error
	// CountWords counts those of these entries, or of any 100 that have none counted, and
	// returns how many entries it counted.
	CountWords(ctx context.Context, ids []int64) (int, error)
	Keep(ctx context.Context, name string, content []byte) error
	// Upload is nil when there is none of that name.
	Upload(ctx context.Context, name string) ([]byte, error)
	Ping(ctx context.Context) error
	Close()
	likes
}

// open connects to the database of the environment; without one, entries live
// as long as the program does.
func open(ctx context.Context, s settings, connections int32) (store, error) {
	if s.database == "" {
		return &memory{}, nil
	}
	leader, err := connect(ctx, s.database, s.lent, connections)
	if err != nil {
		return nil, err
	}
	p := &postgres{leader: leader, replica: leader}
	if s.replica != "" && s.replica != s.database {
		if p.replica, err = connect(ctx, s.replica, s.lent, connections); err != nil {
			return nil, err
		}
	}
	return p, p.migrate(ctx)
}

// connect opens all connections of a pool before the first request needs one: each
// costs the database some milliseconds, which a user would wait for. Where a connection is lent
// for a transaction, the next one knows nothing of statements that were prepared on it.
func connect(ctx context.Context, url string, lent bool, connections int32) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	c.MaxConns, c.MinConns = connections, connections
	if lent {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	p, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	var open []*pgxpool.Conn
	for range c.MaxConns {
		conn, err := p.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		open = append(open, conn)
	}
	for _, conn := range open {
		conn.Release()
	}
	return p, nil
}

// How many connections a pool has: enough for a database that is 70 ms away, and few
// enough that both pools of two instances of each service in three regions, and of their
// other colour, stay below the 200 that a small server takes.
const (
	connections      = 6
	likesConnections = 2
)

type postgres struct{ leader, replica *pgxpool.Pool }

// migrate may run in several instances at once, and only ever adds: an older
// release goes on working beside a newer one. The statements are one transaction,
// and the lock lasts until its end, when the others see what it made.
func (p *postgres) migrate(ctx context.Context) error {
	_, err := p.leader.Exec(ctx, `
		SELECT pg_advisory_xact_lock(7321);
		CREATE TABLE IF NOT EXISTS entries (
			id bigserial PRIMARY KEY, name text NOT NULL, message text NOT NULL,
			words int, at timestamptz NOT NULL DEFAULT now());
		CREATE TABLE IF NOT EXISTS likes (entry bigint PRIMARY KEY, n int NOT NULL);
		CREATE TABLE IF NOT EXISTS uploads (name text PRIMARY KEY, content bytea NOT NULL);`)
	return err
}

func (p *postgres) Add(ctx context.Context, name, message string) (entry, error) {
	e := entry{Name: name, Message: message}
	err := p.leader.QueryRow(ctx, `
		WITH e AS (INSERT INTO entries (name, message) VALUES ($1, $2) RETURNING id, at), told AS (SELECT pg_notify('`+written+`', ''))
		SELECT id, at FROM e, told`, name, message).Scan(&e.ID, &e.At)
	return e, err
}

// written is the channel on which the database tells every region of a write.
const written = "entries_written"

func (p *postgres) CaughtUp(ctx context.Context) error {
	if p.replica == p.leader {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var written string
	if err := p.leader.QueryRow(ctx, `SELECT pg_current_wal_lsn()::text`).Scan(&written); err != nil {
		return err
	}
	for there := false; !there; {
		if err := p.replica.QueryRow(ctx, `SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn`, written).Scan(&there); err != nil {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *postgres) LatestIDs(ctx context.Context, n int) ([]int64, error) {
	return again(ctx, p.replica, func() ([]int64, error) {
		rows, err := p.replica.Query(ctx, `SELECT id FROM entries ORDER BY id DESC LIMIT $1`, n)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[int64])
	})
}

func (p *postgres) Latest(ctx context.Context, n int) ([]entry, error) {
	return p.entries(ctx, `SELECT id, name, message, words, at FROM entries ORDER BY id DESC LIMIT $1`, n)
}

func (p *postgres) Since(ctx context.Context, id int64) ([]entry, error) {
	return p.entries(ctx, `SELECT id, name, message, words, at FROM entries WHERE id > $1 ORDER BY id LIMIT 1000`, id)
}

func (p *postgres) Keep(ctx context.Context, name string, content []byte) error {
	_, err := p.leader.Exec(ctx, `INSERT INTO uploads (name, content) VALUES ($1, $2)`, name, content)
	return err
}

func (p *postgres) Upload(ctx context.Context, name string) ([]byte, error) {
	return again(ctx, p.replica, func() (content []byte, err error) {
		err = p.replica.QueryRow(ctx, `SELECT content FROM uploads WHERE name = $1`, name).Scan(&content)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, nil
		}
		return content, err
	})
}

func (p *postgres) entries(ctx context.Context, query string, arg any) ([]entry, error) {
	return again(ctx, p.replica, func() ([]entry, error) {
		rows, err := p.replica.Query(ctx, query, arg)
		if err != nil {
			return nil, err
		}
		es, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (e entry, err error) {
			return e, r.Scan(&e.ID, &e.Name, &e.Message, &e.Words, &e.At)
		})
		return es, err
	})
}

// brokeOff are the classes of errors by which a server says that it ends, or ended the session,
// and a pool of connections that one of its own broke.
var brokeOff = []string{"57", "08"}

// again asks once more, and twice, where a connection broke. When one did, the others
// that were open are to the same database, which is another one now: all are given up,
// or each of them would fail a reader of its own. What is read may be read twice.
func again[T any](ctx context.Context, pool *pgxpool.Pool, ask func() (T, error)) (answer T, err error) {
	for range 3 {
		var said *pgconn.PgError
		answer, err = ask()
		if err == nil || ctx.Err() != nil || errors.As(err, &said) && !slices.Contains(brokeOff, said.Code[:2]) {
			break // nobody waits any more, or asking again would say the same
		}
		pool.Reset()
	}
	return answer, err
}

func (p *postgres) CountWords(ctx context.Context, ids []int64) (int, error) {
	const count = `UPDATE entries SET words = array_length(regexp_split_to_array(trim(message), '\s+'), 1) WHERE id `
	which, args := `= ANY($1)`, []any{ids}
	if ids == nil {
		which, args = `IN (SELECT id FROM entries WHERE words IS NULL ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED)`, nil
	}
	tag, err := p.leader.Exec(ctx, count+which, args...)
	if err == nil && tag.RowsAffected() > 0 {
		_, err = p.leader.Exec(ctx, `SELECT pg_notify($1, '')`, written)
	}
	return int(tag.RowsAffected()), err
}

func (p *postgres) Ping(ctx context.Context) error { return p.leader.Ping(ctx) }

func (p *postgres) Close() {
	p.leader.Close()
	if p.replica != p.leader {
		p.replica.Close()
	}
}

// memory keeps entries for as long as the program runs.
type memory struct {
	mu      sync.Mutex
	entries []entry
	uploads map[string][]byte
	liked   map[int64]int // by entry
}

func (m *memory) Since(_ context.Context, id int64) ([]entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries[min(max(id, 0), int64(len(m.entries))):]), nil
}

func (m *memory) Keep(_ context.Context, name string, content []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.uploads == nil {
		m.uploads = map[string][]byte{}
	}
	m.uploads[name] = content
	return nil
}

func (m *memory) Upload(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.uploads[name], nil
}

func (m *memory) Add(_ context.Context, name, message string) (entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := entry{ID: int64(len(m.entries) + 1), Name: name, Message: message, At: time.Now()}
	m.entries = append(m.entries, e)
	return e, nil
}

func (m *memory) Latest(_ context.Context, n int) ([]entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	es := slices.Clone(m.entries)
	slices.Reverse(es)
	return es[:min(n, len(es))], nil
}

func (m *memory) CaughtUp(context.Context) error { return nil }

func (m *memory) LatestIDs(ctx context.Context, n int) ([]int64, error) {
	es, err := m.Latest(ctx, n)
	ids := make([]int64, len(es))
	for i, e := range es {
		ids[i] = e.ID
	}
	return ids, err
}

func (m *memory) CountWords(_ context.Context, ids []int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for i, e := range m.entries {
		if e.Words == nil && (ids == nil || slices.Contains(ids, e.ID)) {
			words := len(strings.Fields(e.Message))
			m.entries[i].Words = &words
			n++
		}
	}
	return n, nil
}

func (m *memory) Ping(context.Context) error { return nil }
func (m *memory) Close()                     {}
