//go:build unix

package local

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// keptRedis is a Valkey or Redis that keeps what it is told on disk: a store of sessions,
// or a queue.
func (p *program) keptRedis(typ string, n topology.Node, c pulumi.Resource) error {
	data, err := p.directory(n, c)
	if err != nil || n.Stopped() {
		return err
	}
	s, err := p.resource(typ, n.ID, pulumi.Map{
		"node": pulumi.String(n.ID), "data": data.Path, "port": pulumi.Int(portOf(p.pins, n.ID)), "password": p.secret(passwordKey(n.ID, appUser)),
	}, c, []pulumi.Resource{data})
	if err != nil {
		return err
	}
	p.made[n.ID] = append(p.made[n.ID], s)
	return p.private(n, c)
}

// redisURL is what an application connects with.
func redisURL(port int, password string) string {
	u := url.URL{Scheme: "redis", User: url.UserPassword(appUser, password), Host: fmt.Sprintf("127.0.0.1:%d", port), Path: "/0"}
	return u.String()
}

// findRedis finds Valkey or Redis, for what it is needed for.
func findRedis(needed string) (string, error) {
	if f, ok := findProgram("valkey-server", "redis-server"); ok {
		return f, nil
	}
	return "", &Error{What: "neither valkey-server nor redis-server, " + needed + ", is installed",
		Hint: "'make tools' installs it without a server of its own; or: apt-get install redis-server, or: brew install valkey", Tool: true}
}

const (
	forSessions = "the session store behind 'sessions: true'"
	forQueue    = "the queue behind 'queue: true'"
	forCache    = "the in-memory cache from level 3 on"
)

// keptConfig holds the password's digest, not the password. Nothing is thrown away to
// make room. A process title would be written over the environment by which the process
// is known to be ours.
const keptConfig = `bind 127.0.0.1
port %d
dir %s
appendonly yes
appendfsync %s
save ""
maxmemory-policy noeviction
set-proc-title no
user default off
user %s on #%x ~* &* +@all -@admin
`

// keptFor says what each is needed for.
var keptFor = map[string]string{typeSessionStore: forSessions, typeQueue: forQueue}

// synced is when what was written is on the disk: a session within a second; a job before
// whoever put it into the queue is told that it is there.
var synced = map[string]string{typeSessionStore: "everysec", typeQueue: "always"}

func (l *Local) putKeptRedis(ctx context.Context, r engine.Request) error {
	program, err := findRedis(keptFor[r.Type])
	if err != nil {
		return err
	}
	u, err := unprivileged()
	if err != nil {
		return err
	}
	p := storeProcess(r, program, r.Inputs["data"].StringValue(), u)
	file := filepath.Join(p.Dir, "server.conf")
	text := fmt.Sprintf(keptConfig, p.Port, p.Dir, synced[r.Type], appUser, sha256.Sum256([]byte(r.Inputs["password"].StringValue())))
	if err := writeFor(u, file, text); err != nil {
		return err
	}
	p.Argv, p.Health = append(p.Argv, file), agent.Health{Redis: fmt.Sprintf("127.0.0.1:%d", p.Port)}
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	return c.PutProcess(ctx, p, r.Waiting)
}
