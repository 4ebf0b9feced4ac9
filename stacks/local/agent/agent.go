//go:build unix

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Agent supervises the components of one environment.
type Agent struct {
	dirs  Dirs
	key   Key
	build string
	since time.Time
	log   *slog.Logger
	edges *edges

	tokens sync.Mutex // held while their files are written; before mu

	mu      sync.Mutex
	lock    *os.File // held: closing it would give the lock up
	leaving bool     // a successor has taken over
	procs   map[string]*supervised
	specs   map[string]Edge // of the edges, for their status
	adopted int
	turns   map[string]*sync.Mutex // one change of a component at a time
	starts  chan struct{}          // holds one while a backend starts beside traffic
	quit    chan struct{}          // closed when the agent is to end
	ending  sync.Once
}

func newAgent(d Dirs, k Key, build string, log io.Writer) *Agent {
	a := &Agent{dirs: d, key: k, build: build, since: time.Now(), log: slog.New(slog.NewTextHandler(log, nil)),
		procs: map[string]*supervised{}, specs: map[string]Edge{}, turns: map[string]*sync.Mutex{}, quit: make(chan struct{}), starts: make(chan struct{}, 1)}
	a.edges = newEdges(d, k, a.upstreams, a.healthy)
	return a
}

// upstreams are the addresses that take requests for a node: its healthy
// instances, or its edge. When no instance is healthy, those that run are asked all
// the same, as AWS's load balancer does: their own answer says more than ours.
func (a *Agent) upstreams(node string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var addrs, ill []string
	for _, s := range a.procs {
		if s.spec.Node != node || s.spec.Port == 0 || s.spec.Once {
			continue
		}
		switch c := s.component(); {
		case c.State == Running && c.Healthy:
			addrs = append(addrs, loopback(s.spec.Port))
		case c.State == Running:
			ill = append(ill, loopback(s.spec.Port))
		}
	}
	if len(addrs) == 0 {
		addrs = ill
	}
	for _, e := range a.specs {
		if e.Node == node && e.Kind == "static" {
			addrs = append(addrs, e.address())
		}
	}
	slices.Sort(addrs)
	return addrs
}

// healthy reports whether any instance or edge of a node is.
func (a *Agent) healthy(node string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.procs {
		if s.spec.Node == node && !s.spec.Once {
			if c := s.component(); c.State == Running && c.Healthy {
				return true
			}
		}
	}
	for _, e := range a.specs {
		if e.Node == node && e.Kind == "static" {
			return true
		}
	}
	return false
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// turn serialises the changes of one component.
func (a *Agent) turn(name string) func() {
	a.mu.Lock()
	t := a.turns[name]
	if t == nil {
		t = &sync.Mutex{}
		a.turns[name] = t
	}
	a.mu.Unlock()
	t.Lock()
	return t.Unlock
}

func (a *Agent) proc(name string) *supervised {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.procs[name]
}

func (a *Agent) setProc(name string, s *supervised) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s == nil {
		delete(a.procs, name)
	} else {
		a.procs[name] = s
	}
}

// PutProcess makes a process run as described and waits until it is ready.
// Asking again for what runs changes nothing; asking for something else while it
// is waited for ends that wait.
func (a *Agent) PutProcess(ctx context.Context, p Process, waiting func(string)) error {
	defer a.queue(p)()
	s, err := a.begin(p)
	if err != nil || s == nil {
		return err
	}
	if err := s.wait(ctx, waiting); err != nil {
		a.log.Warn("not ready", "component", p.Name, "error", err)
		return err
	}
	if p.Once {
		return os.WriteFile(a.dirs.done(p.Name), []byte(p.Digest()), 0o600)
	}
	return nil
}

// stagger is the least time between two starts while requests are being answered.
const stagger = 300 * time.Millisecond

// queue lets one backend start after the other while there is traffic: several at
// once would take the processors from those that serve. A start holds up the next
// until it is over, or for the length of a stagger.
func (a *Agent) queue(p Process) (leave func()) {
	if p.Kind != "backend" || a.edges.traffic.requests.Load() == 0 && !a.edges.balancer.recent(time.Second) {
		return func() {}
	}
	a.starts <- struct{}{}
	free := sync.OnceFunc(func() { <-a.starts })
	time.AfterFunc(stagger, free)
	return free
}

// begin starts the process, or returns the one that runs; nil when there is
// nothing to wait for.
func (a *Agent) begin(p Process) (*supervised, error) {
	defer a.turn(p.Name)()
	old := a.proc(p.Name)
	if p.Once && a.ranOnce(p) {
		return nil, nil
	}
	if old != nil && old.digest == p.Digest() {
		if c := old.component(); c.State != Failed && c.State != Stopped {
			return old, a.retag(old, p)
		}
	}
	if old != nil {
		a.retireProcess(old)
	}
	if p.Kind != twin { // which nobody takes up again
		if err := a.key.write(a.dirs.spec(p.Name), sealed{Process: &p}); err != nil {
			return nil, fmt.Errorf("keep %s: %w", p.Name, err)
		}
	}
	a.edges.balancer.admit(loopback(p.Port))
	s := supervise(a.dirs, p, ident{}, false)
	a.setProc(p.Name, s)
	return s, nil
}

// retag keeps what a running process is called now by whoever asks for it.
func (a *Agent) retag(s *supervised, p Process) error {
	if s.component().Tag == p.Tag {
		return nil
	}
	s.set(func() { s.spec.Tag = p.Tag })
	return a.key.write(a.dirs.spec(p.Name), sealed{Process: &p})
}

// retireProcess ends a process once it has answered what it was asked; it gets
// nothing more meanwhile.
func (a *Agent) retireProcess(s *supervised) {
	if s.spec.Port != 0 && s.spec.Kind == "backend" {
		a.edges.balancer.drain(context.Background(), loopback(s.spec.Port), drainPatience)
	}
	s.end()
}

// drainPatience is how long an instance that is taken out may go on answering:
// AWS's default for a target is 300 s, which nobody would wait for here.
const drainPatience = 30 * time.Second

// twin is the kind of a process that runs beside another like it, for a while.
const twin = "twin"

// Twin runs a second process like the one of that name, on another port and
// outside of all traffic, for as long as ctx lasts; ready is called when it answers.
func (a *Agent) Twin(ctx context.Context, name string, port int, waiting func(string), ready func()) error {
	s := a.proc(name)
	if s == nil || s.spec.Kind != "backend" {
		return fmt.Errorf("no backend called %s runs", name)
	}
	p, was := s.spec, strconv.Itoa(s.spec.Port)
	p.Name, p.Node, p.Kind, p.Port = name+"-"+twin, "", twin, port
	p.Health.HTTP = strings.Replace(p.Health.HTTP, ":"+was, ":"+strconv.Itoa(port), 1)
	p.Env = slices.Clone(p.Env)
	for i, v := range p.Env {
		if v == "PORT="+was {
			p.Env[i] = "PORT=" + strconv.Itoa(port)
		}
	}
	if err := a.PutProcess(ctx, p, waiting); err != nil {
		return errors.Join(err, a.DeleteProcess(p.Name))
	}
	ready()
	<-ctx.Done()
	return a.DeleteProcess(p.Name)
}

// ranOnce reports whether a process that runs once has ended well, as it is now.
func (a *Agent) ranOnce(p Process) bool {
	b, err := os.ReadFile(a.dirs.done(p.Name))
	return err == nil && string(b) == p.Digest()
}

// DeleteProcess ends a process for good; its log stays.
func (a *Agent) DeleteProcess(name string) error {
	defer a.turn(name)()
	if s := a.proc(name); s != nil {
		a.retireProcess(s)
		a.setProc(name, nil)
	} else {
		sweep(context.Background(), a.dirs, name, time.Second)
	}
	return removeAll(a.dirs.spec(name), a.dirs.ident(name), a.dirs.done(name))
}

// PutEdge makes an edge as described.
func (a *Agent) PutEdge(e Edge) error {
	defer a.turn(e.Name)()
	if err := a.key.write(a.dirs.spec(e.Name), sealed{Edge: &e}); err != nil {
		return fmt.Errorf("keep %s: %w", e.Name, err)
	}
	if err := a.edges.put(e); err != nil {
		return err
	}
	a.mu.Lock()
	a.specs[e.Name] = e
	a.mu.Unlock()
	if e.Kind != "call" {
		return nil
	}
	return a.renewTokens(time.Now())
}

// DeleteEdge closes an edge.
func (a *Agent) DeleteEdge(name string) error {
	defer a.turn(name)()
	a.mu.Lock()
	e, ok := a.specs[name]
	delete(a.specs, name)
	a.mu.Unlock()
	if ok && e.Kind == "static" {
		a.edges.balancer.drain(context.Background(), e.address(), drainPatience)
	}
	return errors.Join(a.edges.remove(name), removeAll(a.dirs.spec(name)), a.forgetToken(name))
}

func removeAll(files ...string) error {
	var errs []error
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// shutdown ends everything: backends before databases, edges first.
func (a *Agent) shutdown() {
	if err := a.edges.close(); err != nil {
		a.log.Error("close the edges", "error", err)
	}
	for _, kind := range []string{"task", twin, "backend", "store", "database"} {
		var wg sync.WaitGroup
		for _, s := range a.each() {
			if s.spec.Kind == kind {
				wg.Go(s.end)
			}
		}
		wg.Wait()
	}
}

// retire leaves everything running for the next agent.
func (a *Agent) retire() {
	for _, s := range a.each() {
		s.release()
	}
	if err := a.edges.close(); err != nil {
		a.log.Error("close the edges", "error", err)
	}
}

func (a *Agent) each() []*supervised {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []*supervised
	for _, s := range a.procs {
		all = append(all, s)
	}
	return all
}

func (a *Agent) stop() { a.ending.Do(func() { close(a.quit) }) }
