package stacks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks/engine"
)

// RolledBackError means that a walk failed and that what stood before stands again.
type RolledBackError struct {
	Err     error
	Nothing bool // nothing stood before, and nothing does now
}

func (e *RolledBackError) Error() string {
	if e.Nothing {
		return e.Err.Error() + "\nwhat had been made was removed again: nothing was changed"
	}
	return e.Err.Error() + "\nrolled back: what stood before stands again"
}
func (e *RolledBackError) Unwrap() error { return e.Err }

// walkBack returns to the topology from which a failed walk started. It is only
// called when that one stood whole, so that there is something to return to.
func (e *Environment) walkBack(ctx, now context.Context, start topology.Topology, cause error, sink plan.Sink) error {
	sink(plan.Event{Time: time.Now(), Kind: plan.Message, Level: "warning", Text: "that did not work; going back to what stood before"})
	goal := Goal{Verb: "back", DeleteData: len(start.Nodes) == 0}
	if !goal.DeleteData {
		start = levels.Keep(start, e.record.now())
	}
	if err := e.disarm(ctx, now, e.record.Walk.Pending, start, sink); err != nil {
		return errors.Join(cause, fmt.Errorf("going back failed too: %w", err), e.save())
	}
	stands, err := e.stands(ctx)
	if err != nil {
		return errors.Join(cause, fmt.Errorf("going back failed too: %w", err), e.save())
	}
	steps := levels.Walk(stands, start)
	if err := e.pinMoves(ctx, &plan.Plan{}, steps, 0); err != nil { // tables may have to go back too
		return errors.Join(cause, fmt.Errorf("going back failed too: %w", err), e.save())
	}
	if goal.DeleteData { // there is nothing that could be kept, and nothing may be made
		steps = steps[len(steps)-1:]
	}
	for _, s := range steps {
		if err := e.stepBack(ctx, now, goal, s, sink); err != nil {
			return errors.Join(cause, fmt.Errorf("going back failed too: %w", err), e.save())
		}
		e.record.Topology = s.Topology
	}
	e.record.Walk = nil
	if goal.DeleteData {
		return errors.Join(&RolledBackError{cause, true}, e.vanish(ctx))
	}
	last := &e.record.History[len(e.record.History)-1]
	last.Result = "rolled back"
	return errors.Join(&RolledBackError{cause, false}, e.save())
}

// stands is what a failed walk goes back from. Where a switch of writes failed, the
// databases say whether it was made.
func (e *Environment) stands(ctx context.Context) (topology.Topology, error) {
	m, ok := e.target.(mover)
	if !e.record.switching() || !ok {
		return e.record.now(), nil
	}
	for _, n := range e.record.Walk.Pending.OfKind(topology.Move) {
		switch moved, err := m.Moved(ctx, *n.Move, e.pins); {
		case err != nil:
			return topology.Topology{}, err
		case n.Move.Switched && !moved:
			return e.record.Topology.Clone(), nil
		}
	}
	return levels.Settled(e.record.now()), nil
}

// disarm takes its protection against being deleted from what an unfinished step
// may have made and the next does not have, and touches nothing else. What holds
// data stays protected, unless nothing at all is to be left.
func (e *Environment) disarm(ctx, now context.Context, pending, next topology.Topology, sink plan.Sink) error {
	t, going, holding := pending.Clone(), map[string]bool{}, map[string]bool{}
	for i, n := range t.Nodes {
		if _, stays := next.Node(n.ID); !stays && (n.Kind == topology.LoadBalancer || n.HoldsData() && len(next.Nodes) == 0) {
			t.Nodes[i].Disarmed, going[n.ID] = true, true
		}
	}
	if w := e.record.Walk; w != nil && len(w.Start.Nodes) == 0 && len(next.Nodes) == 0 {
		t.Undone = true
		for _, d := range e.target.Data(pending) {
			holding[d.Name] = true
		}
	}
	made, err := e.stack.Resources()
	if err != nil || !slices.ContainsFunc(made, func(name string) bool { return going[name] || holding[name] }) {
		return err
	}
	lock, err := engine.Acquire(ctx, e.files, e.lockFile(), e.app.Name+"/"+e.app.Env, e.command, time.Minute, nil)
	if err != nil {
		return err
	}
	defer lock.Release()
	table := e.target.Table()
	_, err = e.stack.Up(ctx, e.target.Program(t, e.pins), engine.Options{Refresh: true, Sink: sink, Now: now, Lift: anything, Only: func(name, typ string) bool { return going[name] || holding[name] && table[typ].HoldsData }})
	return e.target.Explain(err)
}

// stepBack is a step of which nothing needs to be approved: it only returns to
// what was. Data that stood before is protected as ever.
func (e *Environment) stepBack(ctx, now context.Context, g Goal, s levels.Step, sink plan.Sink) error {
	r, err := e.stack.Preview(ctx, e.target.Program(s.Topology, e.pins), engine.Options{Refresh: true, Now: now, Lift: anything})
	if err != nil {
		return err
	}
	if err := e.guarded(ctx, plan.Step{Changes: r.Changes}, g); err != nil {
		return err
	}
	tell := func(ev plan.Event) { ev.Step = "back"; sink(ev) }
	waiting := func(what string) { tell(plan.Event{Time: time.Now(), Kind: plan.Waiting, Text: what}) }
	if err := e.abandon(ctx, s.Topology, waiting); err != nil {
		return err
	}
	if err := e.update(ctx, now, g, s.Topology, tell); err != nil {
		return err
	}
	return e.target.Gate(ctx, string(s.Gate), s.Topology, e.pins, waiting)
}
