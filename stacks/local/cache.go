//go:build unix

package local

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// cache is a region's Valkey or Redis that keeps nothing on disk and forgets what is
// used least when it is full: whoever asks it must live with an answer that is not there.
func (p *program) cache(n topology.Node, c pulumi.Resource) error {
	s, err := p.resource(typeCache, n.ID, pulumi.Map{
		"node": pulumi.String(n.ID), "port": pulumi.Int(portOf(p.pins, n.ID)), "size": pulumi.String(n.Cache.Size), "password": p.secret(passwordKey(n.ID, appUser)),
	}, c, nil)
	p.made[n.ID] = append(p.made[n.ID], s)
	return err
}

// cacheMemory is what a cache of a size may take.
var cacheMemory = map[string]string{"small": "64mb", "medium": "256mb", "large": "1gb"}

const cacheConfig = `bind 127.0.0.1
port %d
dir %s
appendonly no
save ""
maxmemory %s
maxmemory-policy allkeys-lfu
set-proc-title no
user default off
user %s on #%x ~* &* +@all -@admin -@dangerous +info
`

func (l *Local) cacheDir(name string) string { return filepath.Join(l.Root, "cache", name) }

func (l *Local) putCache(ctx context.Context, r engine.Request) error {
	program, err := findRedis(forCache)
	if err != nil {
		return err
	}
	u, err := unprivileged()
	if err != nil {
		return err
	}
	dir := l.cacheDir(r.Name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(dir), dirMode()), makeDirs(u, dir)); err != nil {
		return err
	}
	port := integer(r.Inputs["port"])
	file := filepath.Join(dir, "server.conf")
	text := fmt.Sprintf(cacheConfig, port, dir, cacheMemory[r.Inputs["size"].StringValue()], appUser, sha256.Sum256([]byte(r.Inputs["password"].StringValue())))
	if err := writeFor(u, file, text); err != nil {
		return err
	}
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	p := storeProcess(r, program, dir, u)
	p.Argv, p.Health = append(p.Argv, file), agent.Health{Redis: fmt.Sprintf("127.0.0.1:%d", port)}
	return c.PutProcess(ctx, p, r.Waiting)
}

// writeFor writes a file that a user may read, and nobody else.
func writeFor(u *agent.User, file, text string) error {
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil || u == nil {
		return err
	}
	return os.Chown(file, int(u.UID), int(u.GID))
}
