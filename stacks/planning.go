package stacks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
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
	Verb       string // up or down
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
	for i, s := range app.Services {
		app.Services[i].SecretsVersion = e.pins[secretsVersion(s.Name)]
	}
	return levels.Build(app, level, now)
}

// secretsVersion is the pin that counts how often a service's secrets have changed:
// it stands in the topology for their values.
func secretsVersion(service string) string { return "secrets-version:" + service }

// takeSecrets fills in the application's own secrets.
func (e *Environment) takeSecrets() error {
	if err := e.Unlock(); err != nil {
		return err
	}
	for _, s := range e.app.Services {
		changed, err := e.target.Secrets(s.Name, s.Secrets, e.pins)
		if err != nil {
			return err
		}
		if k := secretsVersion(s.Name); changed {
			n, _ := strconv.Atoi(e.pins[k]) // the first change finds none
			e.pins[k] = strconv.Itoa(n + 1)
		}
	}
	return nil
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
	if g.Verb == "up" {
		moved, err := e.target.Pin(wanted, e.pins, g.Port)
		if err != nil {
			return p, nil, err
		}
		p.Found = append(p.Found, moved...)
	}
	p.Where, p.Unknown = e.target.Where(wanted, e.pins), e.target.Unknown()
	steps := levels.Walk(now, wanted)
	p.Steps, err = e.preview(ctx, &p, steps, sink)
	if err != nil {
		return p, nil, err
	}
	if behind := changed(p.Steps, "close", "open"); len(steps) > 1 && steps[0].ID == "close" && !behind {
		// Nothing behind the entry changes, so that it need not close; it may have been left closed.
		steps = []levels.Step{{ID: "update", Title: "Bring everything to what is wanted", Gate: levels.GateAnswers, Topology: wanted}}
		if p.Steps, err = e.preview(ctx, &p, steps, sink); err != nil {
			return p, nil, err
		}
	}
	p.Steps = slices.DeleteFunc(p.Steps, func(s plan.Step) bool { return len(s.Changes) == 0 })
	for _, s := range p.Steps {
		if s.Closed {
			p.Downtime += s.Expect
		}
	}
	p.Violations = append(p.Violations, plan.Guard(p.Steps, e.target.Table(), e.allowed(g))...)
	p.Violations = append(p.Violations, unseen(now, wanted, g.AllowDataLoss)...)
	p.Digests, err = e.digests(wanted)
	return p, steps, err
}

// strangers refuses to go near data that lies where new data would be made and
// that the record does not know: to take it over, and to clean it away when that
// fails, would both be wrong.
func (e *Environment) strangers(now, wanted topology.Topology) error {
	known := map[string]bool{}
	for _, d := range e.target.Data(now) {
		known[d.Name] = true
	}
	for _, d := range e.target.Data(wanted) {
		if !known[d.Name] && d.Bytes > 0 {
			return &Error{What: fmt.Sprintf("%s holds data that no record knows: was %s lost?", d.Place, e.files.Place(e.recordFile())),
				Hint: "restore the record and the state from a backup, or move the data away to begin anew"}
		}
	}
	return nil
}

// onTheNode looks, before level 2 is gone to, for files that the application keeps
// beside its code: several instances would each have their own.
func (e *Environment) onTheNode(now, wanted topology.Topology) (found string, err error) {
	if now.Level != 1 || wanted.Level < 2 || e.app.Files != nil && !*e.app.Files {
		return "", nil
	}
	for _, s := range e.app.Services {
		if s.Dir == "" {
			continue
		}
		files, err := Written(s.Dir, e.record.Made)
		if err != nil || len(files) == 0 {
			return "", err
		}
		what := fmt.Sprintf("service %s keeps %d files beside its code, the first %s", s.Name, len(files), files[0])
		if e.app.Files != nil {
			return what + "; they stay there, and are not in the store of files", nil
		}
		return "", &levels.AppError{
			What: what + ": from level 2 on its instances do not share a disk",
			Hint: "set 'files: true' in scale.yaml and keep them in the bucket FILES_BUCKET; copy these there at level 1. If they may be lost, say 'files: false'"}
	}
	return "", nil
}

// changed reports whether any step but the named ones changes anything.
func changed(steps []plan.Step, but ...string) bool {
	return slices.ContainsFunc(steps, func(s plan.Step) bool { return len(s.Changes) > 0 && !slices.Contains(but, s.ID) })
}

// allowed are the resources that may lose their data. A down that was asked to
// delete data has named the environment, and with it everything in it.
func (e *Environment) allowed(g Goal) []string {
	if !g.DeleteData {
		return g.AllowDataLoss
	}
	var names []string
	for _, d := range e.target.Data(e.record.now()) {
		names = append(names, d.Name)
	}
	return names
}

func (e *Environment) digests(wanted topology.Topology) (d plan.Digests, err error) {
	d.Record, d.Config = e.record.digest(), plan.Digest(wanted)
	d.State, err = e.stack.Digest()
	return d, err
}

// preview asks the real target about the first step, and a rehearsal of it on a
// copy of the state about the ones after it.
func (e *Environment) preview(ctx context.Context, p *plan.Plan, steps []levels.Step, sink plan.Sink) ([]plan.Step, error) {
	var out []plan.Step
	var copied *engine.Stack
	for i, s := range steps {
		st := plan.Step{ID: s.ID, Title: s.Title, Gate: string(s.Gate), Closed: closes(s.Topology), Rehearse: i > 0}
		program := e.target.Program(s.Topology, e.pins)
		if i == 0 {
			r, err := e.stack.Preview(ctx, program, engine.Options{Refresh: true, Sink: messages(sink), Lift: anything})
			if err != nil {
				return nil, fmt.Errorf("plan the step %q: %w", s.Title, err)
			}
			st.Changes, p.Found = r.Changes, append(p.Found, r.Found...)
			if err := e.stillLed(ctx, p, e.stack, st.Changes); err != nil {
				return nil, err
			}
			if copied, err = e.copy(ctx); err != nil {
				return nil, err
			}
		}
		if i > 0 {
			// A preview and not what the rehearsal then does: what is not known before the
			// step counts as a change, here as when the step is taken.
			r, err := copied.Preview(ctx, program, engine.Options{Lift: anything})
			if err != nil {
				return nil, fmt.Errorf("plan the step %q: %w", s.Title, err)
			}
			st.Changes = r.Changes
			if err := e.stillLed(ctx, p, copied, st.Changes); err != nil {
				return nil, err
			}
		}
		if i < len(steps)-1 || e.target.Model() != nil { // what stands in the end has a price
			if _, err := copied.Up(ctx, program, engine.Options{Lift: anything}); err != nil {
				return nil, fmt.Errorf("rehearse the step %q: %w", s.Title, err)
			}
		}
		st.Sort()
		st.Expect = expect(e.target.Table(), st.Changes)
		if e.target.Model() != nil && len(st.Changes) > 0 {
			st.Expect = (overhead + copied.Expect(st.Changes)).Seconds()
		}
		out = append(out, st)
	}
	return out, e.cost(ctx, p, copied)
}

// router is a target that knows where its routes lead.
type router interface {
	// StillLed refuses changes that take away what users are still sent to.
	StillLed(standing []engine.Request, changes []plan.Change) []plan.Violation
}

// stillLed adds what a step would take away while users are still sent to it.
func (e *Environment) stillLed(ctx context.Context, p *plan.Plan, s *engine.Stack, changes []plan.Change) error {
	r, ok := e.target.(router)
	if !ok || !slices.ContainsFunc(changes, func(c plan.Change) bool { return c.Op == plan.Delete || c.Op == plan.Replace }) {
		return nil
	}
	standing, err := s.Standing(ctx)
	if err == nil {
		p.Violations = append(p.Violations, r.StillLed(standing, changes)...)
	}
	return err
}

// unseen are databases whose data an application would not see after a walk: a
// service's own that a lower level does not use, and one that begins empty while
// what the service has written stays in the shared one.
func unseen(now, wanted topology.Topology, allowed []string) []plan.Violation {
	var vs []plan.Violation
	refuse := func(n topology.Node, what string) {
		if !slices.Contains(allowed, n.ID) {
			vs = append(vs, plan.Violation{Rule: "G5", Resource: n.ID, What: what})
		}
	}
	if now.Level == 0 || wanted.Level == 0 {
		return nil
	}
	for _, n := range wanted.OfKind(topology.Database) {
		was, stood := now.Node(n.ID)
		if n.Database.Service == "" || n.Replica() {
			continue
		}
		switch {
		case stood && !was.Stopped() && n.Stopped():
			refuse(n, fmt.Sprintf("%s holds what %s has written, and level %d uses the shared database, where that is not; it stays and is not seen", n.ID, n.Database.Service, wanted.Level))
		case (!stood || was.Stopped()) && !n.Stopped():
			refuse(n, fmt.Sprintf("%s would not hold what %s has written to the shared database until now: copy it first, or give it up; it stays there", n.ID, n.Database.Service))
		}
	}
	return vs
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

// closes reports whether the public address answers with the maintenance page.
func closes(t topology.Topology) bool {
	return slices.ContainsFunc(t.OfKind(topology.Entry), func(n topology.Node) bool { return n.Entry.Maintenance != nil })
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

// digestSources fills in what releases are named by: the digest of the sources
// of each service, and of the static files.
func digestSources(app *config.App) error {
	app.Services = slices.Clone(app.Services)
	var skip []string
	if app.Static != nil && app.Static.Dir != "" {
		s := *app.Static
		d, err := Digest(os.DirFS(s.Dir), nil)
		if err != nil {
			return &Error{What: "the static files cannot be read", Err: pathError(err, s.Dir), Hint: "'static.dir' is relative to scale.yaml"}
		}
		s.Release, app.Static = d, &s
		skip = append(skip, s.Dir)
	}
	for i := range app.Services {
		s := &app.Services[i]
		if s.Dir == "" {
			continue
		}
		d, err := DigestSources(s.Dir, skip)
		if err != nil {
			return &Error{What: "the sources of service " + s.Name + " cannot be read", Err: err, Hint: "'dir' is relative to scale.yaml"}
		}
		s.Release = d
	}
	return nil
}

// pathError names the directory where an error would only name a path in it.
func pathError(err error, dir string) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %s: %w", dir, pe.Path, pe.Err)
	}
	return err
}

// Drift is what has changed outside since the last walk: what it would take to
// bring everything back to what was recorded.
func (e *Environment) Drift(ctx context.Context) ([]plan.Change, error) {
	if !e.Exists() {
		return nil, nil
	}
	if err := e.target.Observe(ctx); err != nil {
		return nil, err
	}
	if err := e.Unlock(); err != nil {
		return nil, err
	}
	r, err := e.stack.Preview(ctx, e.target.Program(e.record.Topology, e.pins), engine.Options{Refresh: true, Lift: anything})
	s := plan.Step{Changes: r.Changes}
	s.Sort()
	return s.Changes, err
}
