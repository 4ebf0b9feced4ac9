package stacks

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
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

// strays tells of creations that were in flight when a run ended what stands under the
// environment's tags and the state does not know: one of them may have been made. It is
// nobody's to take over or delete unseen.
func (e *Environment) strays(ctx context.Context) ([]string, error) {
	inFlight, err := e.stack.InFlight()
	if err != nil || len(inFlight) == 0 {
		return nil, err
	}
	tagged, asked, err := e.Audit(ctx)
	if err != nil || !asked {
		return nil, err
	}
	standing, err := e.stack.Standing(ctx)
	return tellStrays(inFlight, tagged, standing), err
}

func tellStrays(inFlight []string, tagged []plan.Component, standing []engine.Request) []string {
	known := map[string]bool{}
	for _, r := range standing {
		known[r.ID] = true
		if arn := r.Olds["arn"]; arn.IsString() {
			known[arn.StringValue()] = true
		}
	}
	tagged = slices.DeleteFunc(tagged, func(c plan.Component) bool { return known[c.Name] })
	if len(tagged) == 0 {
		return []string{fmt.Sprintf("the creation of %s was in flight when a run ended; nothing stands under the environment's tags that is not known", strings.Join(inFlight, ", "))}
	}
	found := []string{fmt.Sprintf("the creation of %s was in flight when a run ended; under the environment's tags there stands, and is not known here (delete it, or let 'pulumi import' take it over, when it is one of these):", strings.Join(inFlight, ", "))}
	for _, c := range tagged {
		found = append(found, "    "+c.Name)
	}
	return found
}
