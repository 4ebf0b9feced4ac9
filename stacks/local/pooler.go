//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// pooler is a PgBouncer before all the databases that a region uses. Each is known there by
// its name without region and generation, and its user is called the same: who has the
// password of one gets into no other.
func (p *program) pooler(n topology.Node, c pulumi.Resource) error {
	databases, after := pulumi.Map{}, []pulumi.Resource{}
	for _, db := range p.t.OfKind(topology.Database) {
		after = append(after, p.made[db.ID]...)
		if db.Replica() || db.Stopped() && !db.Fenced() { // one that was fenced is replaced in a moment
			continue
		}
		writes, reads := p.portsOf(db, n.Region)
		databases[baseOf(db)] = pulumi.Map{"writes": pulumi.Int(writes), "reads": pulumi.Int(reads), "password": p.secret(passwordKey(leaderOf(db), appUser))}
	}
	r, err := p.resource(typePooler, n.ID, pulumi.Map{
		"node": pulumi.String(n.ID), "port": pulumi.Int(portOf(p.pins, n.ID)), "mode": pulumi.String(n.Pooler.Mode), "size": pulumi.String(n.Pooler.Size), "databases": databases,
	}, c, after)
	p.made[n.ID] = append(p.made[n.ID], r)
	return err
}

// readerOf is what a pooler calls the database that its region reads from.
func readerOf(base string) string { return base + "-replica" }

// poolerSize is how many connections a pooler holds to each database of a size: well below
// what that takes from all regions together.
var poolerSize = map[string]int{"small": 20, "medium": 40, "large": 80}

// poolerConfig: who waits for a connection does so for longer than a failover takes. What
// drivers say of themselves when they connect is not passed on.
const poolerConfig = `; %s
[databases]
%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = hba
auth_hba_file = %s
auth_file = %s
pool_mode = %s
default_pool_size = %d
max_client_conn = 2000
server_login_retry = 0.2
query_wait_timeout = 20
ignore_startup_parameters = extra_float_digits,options
log_connections = 0
log_disconnections = 0
`

func (l *Local) poolerDir(name string) string { return filepath.Join(l.Root, "pooler", name) }

func (l *Local) poolerFile(name string) string {
	return filepath.Join(l.poolerDir(name), "pgbouncer.ini")
}

// poolerTag is what the file of a pooler that was written last says.
func (l *Local) poolerTag(name string) string {
	b, err := os.ReadFile(l.poolerFile(name))
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimPrefix(first, "; ")
}

func findPooler() (string, error) {
	if f, ok := findProgram("pgbouncer"); ok {
		return f, nil
	}
	return "", &Error{What: "pgbouncer, the pool of connections behind 'database.pool', is not installed",
		Hint: "'make tools' installs it without a server of its own; or: apt-get install pgbouncer, or: brew install pgbouncer", Tool: true}
}

// putPooler writes what a pooler reads, and starts it, or lets it read that anew: nobody who
// is connected notices.
func (l *Local) putPooler(ctx context.Context, r engine.Request) error {
	program, err := findPooler()
	if err != nil {
		return err
	}
	u, err := unprivileged()
	if err != nil {
		return err
	}
	dir, file := l.poolerDir(r.Name), l.poolerFile(r.Name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(dir), dirMode()), makeDirs(u, dir)); err != nil {
		return err
	}
	var databases, users, who strings.Builder
	var first string
	all := r.Inputs["databases"].ObjectValue()
	for _, base := range all.StableKeys() {
		db, name := all[base].ObjectValue(), string(base)
		line := func(name, at resource.PropertyKey) {
			fmt.Fprintf(&databases, "%s = host=127.0.0.1 port=%d dbname=%s user=%s password=%s\n", name, integer(db[at]), appName, appUser, db["password"].StringValue())
		}
		line(base, "writes")
		line(resource.PropertyKey(readerOf(name)), "reads")
		fmt.Fprintf(&users, "%q %q\n", name, db["password"].StringValue())
		fmt.Fprintf(&who, "host %s,%s %s 127.0.0.1/32 scram-sha-256\n", name, readerOf(name), name)
		if first == "" {
			first = databaseURL(integer(r.Inputs["port"]), name, db["password"].StringValue(), name)
		}
	}
	passwords, access := filepath.Join(dir, "users"), filepath.Join(dir, "access")
	text := fmt.Sprintf(poolerConfig, tag(r), databases.String(), integer(r.Inputs["port"]), access, passwords, r.Inputs["mode"].StringValue(), poolerSize[r.Inputs["size"].StringValue()])
	if err := errors.Join(writeFor(u, passwords, users.String()), writeFor(u, access, who.String()), writeFor(u, file, text)); err != nil {
		return err
	}
	if now, ok, err := l.component(ctx, r.Name); err != nil {
		return err
	} else if ok && now.State == agent.Running && now.PID != 0 {
		return syscall.Kill(now.PID, syscall.SIGHUP)
	}
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	p := storeProcess(r, program, dir, u)
	p.Kind, p.Tag, p.Stop = "pooler", "", "TERM"
	p.Argv, p.Health = append(p.Argv, "-q", file), agent.Health{Postgres: first}
	return c.PutProcess(ctx, p, r.Waiting)
}
