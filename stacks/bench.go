package stacks

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
)

// bencher is a target that can put a load on what stands there.
type bencher interface {
	Bench(ctx context.Context, t topology.Topology, pins map[string]string, load plan.Load, chart io.Writer) (plan.Bench, error)
}

// Bench puts a load on the environment and returns what that met; chart, where it is not
// nil, gets a page that shows each answer.
func (e *Environment) Bench(ctx context.Context, load plan.Load, chart io.Writer) (plan.Bench, error) {
	b := plan.Bench{Version: plan.Version, App: e.app.Name, Env: e.app.Env}
	t, ok := e.target.(bencher)
	if !ok {
		return b, &Error{What: "this version puts a load on the target local only", Hint: "a load on AWS costs money and needs AWS's rules: https://aws.amazon.com/ec2/testing/"}
	}
	stands := e.record.standing()
	if len(stands.OfKind(topology.Entry)) == 0 {
		return b, &Error{What: "nothing stands that could be asked", Hint: "'scale up' first"}
	}
	if len(load.From) == 0 {
		load.From = e.app.Regions
	}
	for _, r := range load.From {
		if !slices.Contains(e.app.Regions, r) {
			return b, &Error{What: "there are no users in " + r, Hint: "the regions of scale.yaml are " + strings.Join(e.app.Regions, ", ")}
		}
	}
	if err := e.Unlock(); err != nil {
		return b, err
	}
	seen, err := t.Bench(ctx, stands, e.pins, load, chart)
	if err != nil {
		return b, err
	}
	b.Level, b.Rate, b.Seconds, b.Users, b.Transactions, b.WAN = stands.Level, load.Rate, load.For.Seconds(), seen.Users, seen.Transactions, seen.WAN
	return b, nil
}
