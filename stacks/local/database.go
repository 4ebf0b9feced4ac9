//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
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

// The names inside the database are constants: renaming the application must not
// reach them.
const (
	admin   = "postgres"
	appUser = "app"
	appName = "app"
)

// database is the data directory, and unless the node is stopped the server on it.
func (p *program) database(n topology.Node, c pulumi.Resource) error {
	files := pulumi.Map{"node": pulumi.String(n.ID), "engine": pulumi.String(n.Database.Engine), "adminPassword": p.secret(passwordKey(leaderOf(n), admin))}
	p.follow(n, files)
	if n.Fenced() {
		files["fenced"] = pulumi.Bool(true)
	}
	data, err := p.resource(typeDataDirectory, n.ID+"-data", files, c, p.behind(n.ID), pulumi.Protect(!n.Replica()))
	switch {
	case err != nil:
		return err
	case n.Fenced(): // what it wrote last is on its way to who follows
		return p.private(n, c)
	case n.Stopped():
		return nil
	}
	in := pulumi.Map{
		"node": pulumi.String(n.ID), "data": data.Path, "major": data.Major, "port": pulumi.Int(portOf(p.pins, n.ID)), "size": pulumi.String(n.Database.Size),
		"adminPassword": p.secret(passwordKey(leaderOf(n), admin)),
		"user":          pulumi.String(appUser), "database": pulumi.String(appName), "password": p.secret(passwordKey(leaderOf(n), appUser)),
	}
	p.follow(n, in)
	server, err := p.resource(typePostgres, n.ID, in, c, []pulumi.Resource{data})
	if err != nil {
		return err
	}
	p.made[n.ID] = append(p.made[n.ID], server)
	return p.private(n, c)
}

// databaseURL is what an application connects with.
func databaseURL(port int, user, password, name string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: fmt.Sprintf("127.0.0.1:%d", port),
		Path: "/" + name, RawQuery: "sslmode=disable"}
	return u.String()
}

func (l *Local) preflightDatabase(n topology.Node) error {
	u, err := unprivileged()
	if err != nil {
		return err
	}
	if err := reachable(l.Root, u); err != nil {
		return err
	}
	_, err = findPostgres(majorOf(l.dataDir(n.ID + "-data")))
	return err
}

func (l *Local) dataDir(name string) string { return filepath.Join(l.Root, "data", name) }

// majorOf is the major version that wrote a data directory, 0 when there is none.
func majorOf(dir string) int {
	b, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return n
}

func dataDirectoryOutputs(r engine.Request, path string, major int) resource.PropertyMap {
	out := r.Inputs.Copy()
	out["path"], out["major"] = text(path), text(strconv.Itoa(major))
	out[engine.StateKey] = text(present)
	return out
}

// createDataDirectory makes an empty database cluster, or adopts the one that is there.
func (l *Local) createDataDirectory(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	if r.Inputs["leader"].IsString() {
		return l.createReplicaDirectory(ctx, r)
	}
	dir := l.dataDir(r.Name)
	if m := majorOf(dir); m != 0 {
		return dataDirectoryOutputs(r, dir, m), nil
	}
	pg, err := findPostgres(0)
	if err != nil {
		return nil, err
	}
	if r.Preview {
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
	if err := l.initdb(ctx, r, pg, u, fresh); err != nil {
		return nil, err
	}
	// The rename is what makes it ours: a crash before it leaves nothing that counts.
	if err := os.Rename(fresh, dir); err != nil {
		return nil, err
	}
	return dataDirectoryOutputs(r, dir, pg.major), nil
}

// replicationAccess lets replicas follow.
const replicationAccess = "host replication " + replicator + " 127.0.0.1/32 scram-sha-256\n"

// initdb runs under the agent, so that it ends with it and never by halves.
func (l *Local) initdb(ctx context.Context, r engine.Request, pg postgres, u *agent.User, dir string) error {
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	task := r.Name + "-init"
	if err := errors.Join(c.DeleteProcess(ctx, task), os.RemoveAll(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	pw := dir + ".password"
	if err := os.WriteFile(pw, []byte(r.Inputs["adminPassword"].StringValue()+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(pw)
	if u != nil {
		if err := errors.Join(os.Chown(dir, int(u.UID), int(u.GID)), os.Chown(pw, int(u.UID), int(u.GID))); err != nil {
			return err
		}
	}
	// It syncs what it writes, for about 70 ms: the rename must not be more durable
	// than what it names. Checksums make a later rewind possible.
	err = c.PutProcess(ctx, agent.Process{
		Name: task, Node: r.Inputs["node"].StringValue(), Kind: "task", Once: true, Dir: "/", User: u,
		Argv: []string{filepath.Join(pg.bin, "initdb"), "-D", dir, "-U", admin, "--auth=scram-sha-256", "--pwfile=" + pw,
			"-E", "UTF8", "--locale=C.UTF-8", "-k"},
		Env: ambient(), StartTimeout: time.Minute, StopTimeout: time.Second,
	}, r.Waiting)
	if err != nil {
		return fmt.Errorf("make the database's files: %w", err)
	}
	// The superuser, the application's own user on its own database, and replicas, with
	// passwords, and databases that tables move to, from this machine; nobody else, and no socket.
	hba := fmt.Sprintf("host all %s 127.0.0.1/32 scram-sha-256\nhost %s %s 127.0.0.1/32 scram-sha-256\n", admin, appName, appUser) + replicationAccess + moveAccess
	if err := os.WriteFile(filepath.Join(dir, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return err
	}
	return c.DeleteProcess(ctx, task)
}

// readDataDirectory never says "gone" of a directory that was made once: data
// that is missing is for a person to look for.
func (l *Local) readDataDirectory(r engine.Request) resource.PropertyMap {
	dir := l.dataDir(r.Name)
	if m := majorOf(dir); m != 0 {
		r.Inputs = r.OldInputs
		return dataDirectoryOutputs(r, dir, m)
	}
	if _, was := r.Olds["path"]; !was {
		return nil // it was never finished
	}
	out := r.Olds.Copy()
	out[engine.StateKey] = text(engine.Missing)
	return out
}

// deleteDirectory takes a directory out of the way at once, then deletes it.
func deleteDirectory(dir string) error {
	agent.ForgetShared(dir)
	trash := dir + ".trash"
	if err := os.RemoveAll(trash); err != nil {
		return err
	}
	if err := os.Rename(dir, trash); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(os.RemoveAll(trash), os.RemoveAll(dir+".new"), os.RemoveAll(dir+".new.password"), os.RemoveAll(dir+".pgpass"))
}

// putPostgres runs the server and makes the application's user and database.
func (l *Local) putPostgres(ctx context.Context, r engine.Request) error {
	in := r.Inputs
	major, err := strconv.Atoi(in["major"].StringValue())
	if err != nil {
		return err
	}
	pg, err := findPostgres(major)
	if err != nil {
		return err
	}
	u, err := unprivileged()
	if err != nil {
		return err
	}
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	port, data := int(in["port"].NumberValue()), in["data"].StringValue()
	argv := []string{filepath.Join(pg.bin, "postgres"), "-D", data, "-p", strconv.Itoa(port)}
	for _, s := range append([]string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "wal_level=logical"}, settings[in["size"].StringValue()]...) {
		argv = append(argv, "-c", s)
	}
	follows := in["leader"].IsString()
	if follows {
		node := in["node"].StringValue()
		if err := errors.Join(l.writePassfile(u, node+"-data", in), l.writeFollow(data, node, in)); err != nil {
			return err
		}
	}
	super := superURL(port, in["adminPassword"].StringValue(), "postgres")
	err = c.PutProcess(ctx, agent.Process{
		Name: r.Name, Node: in["node"].StringValue(), Kind: "database", Argv: argv, Env: ambient(), Dir: data, User: u, Port: port, Tag: tag(r),
		Health: agent.Health{Postgres: databaseURL(port, admin, in["adminPassword"].StringValue(), "postgres"), Follows: follows}, StartTimeout: time.Minute,
		Stop: "INT", StopTimeout: 30 * time.Second, // "fast": the smart way would wait for every client to leave
	}, r.Waiting)
	if err != nil {
		return err
	}
	if follows { // what a leader has, a replica gets
		return reload(ctx, super)
	}
	if err := take(ctx, super); err != nil {
		return err
	}
	return ensureDatabase(ctx, super, in["user"].StringValue(), in["password"].StringValue(), in["database"].StringValue())
}

// ensureDatabase makes what is missing; asking again changes nothing.
func ensureDatabase(ctx context.Context, super, user, password, name string) error {
	conn, err := pgx.Connect(ctx, super)
	if err != nil {
		return errors.New("the database does not take its own administrator's password: was the data directory exchanged?")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := ensureRole(ctx, conn, user, "LOGIN", password); err != nil {
		return err
	}
	role := pgx.Identifier{user}.Sanitize()
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil || there {
		return err
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" OWNER "+role); err != nil {
		return fmt.Errorf("make the application's database: %w", err)
	}
	return nil
}

// ensureRole makes a user, or gives it the password that it is to have.
func ensureRole(ctx context.Context, conn *pgx.Conn, user, may, password string) error {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", user).Scan(&there); err != nil {
		return err
	}
	verb := "CREATE"
	if there {
		verb = "ALTER"
	}
	// The statement holds the password: the server must not log it, not even when it fails.
	if _, err := conn.Exec(ctx, "SET log_statement = 'none'; SET log_min_error_statement = 'panic'"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, verb+" ROLE "+pgx.Identifier{user}.Sanitize()+" "+may+" PASSWORD '"+strings.ReplaceAll(password, "'", "''")+"'"); err != nil {
		return fmt.Errorf("make the database user %s: %w", user, err)
	}
	return nil
}
