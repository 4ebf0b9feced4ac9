//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// gatePatience is how long a gate waits for what it asks.
const gatePatience = 30 * time.Second

// Gate returns when what a step promised holds, or why it does not. A gate that
// is not known holds: the step promised nothing that could be looked at.
func (l *Local) Gate(ctx context.Context, gate string, t topology.Topology, pins Pins, waiting func(string)) error {
	l.release()
	switch gate {
	case "closed":
		return l.closed(ctx, t, pins, waiting)
	case "healthy":
		return l.healthy(ctx, t, waiting)
	case "fenced":
		return l.fenced(ctx, t, pins, waiting)
	case "in-step":
		return l.movesInStep(ctx, t, pins, waiting)
	case "caught-up":
		return l.caughtUp(ctx, t, pins, waiting)
	case "answers":
		return l.answers(ctx, t, pins, waiting)
	case "steady":
		return l.steady(ctx, t, pins, waiting)
	case "stopped", "empty":
		return l.stopped(ctx)
	default:
		return nil
	}
}

// closed holds when the public address answers with the maintenance page.
func (l *Local) closed(ctx context.Context, t topology.Topology, pins Pins, waiting func(string)) error {
	for _, e := range t.OfKind(topology.Entry) {
		err := l.ask(ctx, entryURL(t, pins, e.Region)+"/", waiting, "the maintenance page", func(r *http.Response) bool {
			return r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != ""
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// answers holds when the public address answers the health path of every
// service, through the entry.
func (l *Local) answers(ctx context.Context, t topology.Topology, pins Pins, waiting func(string)) error {
	if err := l.healthy(ctx, t, waiting); err != nil {
		return err
	}
	for _, n := range t.OfKind(topology.Backend) {
		path, ok := reachablePath(t, n)
		if !ok {
			continue // the entry has no way to its health path: every instance answered it directly
		}
		url := entryURL(t, pins, n.Region) + path
		err := l.ask(ctx, url, waiting, "an answer", func(r *http.Response) bool { return r.StatusCode >= 200 && r.StatusCode < 400 })
		if err != nil {
			return err
		}
	}
	return l.named(ctx, t, pins, waiting)
}

// named holds when users of each region are led by the application's name to an entry.
func (l *Local) named(ctx context.Context, t topology.Topology, pins Pins, waiting func(string)) error {
	server := nameServer(t, pins)
	if server == "" {
		return nil
	}
	return l.until(ctx, waiting, func() (string, error) {
		for _, r := range t.Regions {
			if at, err := lookup(ctx, server, l.domain(t), users(pins, r.Name)); err != nil || !at.IsValid() {
				return fmt.Sprintf("the name %s leads users in %s nowhere (%v)", l.domain(t), r.Name, err), nil
			}
		}
		return "", nil
	})
}

// reachablePath is the health path of a backend, when the entry routes it there.
func reachablePath(t topology.Topology, b topology.Node) (string, bool) {
	best, to := -1, false
	prefix := func(path string, leads bool) {
		p := strings.TrimSuffix(path, "/")
		if (b.Backend.Health == p || strings.HasPrefix(b.Backend.Health, p+"/")) && len(p) > best {
			best, to = len(p), leads
		}
	}
	for _, e := range t.OfKind(topology.Entry) {
		for _, r := range e.Entry.Routes {
			lb, _ := t.Node(r.To)
			if e.Region != b.Region {
				continue
			}
			if lb.LoadBalancer == nil {
				prefix(r.Path, r.To == b.ID)
				continue
			}
			for _, rule := range lb.LoadBalancer.Rules {
				prefix(rule.Path, slices.ContainsFunc(rule.Pools, func(s topology.Share) bool { return s.To == b.ID && s.Weight > 0 }))
			}
		}
	}
	return b.Backend.Health, to
}

// takesTraffic reports whether requests reach a node, whatever their path.
func takesTraffic(t topology.Topology, node string) bool {
	for _, e := range t.OfKind(topology.Entry) {
		for _, r := range e.Entry.Routes {
			if r.To == node {
				return true
			}
			lb, _ := t.Node(r.To)
			if lb.LoadBalancer == nil {
				continue
			}
			for _, rule := range lb.LoadBalancer.Rules {
				if slices.ContainsFunc(rule.Pools, func(s topology.Share) bool { return s.To == node && s.Weight > 0 }) {
					return true
				}
			}
		}
	}
	return false
}

// healthy holds when every instance of every backend and worker is.
func (l *Local) healthy(ctx context.Context, t topology.Topology, waiting func(string)) error {
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	return l.until(ctx, waiting, func() (string, error) {
		st, err := c.Status(ctx)
		if err != nil {
			return "", err
		}
		for _, n := range slices.Concat(t.OfKind(topology.Backend), t.OfKind(topology.Worker)) {
			for i := range n.Runs().Instances {
				name := instance(n.ID, i+1)
				if comp, _ := st.Component(name); comp.State != agent.Running || !comp.Healthy {
					return fmt.Sprintf("%s is %s: %s", name, or(comp.State, "not there"), or(comp.Detail, "not healthy")), nil
				}
			}
		}
		return "", nil
	})
}

// stopped holds when nothing but data is left; the agent leaves too.
func (l *Local) stopped(ctx context.Context) error {
	if err := l.quiet(ctx); err != nil {
		return err
	}
	if agent.Alive(l.dirs) {
		return errors.New("a component still runs")
	}
	return nil
}

// What a steady gate asks for: how long it watches, how many requests it must at
// least have seen, and by how much the share of errors may grow. The last is the
// rule of the rollout on AWS (5xx not above baseline + 0.5 points).
const (
	watchFor    = time.Second
	watchAtMost = 5 * time.Second
	leastSeen   = 20
	mayGrow     = 0.005
)

// steady holds when the public address answers, and what takes traffic answers
// with no more errors since the step than the entry did before it. Where nobody
// else asks, the gate itself does, if the health path can be reached from outside.
func (l *Local) steady(ctx context.Context, t topology.Topology, pins Pins, waiting func(string)) error {
	if err := l.answers(ctx, t, pins, waiting); err != nil {
		return err
	}
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	began, tick := time.Now(), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		before := map[string]agent.Counts{} // by region
		for _, e := range t.OfKind(topology.Entry) {
			before[e.Region] = st.Traffic[e.ID].Before
		}
		enough := true
		for _, n := range t.OfKind(topology.Backend) {
			if !takesTraffic(t, n.ID) {
				continue
			}
			since := st.Traffic[n.ID].Since
			if worse(before[n.Region], since) {
				return &worseError{n.ID, before[n.Region], since, l.lastLines(n)}
			}
			if path, ok := reachablePath(t, n); ok && since.Requests < leastSeen {
				enough = false
				l.knock(ctx, entryURL(t, pins, n.Region)+path, n.Backend.Color)
			}
		}
		if spent := time.Since(began); spent > watchFor && enough || spent > watchAtMost {
			return nil
		}
		waiting("watching for errors")
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func worse(before, since agent.Counts) bool {
	return since.Errors > 0 && share(since) > share(before)+mayGrow
}

func share(c agent.Counts) float64 {
	if c.Requests == 0 {
		return 0
	}
	return float64(c.Errors) / float64(c.Requests)
}

// worseError is a gate that closed because of errors.
type worseError struct {
	node          string
	before, since agent.Counts
	log           []string
}

func (e *worseError) Error() string {
	s := fmt.Sprintf("%s answers with errors: %d of %d requests failed since the traffic moved (%.1f %%), %d of %d before (%.1f %%)",
		e.node, e.since.Errors, e.since.Requests, 100*share(e.since), e.before.Errors, e.before.Requests, 100*share(e.before))
	if len(e.log) > 0 {
		s += "; its last log lines:\n    " + strings.Join(e.log, "\n    ")
	}
	return s
}

// lastLines are the last ones of a pool's logs.
func (l *Local) lastLines(n topology.Node) []string {
	var lines []string
	for _, name := range componentsOf(n) {
		for _, line := range agent.Tail(l.Log(name), 5) {
			lines = append(lines, name+": "+line)
		}
	}
	return lines
}

// knock sends one request through the public address; what becomes of it is
// counted there.
func (l *Local) knock(ctx context.Context, url, color string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	req.Header.Set(agent.ColorHeader, color)
	if resp, err := asker.Do(req); err == nil {
		resp.Body.Close()
	}
}

// asker asks the public address as a stranger would, on a new connection.
var asker = &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}

func (l *Local) ask(ctx context.Context, url string, waiting func(string), want string, good func(*http.Response) bool) error {
	return l.until(ctx, waiting, func() (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		resp, err := asker.Do(req)
		if err != nil {
			return fmt.Sprintf("%s: %v", url, errors.Unwrap(err)), nil
		}
		defer resp.Body.Close()
		if !good(resp) {
			return fmt.Sprintf("%s answers %s, not %s", url, resp.Status, want), nil
		}
		return "", nil
	})
}

// until asks again until there is nothing left to wait for.
func (l *Local) until(ctx context.Context, waiting func(string), ask func() (string, error)) error {
	ctx, cancel := context.WithTimeout(ctx, gatePatience)
	defer cancel()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for last, told := "", time.Now(); ; {
		what, err := ask()
		switch {
		case what == "" && err == nil:
			return nil
		case err != nil && ctx.Err() == nil:
			return err
		case ctx.Err() == nil:
			last = what
		}
		if time.Since(told) > 500*time.Millisecond {
			waiting(last)
			told = time.Now()
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("after %s: %s", gatePatience, last)
			}
			return ctx.Err()
		}
	}
}
