package stacks

import (
	"context"

	"github.com/scale-levels/scale/internal/plan"
)

// auditor is a target that can be asked what stands there of an environment, whatever
// the state says.
type auditor interface {
	Audit(ctx context.Context, app, env string, regions []string) ([]plan.Component, error)
}

// Audit is what stands of the environment where it stood, found by its tags and not by
// its state; asked is whether the target can be asked.
func (e *Environment) Audit(ctx context.Context) (left []plan.Component, asked bool, err error) {
	t, ok := e.target.(auditor)
	if !ok {
		return nil, false, nil
	}
	left, err = t.Audit(ctx, e.app.Name, e.app.Env, e.app.Regions)
	return left, true, err
}
