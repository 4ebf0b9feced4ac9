//go:build unix

// Package local makes a topology real as processes on this machine: a file a
// component kind, the provider that manages them, and under agent/ the process
// that keeps them running.
//
// It knows topologies and the engine's provider interface; it knows nothing of
// levels, walks or records.
package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// Config says where an environment's parts lie and who runs its agent.
type Config struct {
	Root    string   // the environment's own directory
	Agent   []string // the command that runs the agent; " --takeover" is added to replace one
	Arbiter []string // the command that replaces leaders that do not answer
	Build   string   // names the executable that both start
	Example fs.FS    // static files of the built-in example
	Domain  string   // the application's name; empty: one of its own
}

// Local is the target of one environment.
type Local struct {
	Config
	dirs agent.Dirs

	mu     sync.Mutex
	client *agent.Client        // nil until it is needed
	seen   agent.Status         // as of the last Observe
	claims map[int]net.Listener // by the port that no other command may choose
	pins   Pins
	unlock func() error // decrypts the secret pins
	held   func()       // lets requests go on; nil while none are held
}

// New is the local target of an environment; nothing is started.
func New(c Config) *Local {
	return &Local{Config: c, dirs: agent.Dirs{Root: c.Root}, claims: map[int]net.Listener{}}
}

// Name is what scale.yaml calls the target.
func (l *Local) Name() string { return "local" }

// Table is what planning must know of the target's types.
func (l *Local) Table() plan.Table { return Table }

// Where is here.
func (l *Local) Where(topology.Topology, map[string]string) string { return "" }

// Cost is nothing: the machine is there.
func (l *Local) Cost([]engine.Request) ([]plan.CostLine, []string) { return nil, nil }

// Prices are none.
func (l *Local) Prices() string { return "" }

// Unknown is nothing: what a change needs is looked at before.
func (l *Local) Unknown() []string { return nil }

// Snapshot makes none: a copy of a running data directory is not one, and nothing
// here changes what it holds.
func (l *Local) Snapshot(context.Context, []plan.Change, topology.Topology, string, func(string)) error {
	return nil
}

// Model is none: the table says all there is to say.
func (l *Local) Model() rehearsal.Model { return nil }

// Providers serve the target's types.
func (l *Local) Providers() map[string]engine.ProviderFactory {
	return map[string]engine.ProviderFactory{"local": func() engine.Provider { return &provider{l} }}
}

// Use hands the pins over before anything else is asked.
func (l *Local) Use(p Pins, unlock func() error) { l.pins, l.unlock = p, unlock }

// Observe looks at what runs. An agent that died while its components live is
// started again and adopts them; when nothing lives, nothing is started.
func (l *Local) Observe(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, st, err := agent.Connect(ctx, l.dirs)
	if errors.Is(err, agent.ErrNotRunning) {
		if !agent.Alive(l.dirs) {
			l.client, l.seen = nil, agent.Status{}
			return nil
		}
		if c, err = l.start(ctx); err == nil {
			st, err = c.Status(ctx)
		}
	}
	if err != nil {
		return err
	}
	l.client, l.seen = c, st
	if st.Build == l.Build {
		yield()
	}
	return nil
}

// start starts an agent; the caller holds the mutex.
func (l *Local) start(ctx context.Context, more ...string) (*agent.Client, error) {
	if err := l.unlock(); err != nil {
		return nil, err
	}
	key, err := agent.ParseKey(l.pins[agentKey])
	if err != nil {
		return nil, err
	}
	var c *agent.Client
	unyielding(func() { c, err = agent.Start(ctx, l.dirs, append(append([]string(nil), l.Agent...), more...), key) })
	return c, err
}

// running returns the agent, started if need be, replaced if it is another build.
func (l *Local) running(ctx context.Context) (*agent.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client != nil && l.seen.Build == l.Build {
		return l.client, nil
	}
	c, st, err := agent.Connect(ctx, l.dirs)
	switch {
	case errors.Is(err, agent.ErrNotRunning):
		c, err = l.start(ctx)
	case err == nil && st.Build != l.Build:
		c, err = l.start(ctx, "--takeover")
	}
	if err != nil {
		return nil, err
	}
	if st, err = c.Status(ctx); err != nil {
		return nil, err
	}
	l.client, l.seen = c, st
	return c, nil
}

// Renew replaces a running agent of another build by one of this.
func (l *Local) Renew(ctx context.Context) error {
	if l.seen.PID == 0 || l.seen.Build == l.Build {
		return nil
	}
	_, err := l.running(ctx)
	yield()
	return err
}

// component asks how one component stands now.
func (l *Local) component(ctx context.Context, name string) (agent.Component, bool, error) {
	l.mu.Lock()
	c := l.client
	l.mu.Unlock()
	if c == nil {
		return agent.Component{}, false, nil
	}
	st, err := c.Status(ctx)
	if errors.Is(err, agent.ErrNotRunning) {
		return agent.Component{}, false, nil
	}
	if err != nil {
		return agent.Component{}, false, err
	}
	found, ok := st.Component(name)
	return found, ok, nil
}

// Preflight looks for what would make a change fail before anything is changed:
// programs that are not installed, commands that do not exist, directories that
// cannot be written to, a full disk.
func (l *Local) Preflight(t topology.Topology) error {
	if err := os.MkdirAll(l.Root, dirMode()); err != nil {
		return &Error{What: "the environment's directory cannot be made", Err: err, Hint: "set SCALE_HOME to a directory that you can write to"}
	}
	if f, err := os.CreateTemp(l.Root, ".probe-*"); err != nil {
		return &Error{What: l.Root + " cannot be written to", Err: errors.Unwrap(err), Hint: "set SCALE_HOME to a directory that you can write to"}
	} else if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return err
	}
	if err := roomFor(l.Root); err != nil {
		return err
	}
	for _, n := range t.Nodes {
		var err error
		switch {
		case n.Database != nil && !n.Database.Stopped:
			err = l.preflightDatabase(n)
		case n.Files != nil && !n.Stopped():
			_, err = findFileStore()
		case n.Sessions != nil && !n.Stopped():
			_, err = findRedis(forSessions)
		case n.Queue != nil && !n.Stopped():
			_, err = findRedis(forQueue)
		case n.Pooler != nil:
			_, err = findPooler()
		case n.Cache != nil:
			_, err = findRedis(forCache)
		case n.Runs() != nil:
			err = preflightCommands(n.Runs())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leastRoom is what a database needs to be made: a fresh PostgreSQL 15 takes
// 46 MB here, the first 16 MB segment of its log among it, and more segments follow.
const leastRoom = 128 << 20

func roomFor(dir string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return nil // a system that cannot tell does not stop us
	}
	if room := uint64(st.Bavail) * uint64(st.Bsize); room < leastRoom {
		return &Error{What: fmt.Sprintf("the disk is full: %d MB are left under %s, and at least %d are needed", room>>20, dir, leastRoom>>20),
			Hint: "make room, or set SCALE_HOME to a directory on another disk"}
	}
	return nil
}

// dirMode lets the database's unprivileged user pass through our directories
// when we are root, and nobody otherwise.
func dirMode() os.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// Clean removes what is left of an environment whose resources are gone: the
// agent, logs, old releases. Nothing that holds data is among it.
func (l *Local) Clean(ctx context.Context) error {
	if err := l.quiet(ctx); err != nil {
		return err
	}
	return os.RemoveAll(l.Root)
}

// quiet ends the agent.
func (l *Local) quiet(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, _, err := agent.Connect(ctx, l.dirs)
	if errors.Is(err, agent.ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	l.client, l.seen = nil, agent.Status{}
	return c.Shutdown(ctx)
}

// URL is the public address of a topology, "" when it has none.
func (l *Local) URL(t topology.Topology, p Pins) string {
	return entryURL(t, p, t.Home())
}

// entryURL is the address of a region's entry as its own users call it, "" when it has
// none.
func entryURL(t topology.Topology, p Pins, region string) string {
	for _, n := range t.OfKind(topology.Entry) {
		if n.Region == region {
			return fmt.Sprintf("http://%s:%d", address(p, region, region), portOf(p, n.ID))
		}
	}
	return ""
}

// Log is the log file of a component.
func (l *Local) Log(name string) string { return l.dirs.Log(name) }

// Logs are the names of all components that have a log.
func (l *Local) Logs() []string {
	files, err := filepath.Glob(filepath.Join(l.dirs.Logs(), "*.log"))
	if err != nil {
		return nil
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f[:len(f)-len(".log")]))
	}
	return names
}

// Explain knows no more than the error, which is one of this package.
func (l *Local) Explain(err error) error { return err }

// Live is the program: its resources are all there is to do.
func (l *Local) Live(_ context.Context, t topology.Topology, pins Pins, _ func(string)) pulumi.RunFunc {
	l.release()
	return l.Program(t, pins)
}

// Program is the Pulumi program of a topology: a file of this package a kind of node.
func (l *Local) Program(t topology.Topology, pins Pins) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		p := &program{ctx: ctx, t: t, pins: pins, dirs: l.dirs, domain: l.domain(t), arbiter: l.Arbiter, build: l.Build, made: map[string][]pulumi.Resource{}}
		// What is depended on comes first.
		for _, kind := range []topology.Kind{topology.Database, replica, topology.Move, topology.Files, topology.Sessions, topology.Queue, topology.Pooler, topology.Cache, topology.Static, topology.Backend,
			topology.Worker, topology.Job, topology.LoadBalancer, topology.Entry, topology.CDN, topology.DNS} {
			for _, n := range ofKind(t, kind) {
				if err := p.node(n); err != nil {
					return fmt.Errorf("%s: %w", n.ID, err)
				}
			}
			switch kind {
			case replica:
				if err := p.ways(); err != nil {
					return err
				}
			case topology.Static:
				if err := p.calls(); err != nil {
					return err
				}
			}
		}
		if url := l.URL(t, pins); url != "" {
			ctx.Export("url", pulumi.String(url))
		}
		var regions []string
		for _, r := range t.Regions {
			regions = append(regions, r.Name)
		}
		ctx.Export("regions", pulumi.ToStringArray(regions))
		if at := nameServer(t, pins); at != "" {
			ctx.Export("name", pulumi.String(l.domain(t)))
			ctx.Export("nameServer", pulumi.String(at))
		}
		return nil
	}
}
