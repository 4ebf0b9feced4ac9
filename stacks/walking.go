package stacks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scale-levels/scale/internal/fault"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks/engine"
)

// StaleError means that what would be done is no longer what was approved.
type StaleError struct{ Beyond []string }

func (e *StaleError) Error() string {
	return "the plan is stale: it would now do more than was approved:\n    " + strings.Join(e.Beyond, "\n    ")
}

// Hints returns what to do about it.
func (e *StaleError) Hints() string { return "look at the plan again: 'scale preview'" }

// GateError means that a step was taken and what it promised does not hold.
type GateError struct {
	Step, Gate string
	Err        error
}

func (e *GateError) Error() string {
	return fmt.Sprintf("after the step %q: %v", e.Step, e.Err)
}
func (e *GateError) Unwrap() error { return e.Err }

// Hints returns what to do about it.
func (e *GateError) Hints() string {
	return "'scale logs' shows what the components say; 'scale up' goes on from here"
}

// Walk takes the approved plan's steps, each previewed afresh before it is
// taken, with its gate after it. The caller holds the lease. ctx ends the walk
// gracefully: what has begun is finished; now ends it at once.
func (e *Environment) Walk(ctx, now context.Context, g Goal, approved plan.Plan, sink plan.Sink) (err error) {
	began := time.Now()
	fresh, steps, err := e.approved(ctx, g, approved)
	if err != nil {
		return err
	}
	e.record.Dir = e.app.Dir
	interrupted := e.record.Walk
	start, whole := e.start()
	if interrupted != nil && len(steps) > 0 {
		if err := e.disarm(ctx, now, interrupted.Pending, steps[0].Topology, sink); err != nil {
			return err
		}
	}
	entry := Entry{Time: began, Verb: g.Verb, From: e.record.Topology.Level, To: fresh.To, Changes: summary(fresh), By: by()}
	changed := false
	for i, s := range steps {
		if !slices.ContainsFunc(fresh.Steps, func(p plan.Step) bool { return p.ID == s.ID }) {
			e.record.Topology = s.Topology // it changes nothing
			continue
		}
		e.record.Walk = &WalkState{Verb: g.Verb, To: fresh.To, Step: s.Title, At: i + 1, Of: len(steps), Began: began, By: by(), Pending: s.Topology, Start: start}
		if err = e.take(ctx, now, g, s, approved, sink); err != nil {
			break
		}
		e.record.Topology = s.Topology
		e.record.Walk, changed = nil, true
	}
	if err == nil {
		e.record.Walk = nil
	}
	entry.Took, entry.Result = time.Since(began), "done"
	if err != nil {
		entry.Result, entry.Error = "failed", err.Error()
		if errors.Is(err, engine.ErrCancelled) {
			entry.Result = "cancelled"
		}
		e.record.Walk.Failed = entry.Result
		if refused(err) && !changed {
			e.record.Walk = interrupted // nothing was begun
			return errors.Join(err, e.save())
		}
	}
	if err == nil && g.DeleteData {
		return e.vanish(ctx)
	}
	e.record.add(entry)
	if err != nil && whole && g.Verb == "up" && entry.Result == "failed" {
		return e.walkBack(ctx, now, start, err, sink)
	}
	return errors.Join(err, e.save())
}

// start is the topology that a failure walks back to, and whether there is one: an
// environment that an interrupted walk left between two has that walk's own start,
// unless nothing served then. What has been made since may hold data by now.
func (e *Environment) start() (topology.Topology, bool) {
	w := e.record.Walk
	if w == nil {
		return e.record.Topology.Clone(), true
	}
	return w.Start, w.Verb == "up" && w.Start.Level > 0
}

// refused reports whether a step was not begun because it would do too much.
func refused(err error) bool {
	var guard *GuardError
	var stale *StaleError
	return errors.As(err, &guard) || errors.As(err, &stale)
}

// Settle records what an empty plan found to be so: an unfinished walk has
// nothing left to do, the wanted topology stands.
func (e *Environment) Settle(ctx context.Context, g Goal) error {
	if g.Verb == "up" {
		if err := e.target.Renew(ctx); err != nil {
			return err
		}
	}
	wanted, err := e.wanted(g)
	if err != nil {
		return err
	}
	if e.record.Walk == nil && plan.Digest(e.record.Topology) == plan.Digest(wanted) || !e.Exists() && len(wanted.Nodes) == 0 {
		return nil
	}
	e.record.Walk, e.record.Topology = nil, wanted
	if g.DeleteData {
		return e.vanish(ctx)
	}
	return e.save()
}

// Name is the application and the environment.
func (e *Environment) Name() string { return e.app.Name + "/" + e.app.Env }

// Nothing reports whether there is nothing to take down: no record, no state.
func (e *Environment) Nothing() (bool, error) {
	empty, err := e.stack.Empty()
	return empty && !e.Exists(), err
}

// approved are the steps of a plan that was approved. When nothing has changed since
// it was made, they are its own: each is previewed afresh before it is taken.
func (e *Environment) approved(ctx context.Context, g Goal, p plan.Plan) (plan.Plan, []levels.Step, error) {
	if digests, err := e.digests(e.planned.wanted); err == nil && e.planned.steps != nil && digests == p.Digests && len(p.Violations) == 0 {
		if g.Verb == "up" { // what a look at the plan left may have been cleaned away
			err = e.target.Preflight(e.planned.wanted)
		}
		return p, e.planned.steps, err
	}
	fresh, steps, err := e.plan(ctx, g, nil)
	if err != nil {
		return fresh, nil, err
	}
	return fresh, steps, e.stillApproved(fresh, p)
}

// stillApproved refuses a plan that does more than the approved one, or loses data.
func (e *Environment) stillApproved(fresh, approved plan.Plan) error {
	if len(fresh.Violations) > 0 {
		return &GuardError{fresh.Violations}
	}
	var beyond []string
	for _, s := range fresh.Steps {
		beyond = append(beyond, s.Exceeds(stepOf(approved, s.ID))...)
	}
	if len(beyond) > 0 {
		return &StaleError{beyond}
	}
	return nil
}

func stepOf(p plan.Plan, id string) plan.Step {
	for _, s := range p.Steps {
		if s.ID == id {
			return s
		}
	}
	return plan.Step{}
}

// take is one step: previewed afresh, made under the lock, recorded, gated.
func (e *Environment) take(ctx, now context.Context, g Goal, s levels.Step, approved plan.Plan, sink plan.Sink) error {
	began := time.Now()
	tell := func(ev plan.Event) {
		ev.Step = s.ID
		if ev.Time.IsZero() {
			ev.Time = time.Now()
		}
		sink(ev)
	}
	tell(plan.Event{Kind: plan.StepStarted, Text: s.Title})
	if err := e.save(); err != nil { // pins and the walk, before anything is made with them
		return err
	}
	r, err := e.stack.Preview(ctx, e.target.Program(s.Topology, e.pins), engine.Options{Refresh: true, Now: now, Lift: anything})
	if err != nil {
		return err
	}
	ps := plan.Step{ID: s.ID, Changes: r.Changes}
	if beyond := ps.Exceeds(stepOf(approved, s.ID)); len(beyond) > 0 {
		return &StaleError{beyond}
	}
	if err := e.guarded(ctx, ps, g); err != nil {
		return err
	}
	waiting := func(what string) { tell(plan.Event{Kind: plan.Waiting, Text: what}) }
	if err := e.snapshot(ctx, r.Changes, s.Topology, waiting); err != nil {
		return err
	}
	if err := errors.Join(e.abandon(ctx, s.Topology, waiting), e.promote(ctx, s.Topology, waiting)); err != nil {
		return err
	}
	if err := e.update(ctx, now, g, s.Topology, tell); err != nil {
		return err
	}
	fault.Point(fault.Gate)
	if err := e.target.Gate(ctx, string(s.Gate), s.Topology, e.pins, waiting); err != nil {
		if ctx.Err() != nil {
			return engine.ErrCancelled
		}
		tell(plan.Event{Kind: plan.GateFailed, Text: err.Error()})
		return &GateError{s.Title, string(s.Gate), err}
	}
	tell(plan.Event{Kind: plan.StepDone, Text: s.Title, Elapsed: time.Since(began)})
	return nil
}

// snapshot makes a copy of what the step's changes touch and data lies in. That it is
// made is noted before.
func (e *Environment) snapshot(ctx context.Context, changes []plan.Change, t topology.Topology, waiting func(string)) error {
	var touched []plan.Change
	for _, c := range changes {
		if c.Holds && (c.Op == plan.Update || c.Op == plan.Replace) {
			touched = append(touched, c)
		}
	}
	if len(touched) == 0 || e.record.Walk == nil {
		return nil
	}
	name := "before-" + e.record.Walk.Began.UTC().Format("20060102-150405")
	e.record.Walk.Doing = "snapshots " + name
	if err := e.save(); err != nil {
		return err
	}
	if err := e.target.Snapshot(ctx, touched, t, name, waiting); err != nil {
		return fmt.Errorf("snapshot before the change: %w", err)
	}
	e.record.Walk.Doing = ""
	return nil
}

// promote lets databases lead that followed, where that is a verb of the target. That it is
// asked for is noted before: from then on they count as leaders.
func (e *Environment) promote(ctx context.Context, t topology.Topology, waiting func(string)) error {
	f, ok := e.target.(failer)
	if !ok || !levels.LeadMoves(e.record.Topology, t) {
		return nil
	}
	if e.record.Walk != nil {
		e.record.Walk.Doing = "promotion"
	}
	if err := e.save(); err != nil {
		return err
	}
	if err := f.Promote(ctx, e.record.Topology, t, waiting); err != nil {
		return fmt.Errorf("let another database lead: %w", err)
	}
	if e.record.Walk != nil {
		e.record.Walk.Doing = ""
	}
	return nil
}

// update is one engine update under the lock. The engine's own protection is
// lifted from what may lose its data; the guard has seen the plan.
func (e *Environment) update(ctx, now context.Context, g Goal, t topology.Topology, sink plan.Sink) error {
	lock, err := engine.Acquire(ctx, e.files, e.lockFile(), e.app.Name+"/"+e.app.Env, e.command, time.Minute, nil)
	if err != nil {
		return err
	}
	defer lock.Release()
	allowed := e.allowed(g)
	waiting := func(what string) { sink(plan.Event{Kind: plan.Waiting, Text: what}) }
	_, err = e.stack.Up(ctx, e.target.Live(ctx, t, e.pins, waiting), engine.Options{Refresh: true, Sink: sink, Now: now,
		Lift: func(name string) bool { return slices.Contains(allowed, name) }})
	return e.target.Explain(err)
}

// vanish removes everything that is left of an environment without resources.
func (e *Environment) vanish(ctx context.Context) error {
	if err := e.target.Clean(ctx); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	// The record goes first: without it nothing of the rest means anything.
	for _, f := range []string{e.recordFile(), e.recordFile() + ".bak"} {
		if err := e.files.Remove(f); err != nil {
			return err
		}
	}
	if err := os.Remove(e.passphraseFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := errors.Join(e.stack.Forget(), e.files.Remove(e.lockFile())); err != nil {
		return err
	}
	e.record = &Record{App: e.app.Name, Env: e.app.Env, Target: e.target.Name(), Dir: e.app.Dir}
	return nil
}

// Prune removes directories of an environment that is gone, as far as they are
// empty, and with the last environment the store itself. It is called after the
// lease, which lies in one of them, has been removed.
func (h Home) Prune(app, env string) {
	dirs := []string{h.Root(app, env), h.dir(app, env), filepath.Dir(h.dir(app, env)), filepath.Join(string(h), "environments")}
	pulumi := filepath.Join(string(h), ".pulumi")
	dirs = append(dirs, filepath.Join(pulumi, "stacks", app), filepath.Join(pulumi, "stacks"))
	for _, d := range dirs {
		_ = os.Remove(d) // one that is not empty stays
	}
	if _, err := os.Stat(filepath.Join(pulumi, "stacks")); errors.Is(err, os.ErrNotExist) {
		_ = os.Remove(filepath.Join(pulumi, "meta.yaml"))
		_ = os.Remove(pulumi)
		_ = os.Remove(string(h))
	}
}

// summary is a plan in one line: "3 to create, 1 to update".
func summary(p plan.Plan) string {
	var parts []string
	n := p.Count()
	for _, op := range []plan.Op{plan.Create, plan.Update, plan.Replace, plan.Delete} {
		if n[op] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n[op], op))
		}
	}
	if len(parts) == 0 {
		return "no changes"
	}
	return strings.Join(parts, ", ")
}

func by() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s, pid %d", host, os.Getpid())
}
