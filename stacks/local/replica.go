//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// replicator is the user as whom replicas follow.
const replicator = "replicator"

// replica is what a database is that comes after those that lead.
const replica topology.Kind = "replica"

// ofKind are the nodes of a kind, leaders and replicas told apart.
func ofKind(t topology.Topology, kind topology.Kind) []topology.Node {
	if kind != topology.Database && kind != replica {
		return t.OfKind(kind)
	}
	return slices.DeleteFunc(t.OfKind(topology.Database), func(n topology.Node) bool { return n.Replica() != (kind == replica) })
}

// leaderOf is the node whose passwords a database has: a copy has those too.
func leaderOf(n topology.Node) string {
	if n.Replica() {
		return n.Database.Of
	}
	return n.ID
}

// follow adds to the inputs of a database's files, or of the server on them, whom they
// follow. A replica is near its users and far from its leader: it follows over the link.
func (p *program) follow(n topology.Node, in pulumi.Map) {
	leader, ok := p.t.Node(n.Database.Of)
	if !ok {
		return
	}
	in["leader"] = pulumi.String(leader.ID)
	in["leaderPort"], in["via"] = pulumi.Int(portOf(p.pins, leader.ID)), pulumi.Int(portFrom(p.pins, n.Region, leader))
	in["replication"] = p.secret(passwordKey(leader.ID, replicator))
}

// slot is what a leader keeps its log for a replica by.
func slot(node string) string { return strings.ReplaceAll(node, "-", "_") }

// A replica that is gone keeps at most so much of its leader's log from being thrown
// away: it must not fill the leader's disk. One that is further behind cannot follow any
// more, which its status says; going to level 3 and back copies it anew.
const slotKeeps = "256MB"

// standbySignal is the file by which PostgreSQL knows that a directory follows.
const standbySignal = "standby.signal"

func superOf(in resource.PropertyMap) string {
	return superURL(integer(in["leaderPort"]), in["adminPassword"].StringValue(), "postgres")
}

// prepareLeader makes on the leader what a replica needs; asking again changes nothing,
// and nothing is restarted.
func (l *Local) prepareLeader(ctx context.Context, in resource.PropertyMap, node string) error {
	conn, err := pgx.Connect(ctx, superOf(in))
	if err != nil {
		return fmt.Errorf("the leader %s cannot be asked", in["leader"].StringValue()) // pgx's own text quotes the connection string
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(7322)"); err != nil { // several replicas begin at once
		return err
	}
	if err := ensureRole(ctx, conn, replicator, "REPLICATION LOGIN", in["replication"].StringValue()); err != nil {
		return err
	}
	hba := filepath.Join(l.dataDir(in["leader"].StringValue()+"-data"), "pg_hba.conf")
	text, err := os.ReadFile(hba)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), replicationAccess) { // it was made before there were replicas
		if err := os.WriteFile(hba, append(text, replicationAccess...), 0o600); err != nil {
			return err
		}
	}
	for _, sql := range []string{"ALTER SYSTEM SET max_slot_wal_keep_size = '" + slotKeeps + "'", "SELECT pg_reload_conf()"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	_, err = conn.Exec(ctx, "SELECT pg_create_physical_replication_slot($1, true) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)", slot(node))
	return err
}

// createReplicaDirectory copies the leader as it runs, or takes up a copy that is there.
func (l *Local) createReplicaDirectory(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	dir, in := l.dataDir(r.Name), r.Inputs
	pg, err := findPostgres(majorOf(l.dataDir(in["leader"].StringValue() + "-data")))
	if err != nil {
		return nil, err
	}
	if r.Preview {
		return dataDirectoryOutputs(r, dir, pg.major), nil
	}
	node := in["node"].StringValue()
	if err := l.prepareLeader(ctx, in, node); err != nil {
		return nil, err
	}
	if majorOf(dir) != 0 {
		if _, err := os.Stat(filepath.Join(dir, standbySignal)); err != nil {
			return nil, &Error{What: dir + " holds a database that leads, where a replica is to be made", Hint: "move it away: what it has is not in the leader"}
		}
		return dataDirectoryOutputs(r, dir, pg.major), nil
	}
	u, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), dirMode()); err != nil {
		return nil, err
	}
	fresh := dir + ".new"
	c, err := l.running(ctx)
	if err != nil {
		return nil, err
	}
	task := r.Name + "-copy"
	if err := errors.Join(c.DeleteProcess(ctx, task), os.RemoveAll(fresh), makeDirs(u, fresh), l.writePassfile(u, r.Name, in)); err != nil {
		return nil, err
	}
	err = c.PutProcess(ctx, agent.Process{
		Name: task, Node: node, Kind: "task", Once: true, Dir: "/", User: u,
		Argv: []string{filepath.Join(pg.bin, "pg_basebackup"), "-D", fresh, "-h", "127.0.0.1", "-p", strconv.Itoa(integer(in["via"])), "-U", replicator,
			"--no-password", "--checkpoint=fast", "--wal-method=stream", "--slot=" + slot(node)},
		Env: append(ambient(), "PGPASSFILE="+l.passfile(r.Name)), StartTimeout: time.Hour, StopTimeout: time.Second,
	}, r.Waiting)
	if err != nil {
		return nil, fmt.Errorf("copy the leader %s: %w", in["leader"].StringValue(), err)
	}
	if err := errors.Join(writeFor(u, filepath.Join(fresh, standbySignal), ""), l.writeFollow(fresh, node, in), c.DeleteProcess(ctx, task)); err != nil {
		return nil, err
	}
	// The rename is what makes it count: a crash before it leaves nothing that does.
	if err := os.Rename(fresh, dir); err != nil {
		return nil, err
	}
	return dataDirectoryOutputs(r, dir, pg.major), nil
}

// passfile is where a replica finds its password: arguments are seen by everyone.
func (l *Local) passfile(directory string) string { return l.dataDir(directory) + ".pgpass" }

func (l *Local) writePassfile(u *agent.User, directory string, in resource.PropertyMap) error {
	return writeFor(u, l.passfile(directory), fmt.Sprintf("*:*:*:%s:%s\n", replicator, in["replication"].StringValue()))
}

// writeFollow says in a directory's own settings whom it follows: arguments would have
// to change, and the server to restart, when it is promoted.
func (l *Local) writeFollow(dir, node string, in resource.PropertyMap) error {
	file := filepath.Join(dir, "postgresql.auto.conf")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !slices.ContainsFunc([]string{"primary_conninfo", "primary_slot_name", waitsFor}, func(k string) bool { return strings.HasPrefix(line, k) }) {
			lines = append(lines, line) // a copy waits for nobody, also when it is to lead
		}
	}
	lines = append(lines, fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=%s application_name=%s passfile=%s'\n", integer(in["via"]), replicator, node, l.passfile(node+"-data")),
		fmt.Sprintf("primary_slot_name = '%s'\n", slot(node)))
	return os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600)
}

// updateDirectory makes the files of a database those of a leader, of a fenced one or of
// a replica. What it held as a leader is kept beside it, until the next time.
func (l *Local) updateDirectory(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	dir := l.dataDir(r.Name)
	follows, followed := r.Inputs["leader"].IsString(), r.OldInputs["leader"].IsString()
	if r.Preview {
		return dataDirectoryOutputs(r, dir, majorOf(dir)), nil
	}
	switch {
	case follows && !followed:
		if err := retire(dir); err != nil {
			return nil, err
		}
		return l.createReplicaDirectory(ctx, r)
	case follows:
		if err := l.prepareLeader(ctx, r.Inputs, r.Inputs["node"].StringValue()); err != nil {
			return nil, err
		}
	case r.Inputs["fenced"].IsBool():
		u, err := unprivileged()
		if err != nil {
			return nil, err
		}
		// Whoever starts a server on it gets one that follows nobody and takes no writes.
		if err := writeFor(u, filepath.Join(dir, standbySignal), fencedMark); err != nil {
			return nil, err
		}
	}
	return dataDirectoryOutputs(r, dir, majorOf(dir)), nil
}

// fencedMark is what the signal says in the files of a leader that was fenced; PostgreSQL
// reads nothing there, and a promotion removes it.
const fencedMark = "fenced\n"

// retire takes the files of a fenced leader out of the way. What was killed after that, or
// once the copy was there, finds none: then what is kept is that leader's, and stays.
func retire(dir string) error {
	mark, err := os.ReadFile(filepath.Join(dir, standbySignal))
	if errors.Is(err, os.ErrNotExist) || err == nil && string(mark) != fencedMark {
		return nil // a copy is taken up, and anything else refused
	}
	if err != nil {
		return err
	}
	retired := dir + ".retired"
	return errors.Join(os.RemoveAll(retired), os.Rename(dir, retired))
}

// take makes a server that follows one that leads, if it is not: asking again changes
// nothing, and nothing is restarted.
func take(ctx context.Context, super string) error {
	conn, err := pgx.Connect(ctx, super)
	if err != nil {
		return errors.New("the database does not take its own administrator's password: was the data directory exchanged?")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var follows bool
	if err := conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&follows); err != nil || !follows {
		return err
	}
	var leads bool
	if err := conn.QueryRow(ctx, "SELECT pg_promote(true, 60)").Scan(&leads); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	if !leads {
		return errors.New("the replica was not promoted within a minute")
	}
	return nil
}

// reload makes a server read its settings again.
func reload(ctx context.Context, super string) error {
	conn, err := pgx.Connect(ctx, super)
	if err != nil {
		return errors.New("the replica does not answer")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "SELECT pg_reload_conf()")
	return err
}

// forgetReplica frees the log that the leader keeps for a replica that is gone. A leader
// that does not answer keeps it, as far as its bound allows, until there is one again.
func forgetReplica(ctx context.Context, in resource.PropertyMap) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, superOf(in))
	if err != nil {
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, _ = conn.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active", slot(in["node"].StringValue()))
}

// caughtUp holds when every replica has what its leader had when it was asked.
func (l *Local) caughtUp(ctx context.Context, t topology.Topology, pins Pins, waiting func(string)) error {
	ask := func(node, leader, sql string, args ...any) (text string, err error) {
		conn, err := pgx.Connect(ctx, databaseURL(portOf(pins, node), admin, pins[passwordKey(leader, admin)], "postgres"))
		if err != nil {
			return "", fmt.Errorf("%s does not answer", node)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		return text, conn.QueryRow(ctx, sql, args...).Scan(&text)
	}
	for _, n := range t.OfKind(topology.Database) {
		if !n.Replica() || n.Stopped() {
			continue
		}
		has, err := ask(n.Database.Of, n.Database.Of, "SELECT pg_current_wal_lsn()::text")
		if err != nil {
			return err
		}
		err = l.until(ctx, waiting, func() (string, error) {
			behind, err := ask(n.ID, n.Database.Of, "SELECT greatest(pg_wal_lsn_diff($1::pg_lsn, pg_last_wal_replay_lsn()), 0)::text", has)
			switch {
			case err != nil:
				return err.Error(), nil
			case behind != "0":
				return fmt.Sprintf("%s is %s bytes behind its leader", n.ID, behind), nil
			}
			return "", nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
