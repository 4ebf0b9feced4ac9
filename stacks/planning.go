package stacks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// Goal is where a walk leads.
type Goal struct {
	Verb       string // up, down or failover
	Region     string // of a failover: where the databases are to be led from
	Level      int    // of an up; 0 keeps the level that stands, or the lowest
	Port       int    // of the public address; 0: as it was, or any
	DeleteData bool   // of a down
	// AllowDataLoss names resources that may lose their data.
	AllowDataLoss []string
}

// wanted is the topology of a goal.
func (e *Environment) wanted(g Goal) (topology.Topology, error) {
	now := e.record.now()
	switch {
	case g.Verb == "down" && g.DeleteData:
		return levels.Gone(now), nil
	case g.Verb == "down":
		return levels.Down(now), nil
	case g.Verb == "failover":
		f, ok := e.target.(failer)
		if !ok {
			return now, &Error{What: "no database on " + e.target.Name() + " can be led from elsewhere"}
		}
		return levels.Failover(now, g.Region, f.Anew())
	}
	level := g.Level
	if w := e.record.Walk; level == 0 && w != nil && w.Verb == "up" {
		level = w.To // an interrupted walk goes on to where it led
	}
	if level == 0 {
		level = e.record.Topology.Level
	}
	if level == 0 {
		level = max(e.app.Level, 1)
	}
	app := e.app
	if err := digestSources(&app); err != nil {
		return topology.Topology{}, err
	}
	for s := range app.Each() {
		s.SecretsVersion = e.pins[secretsVersion(s.Name)]
	}
	return levels.Build(app, level, now)
}

// Plan says how to come to the goal and what that does, changing nothing.
func (e *Environment) Plan(ctx context.Context, g Goal, sink plan.Sink) (plan.Plan, error) {
	p, steps, err := e.plan(ctx, g, sink)
	e.planned.steps = nil
	if err == nil {
		if e.planned.wanted, err = e.wanted(g); err == nil {
			e.planned.steps = steps
		}
	}
	return p, err
}

func (e *Environment) plan(ctx context.Context, g Goal, sink plan.Sink) (plan.Plan, []levels.Step, error) {
	now := e.record.now()
	p := plan.Plan{Kind: plan.PlanKind, Version: plan.Version, App: e.app.Name, Env: e.app.Env, Target: e.target.Name(), From: e.record.Topology.Level, Made: time.Now()}
	if g.Verb == "up" {
		if err := e.takeSecrets(); err != nil {
			return p, nil, err
		}
	}
	wanted, err := e.wanted(g)
	if err != nil {
		return p, nil, err
	}
	p.To = wanted.Level
	if found, err := e.onTheNode(now, wanted); err != nil {
		return p, nil, err
	} else if found != "" {
		p.Found = append(p.Found, found)
	}
	if e.record.Walk != nil {
		p.Found = append(p.Found, e.record.Walk.found())
	}
	if err := e.target.Observe(ctx); err != nil {
		return p, nil, err
	}
	if err := e.strangers(now, wanted); err != nil {
		return p, nil, err
	}
	if g.Verb == "up" {
		if err := e.target.Preflight(wanted); err != nil {
			return p, nil, err
		}
	}
	if err := e.Unlock(); err != nil {
		return p, nil, err
	}
	if f, ok := e.target.(failer); ok && g.Verb == "failover" {
		found, err := f.Failover(ctx, now, wanted, e.pins)
		if err != nil {
			return p, nil, err
		}
		p.Found = append(p.Found, found...)
	}
	if g.Verb != "down" {
		moved, err := e.target.Pin(wanted, e.pins, g.Port)
		if err != nil {
			return p, nil, err
		}
		p.Found = append(p.Found, moved...)
	}
	steps := levels.Walk(now, wanted)
	if err := e.pinMoves(ctx, &p, steps, g.Port); err != nil {
		return p, nil, err
	}
	p.Where, p.Unknown = e.target.Where(wanted, e.pins), e.target.Unknown()
	strays, err := e.strays(ctx)
	if err != nil {
		return p, nil, err
	}
	p.Found = append(p.Found, strays...)
	found := slices.Clone(p.Found)
	if err := e.preview(ctx, &p, steps, e.allowed(g), sink); err != nil {
		return p, nil, err
	}
	if behind := changed(p.Steps, "close", "open"); len(steps) > 1 && steps[0].ID == "close" && !behind {
		// Nothing behind the entry changes, so that it need not close; it may have been left closed.
		steps = []levels.Step{{ID: "update", Title: "Bring everything to what is wanted", Gate: levels.GateAnswers, Topology: wanted}}
		p.Found = found
		if err = e.preview(ctx, &p, steps, e.allowed(g), sink); err != nil {
			return p, nil, err
		}
	}
	p.Steps = slices.DeleteFunc(p.Steps, func(s plan.Step) bool { return len(s.Changes) == 0 })
	for _, s := range p.Steps {
		if s.Closed {
			p.Downtime += s.Expect
		}
	}
	p.Violations = append(p.Violations, unseen(now, wanted, g.AllowDataLoss)...)
	p.Digests, err = e.digests(wanted)
	return p, steps, err
}

// mover is a target on which tables can go from one database to another.
type mover interface {
	// Movable refuses what could not go, before anything is changed, and tells what else is
	// to be known of it.
	Movable(ctx context.Context, m topology.MoveSpec, pins map[string]string) (found []string, err error)
	// Moved reports whether the tables take writes where they were to go.
	Moved(ctx context.Context, m topology.MoveSpec, pins map[string]string) (bool, error)
	// Abandon takes away what a copy has left that goes nowhere, where deleting the move's
	// resources does not.
	Abandon(ctx context.Context, m topology.MoveSpec, pins map[string]string, waiting func(string)) error
}

// abandon gives up the moves that were begun and that the next topology does not know,
// unless they have arrived.
func (e *Environment) abandon(ctx context.Context, next topology.Topology, waiting func(string)) error {
	m, ok := e.target.(mover)
	if !ok {
		return nil
	}
	for _, n := range e.record.standing().OfKind(topology.Move) {
		if _, stays := next.Node(n.ID); stays {
			continue
		}
		if err := m.Abandon(ctx, *n.Move, e.pins, waiting); err != nil {
			return fmt.Errorf("give up the copy of the tables of %s: %w", n.Move.Service, err)
		}
	}
	return nil
}

// pinMoves chooses what steps need in which tables change their database: pools stand
// there that do in the end as little as they did before.
func (e *Environment) pinMoves(ctx context.Context, p *plan.Plan, steps []levels.Step, port int) error {
	moves := func(s levels.Step) bool { return len(s.Topology.OfKind(topology.Move)) > 0 }
	if !slices.ContainsFunc(steps, moves) {
		return nil
	}
	m, ok := e.target.(mover)
	if !ok {
		return &Error{What: "on " + e.target.Name() + " this version moves no tables from one database to another"}
	}
	if err := e.target.Observe(ctx); err != nil { // what runs by now keeps its port
		return err
	}
	for _, s := range steps {
		for _, n := range s.Topology.OfKind(topology.Move) {
			if n.Move.Switched {
				continue
			}
			found, err := m.Movable(ctx, *n.Move, e.pins)
			if err != nil {
				return err
			}
			p.Found = appendNew(p.Found, found...)
		}
		moved, err := e.target.Pin(s.Topology, e.pins, port)
		if err != nil {
			return err
		}
		p.Found = append(p.Found, moved...)
	}
	return nil
}

// appendNew adds what is not there yet.
func appendNew(to []string, more ...string) []string {
	for _, s := range more {
		if !slices.Contains(to, s) {
			to = append(to, s)
		}
	}
	return to
}

// changed reports whether any step but the named ones changes anything.
func changed(steps []plan.Step, but ...string) bool {
	return slices.ContainsFunc(steps, func(s plan.Step) bool { return len(s.Changes) > 0 && !slices.Contains(but, s.ID) })
}

func (e *Environment) digests(wanted topology.Topology) (d plan.Digests, err error) {
	d.Record, d.Config = e.record.digest(), plan.Digest(wanted)
	d.State, err = e.stack.Digest()
	return d, err
}

// preview fills in the steps of a plan and what the guard refuses of them: it asks the
// real target about the first, and a rehearsal of it on a copy of the state about the
// ones after it.
func (e *Environment) preview(ctx context.Context, p *plan.Plan, steps []levels.Step, allowed []string, sink plan.Sink) error {
	p.Steps, p.Violations = nil, nil
	stands := e.stack
	opts := engine.Options{Refresh: true, Sink: messages(sink), Lift: anything}
	for i, s := range steps {
		st := plan.Step{ID: s.ID, Title: s.Title, Gate: string(s.Gate), Closed: closes(s.Topology) || i > 0 && leaderless(steps[i-1].Topology), Rehearse: i > 0}
		program := e.target.Program(s.Topology, e.pins)
		// Of a later step too, a preview and not what the rehearsal then does: what is not
		// known before the step counts as a change, here as when the step is taken.
		r, err := stands.Preview(ctx, program, opts)
		if err != nil {
			return fmt.Errorf("plan the step %q: %w", s.Title, err)
		}
		st.Changes = r.Changes
		vs, err := e.guard(ctx, stands, st, allowed)
		if err != nil {
			return err
		}
		p.Violations = append(p.Violations, vs...)
		if i == 0 {
			p.Found = append(p.Found, r.Found...)
			if stands, err = e.copy(ctx); err != nil {
				return err
			}
			opts = engine.Options{Lift: anything}
		}
		if i < len(steps)-1 || e.target.Model() != nil { // what stands in the end has a price
			if _, err := stands.Up(ctx, program, opts); err != nil {
				return fmt.Errorf("rehearse the step %q: %w", s.Title, err)
			}
		}
		st.Sort()
		st.Expect = expect(e.target.Table(), st.Changes)
		if e.target.Model() != nil && len(st.Changes) > 0 {
			st.Expect = (overhead + stands.Expect(st.Changes)).Seconds()
		}
		p.Steps = append(p.Steps, st)
	}
	return e.cost(ctx, p, stands)
}

// copy is the stack on a rehearsal of what stands.
func (e *Environment) copy(ctx context.Context) (*engine.Stack, error) {
	stands := e.stack
	if guessed := e.stack.Guessed(); len(guessed) > 0 {
		stands = e.stack.Copy(e.target.Providers())
		if _, err := stands.Refresh(ctx, engine.Options{Only: func(name, _ string) bool { return slices.Contains(guessed, name) }}); err != nil {
			return nil, fmt.Errorf("look at what was in flight: %w", err)
		}
	}
	cloud := rehearsal.New(e.target.Table())
	if cloud.Model = e.target.Model(); cloud.Model != nil {
		standing, err := stands.Standing(ctx)
		if err != nil {
			return nil, err
		}
		cloud.Seed(standing)
	}
	return stands.Copy(cloud.Providers(e.target.Name())), nil
}

// messages lets through what a person must hear of a preview.
func messages(sink plan.Sink) plan.Sink {
	if sink == nil {
		return nil
	}
	return func(e plan.Event) {
		if e.Kind == plan.Message {
			sink(e)
		}
	}
}

// anything lifts every protection, for a preview: the engine would refuse to say
// what it would do, where the guard wants to know.
func anything(string) bool { return true }

// closes reports whether the public address answers with the maintenance page, or
// nobody takes writes.
func closes(t topology.Topology) bool {
	return leaderless(t) || slices.ContainsFunc(t.OfKind(topology.Entry), func(n topology.Node) bool { return n.Entry.Maintenance != nil })
}

// leaderless reports whether a database was fenced and none leads instead of it yet.
func leaderless(t topology.Topology) bool {
	dbs := t.OfKind(topology.Database)
	return slices.ContainsFunc(dbs, func(n topology.Node) bool {
		return n.Fenced() && !slices.ContainsFunc(dbs, func(o topology.Node) bool {
			return o.Database.Service == n.Database.Service && !o.Replica() && !o.Stopped()
		})
	})
}

// overhead is what a step costs besides its resources: the engine, the gate's
// first look. Steps that change one edge take 50 to 130 ms here.
const overhead = 200 * time.Millisecond

// expect is how long a step should take, in seconds: the resources of a node
// side by side, the nodes one after the other, which is the worst case.
func expect(t plan.Table, cs []plan.Change) float64 {
	longest := map[string]time.Duration{}
	for _, c := range cs {
		longest[c.Node] = max(longest[c.Node], t.Duration(c))
	}
	total := overhead
	for _, d := range longest {
		total += d
	}
	if len(cs) == 0 {
		total = 0
	}
	return total.Seconds()
}

// Schedule is when an approved plan begins: at once unless it needs downtime,
// and then at the time asked for, or when the window opens.
func (e *Environment) Schedule(p *plan.Plan, at string, now time.Time) error {
	if at != "" {
		t, err := config.ParseAt(at, now)
		if err != nil {
			return &Error{What: "--at: " + err.Error(), Hint: "write 03:30, '2026-12-01 03:30' or an RFC 3339 time"}
		}
		p.Starts, p.Why = &t, "as asked for with --at"
		return nil
	}
	if p.Downtime == 0 {
		return nil
	}
	w, err := config.ParseWindow(e.app.Window)
	if err != nil {
		return err
	}
	if t := w.Next(now); t.After(now) {
		p.Starts, p.Why = &t, "when the maintenance window opens: "+e.app.Window
	}
	return nil
}
