package stacks

import (
	"context"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
)

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
