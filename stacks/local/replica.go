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

// baseOf is what the databases of a group have in common: "db" of db-use1-g1.
func baseOf(n topology.Node) string {
	parts := strings.Split(n.ID, "-")
	return strings.Join(parts[:len(parts)-2], "-")
}

// group are the databases that are copies of one another, or were.
func group(t topology.Topology, n topology.Node) []topology.Node {
	return slices.DeleteFunc(t.OfKind(topology.Database), func(o topology.Node) bool { return baseOf(o) != baseOf(n) })
}

// The ways to who leads a group, and to whom a region reads from, are links of their own
// that stay when the lead moves: no application has to be told.
func leaderLink(base, region string) string { return base + "-leader-from-" + region }
func readerLink(base, region string) string { return base + "-reader-from-" + region }

// replicated reports whether a database has copies, so that the lead can move.
func replicated(t topology.Topology, n topology.Node) bool { return len(group(t, n)) > 1 }

// leads is who leads a group, or would if it were not fenced.
func leads(g []topology.Node) (leader topology.Node) {
	for _, n := range g {
		if !n.Replica() && (leader.ID == "" || leader.Stopped()) {
			leader = n
		}
	}
	return leader
}

// reads is whom a region reads from: its own database, or the nearest that runs.
func reads(g []topology.Node, region string) topology.Node {
	up := slices.DeleteFunc(slices.Clone(g), topology.Node.Stopped)
	if len(up) == 0 {
		return leads(g)
	}
	return slices.MinFunc(up, func(a, b topology.Node) int { return int(roundTrip(region, a.Region) - roundTrip(region, b.Region)) })
}

// way is a link to one of a group's databases.
type way struct {
	name, from string
	to         topology.Node
}

// waysOf are those of a replicated group, asked by its first node; none by the others.
func waysOf(t topology.Topology, n topology.Node) []way {
	g := group(t, n)
	if n.Database == nil || len(g) < 2 || g[0].ID != n.ID {
		return nil
	}
	var ws []way
	for _, r := range t.Regions {
		ws = append(ws, way{leaderLink(baseOf(n), r.Name), r.Name, leads(g)}, way{readerLink(baseOf(n), r.Name), r.Name, reads(g, r.Name)})
	}
	return ws
}

// ways makes the links to the databases of each replicated group.
func (p *program) ways() error {
	for _, n := range p.t.OfKind(topology.Database) {
		ws := waysOf(p.t, n)
		if len(ws) == 0 {
			continue
		}
		base := baseOf(n)
		c := &component{}
		if err := p.ctx.RegisterComponentResource("scale:node:ways", base+"-ways", c); err != nil {
			return err
		}
		var after, made []pulumi.Resource
		for _, o := range group(p.t, n) {
			after = append(after, p.made[o.ID]...)
		}
		for _, w := range ws {
			l, err := p.resource(typeLink, w.name, pulumi.Map{
				"node": pulumi.String(base), "from": pulumi.String(w.from), "host": pulumi.String("127.0.0.1"), "port": pulumi.Int(portOf(p.pins, w.name)),
				"to": pulumi.String(fmt.Sprintf("127.0.0.1:%d", portOf(p.pins, w.to.ID))), "roundTrip": pulumi.Int(int(roundTrip(w.from, w.to.Region).Milliseconds())),
			}, c, after)
			if err != nil {
				return err
			}
			made = append(made, l)
		}
		for _, o := range group(p.t, n) {
			p.made[o.ID] = append(p.made[o.ID], made...)
		}
	}
	return nil
}

// databaseEnvironment tells a backend where it writes and where it reads.
func (p *program) databaseEnvironment(n topology.Node, env pulumi.Map) {
	for _, db := range p.t.LinkedFrom(n.ID, topology.Database) {
		at := func(port int) pulumi.StringOutput {
			return pulumi.ToSecret(pulumi.String(databaseURL(port, appUser, p.pins[passwordKey(leaderOf(db), appUser)], appName))).(pulumi.StringOutput)
		}
		if !replicated(p.t, db) {
			u := at(portFrom(p.pins, n.Region, db))
			env["DATABASE_URL"], env["DATABASE_REPLICA_URL"] = u, u // the leader reads too, until there are replicas
			continue
		}
		base := baseOf(db)
		env["DATABASE_URL"], env["DATABASE_REPLICA_URL"] = at(portOf(p.pins, leaderLink(base, n.Region))), at(portOf(p.pins, readerLink(base, n.Region)))
	}
}

// slot is what a leader keeps its log for a replica by.
func slot(node string) string { return strings.ReplaceAll(node, "-", "_") }

// A replica that is gone keeps at most so much of its leader's log from being thrown
// away: it must not fill the leader's disk. One that is further behind is copied anew.
const slotKeeps = "256MB"

// standbySignal is the file by which PostgreSQL knows that a directory follows.
const standbySignal = "standby.signal"

func superOf(in resource.PropertyMap) string {
	return databaseURL(integer(in["leaderPort"]), admin, in["adminPassword"].StringValue(), "postgres")
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
		if !strings.HasPrefix(line, "primary_conninfo") && !strings.HasPrefix(line, "primary_slot_name") {
			lines = append(lines, line)
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
		retired := dir + ".retired"
		if err := os.RemoveAll(retired); err != nil {
			return nil, err
		}
		if err := os.Rename(dir, retired); err != nil && !errors.Is(err, os.ErrNotExist) {
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
		if err := writeFor(u, filepath.Join(dir, standbySignal), ""); err != nil {
			return nil, err
		}
	}
	return dataDirectoryOutputs(r, dir, majorOf(dir)), nil
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
		switch {
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
