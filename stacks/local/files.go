//go:build unix

package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// bucket is where the application's files lie in its store. It is a constant, as
// the database's name is.
const bucket = "files"

// directory is where a store keeps its files.
func (p *program) directory(n topology.Node, c pulumi.Resource) (*made, error) {
	return p.resource(typeDirectory, n.ID+"-data", pulumi.Map{"node": pulumi.String(n.ID)}, c, nil, pulumi.Protect(true))
}

// fileStore is an S3-compatible server on a directory of its own, so that files
// live off the node as they do on AWS.
func (p *program) fileStore(n topology.Node, c pulumi.Resource) error {
	data, err := p.directory(n, c)
	if err != nil || n.Stopped() {
		return err
	}
	s, err := p.resource(typeFileStore, n.ID, pulumi.Map{
		"node": pulumi.String(n.ID), "data": data.Path, "port": pulumi.Int(portOf(p.pins, n.ID)), "bucket": pulumi.String(bucket),
		"access": pulumi.String(appUser), "secret": p.secret(passwordKey(n.ID, appUser)),
	}, c, []pulumi.Resource{data})
	if err != nil {
		return err
	}
	p.made[n.ID] = append(p.made[n.ID], s)
	return p.private(n, c)
}

// storeEnvironment tells a backend of the stores that it has links to.
func (p *program) storeEnvironment(n topology.Node, env pulumi.Map) {
	for _, f := range p.t.LinkedFrom(n.ID, topology.Files) {
		env["FILES_BUCKET"] = pulumi.String(bucket)
		env["AWS_ENDPOINT_URL_S3"] = pulumi.String(fmt.Sprintf("http://127.0.0.1:%d", portFrom(p.pins, n.Region, f)))
		env["AWS_REGION"], env["AWS_DEFAULT_REGION"] = pulumi.String(f.Region), pulumi.String(f.Region)
		env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = pulumi.String(appUser), p.secret(passwordKey(f.ID, appUser))
	}
	for _, s := range p.t.LinkedFrom(n.ID, topology.Sessions) {
		env["SESSION_URL"] = pulumi.ToSecret(pulumi.String(redisURL(portFrom(p.pins, n.Region, s), p.pins[passwordKey(s.ID, appUser)])))
	}
	for _, s := range p.t.LinkedFrom(n.ID, topology.Queue) {
		env["QUEUE_URL"] = pulumi.ToSecret(pulumi.String(redisURL(portFrom(p.pins, n.Region, s), p.pins[passwordKey(s.ID, appUser)])))
	}
	for _, s := range p.t.LinkedFrom(n.ID, topology.Cache) {
		env["CACHE_URL"] = pulumi.ToSecret(pulumi.String(redisURL(portOf(p.pins, s.ID), p.pins[passwordKey(s.ID, appUser)])))
	}
}

// findFileStore finds versitygw on PATH or where 'go install' puts programs.
func findFileStore() (string, error) {
	f, ok := findProgram("versitygw")
	if !ok {
		return "", &Error{What: "versitygw, the S3-compatible store behind 'files: true', is not installed",
			Hint: "'make tools' installs it; or: GOBIN=/usr/local/bin go install github.com/versity/versitygw/cmd/versitygw@v1.2.0", Tool: true}
	}
	u, err := unprivileged()
	if err != nil {
		return "", err
	}
	return f, reachable(f, u)
}

// findProgram finds the first of some programs on PATH or where packages and
// 'go install' put them.
func findProgram(names ...string) (string, bool) {
	for _, n := range names {
		for _, dir := range []string{"", "/usr/local/bin", "/usr/sbin", "/opt/homebrew/bin", os.Getenv("GOBIN"), filepath.Join(os.Getenv("HOME"), "go", "bin")} {
			if f, err := exec.LookPath(filepath.Join(dir, n)); err == nil {
				if f, err = filepath.Abs(f); err == nil {
					return f, true
				}
			}
		}
	}
	return "", false
}

// storeProcess is what the processes of stores have in common.
func storeProcess(r engine.Request, program, dir string, u *agent.User) agent.Process {
	return agent.Process{Name: r.Name, Node: r.Inputs["node"].StringValue(), Kind: "store", Argv: []string{program}, Env: ambient(),
		Dir: dir, User: u, Port: integer(r.Inputs["port"]), Tag: tag(r), StartTimeout: time.Minute, Stop: "TERM", StopTimeout: 10 * time.Second}
}

func (l *Local) putFileStore(ctx context.Context, r engine.Request) error {
	program, err := findFileStore()
	if err != nil {
		return err
	}
	u, err := unprivileged()
	if err != nil {
		return err
	}
	p := storeProcess(r, program, r.Inputs["data"].StringValue(), u)
	// A bucket is a directory; what a file system cannot keep of an object's
	// description lies in another one beside it.
	buckets, meta := filepath.Join(p.Dir, "buckets"), filepath.Join(p.Dir, "meta")
	if err := makeDirs(p.User, buckets, filepath.Join(buckets, r.Inputs["bucket"].StringValue()), meta); err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", p.Port)
	p.Argv = append(p.Argv, "--port", address, "--health", "/_health", "--quiet", "posix", "--sidecar", meta, buckets)
	// The credentials are in its environment, where other users do not see them.
	p.Env = append(p.Env, "ROOT_ACCESS_KEY="+r.Inputs["access"].StringValue(), "ROOT_SECRET_KEY="+r.Inputs["secret"].StringValue())
	p.Health = agent.Health{HTTP: "http://" + address + "/_health"}
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	return c.PutProcess(ctx, p, r.Waiting)
}

// makeDirs makes directories that belong to a user.
func makeDirs(u *agent.User, dirs ...string) error {
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
		if u != nil {
			if err := os.Chown(d, int(u.UID), int(u.GID)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Local) createDirectory(r engine.Request) (resource.PropertyMap, error) {
	out := r.Inputs.Copy()
	out["path"], out[engine.StateKey] = text(l.dataDir(r.Name)), text(present)
	if r.Preview {
		return out, nil
	}
	u, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(l.Root, "data"), dirMode()); err != nil {
		return nil, err
	}
	return out, makeDirs(u, l.dataDir(r.Name))
}

// readDirectory never says "gone" of a directory that was made once.
func (l *Local) readDirectory(r engine.Request) resource.PropertyMap {
	out := r.Olds.Copy()
	if _, err := os.Stat(l.dataDir(r.Name)); err == nil {
		out["path"], out[engine.StateKey] = text(l.dataDir(r.Name)), text(present)
		return out
	}
	if _, was := r.Olds["path"]; !was {
		return nil
	}
	out[engine.StateKey] = text(engine.Missing)
	return out
}
