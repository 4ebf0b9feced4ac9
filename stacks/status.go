package stacks

import (
	"context"
	"fmt"

	"github.com/scale-levels/scale/internal/plan"
)

// Status says how the environment stands.
func (e *Environment) Status(ctx context.Context) (plan.Status, error) {
	r := e.record
	s := plan.Status{Version: plan.Version, App: e.app.Name, Env: e.app.Env, Target: e.target.Name(), Level: r.Topology.Level, State: "absent"}
	lease, _, err := e.Locks()
	if err != nil {
		return s, err
	}
	if lease.Held {
		s.State, s.Lock = "changing", lease.Holder.String()
	}
	if !e.Exists() {
		return s, nil
	}
	if err := e.target.Observe(ctx); err != nil {
		return s, err
	}
	t := r.standing()
	s.URL, s.Supervisor = e.target.URL(t, e.pins), e.target.Supervisor()
	s.Components, s.Data = e.target.Components(t, e.pins), e.target.Data(t)
	if !lease.Held {
		s.State = overall(s.Components)
	}
	if r.Walk != nil {
		s.Walk = fmt.Sprintf("%s to level %d, step %d of %d (%s)", r.Walk.Verb, r.Walk.To, r.Walk.At, r.Walk.Of, r.Walk.Step)
		if !lease.Held {
			s.Walk += "; unfinished: 'scale up' goes on from there"
		}
	}
	return s, nil
}

func overall(cs []plan.Component) string {
	running, healthy := 0, 0
	for _, c := range cs {
		if c.State != "stopped" {
			running++
		}
		if c.Healthy {
			healthy++
		}
	}
	switch {
	case len(cs) == 0:
		return "down"
	case running == 0:
		return "stopped"
	case healthy == len(cs):
		return "up"
	default:
		return "degraded"
	}
}
