//go:build unix

package local

import (
	"context"
	"errors"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// cdn is an edge in front of each region's entry, with a store of its own. It answers
// at the entry's address: users call the same one with it and without.
func (p *program) cdn(n topology.Node, c pulumi.Resource) error {
	for _, origin := range n.CDN.Origins {
		e, _ := p.t.Node(origin)
		edge, err := p.resource(typeCDNEdge, cdnEdge(n.ID, e.Region), pulumi.Map{
			"node": pulumi.String(n.ID), "entry": pulumi.String(origin), "release": pulumi.String(n.CDN.Static), "prefix": pulumi.String(n.CDN.Prefix),
		}, c, p.made[origin])
		if err != nil {
			return err
		}
		p.made[n.ID] = append(p.made[n.ID], edge)
	}
	return nil
}

// cdnEdge is the name of a CDN's edge in a region.
func cdnEdge(node, region string) string { return node + "-" + region }

func (l *Local) putCDNEdge(ctx context.Context, r engine.Request) error {
	in := r.Inputs
	return l.putEdge(ctx, agent.Edge{Name: r.Name, Node: in["node"].StringValue(), Kind: "cdn", Tag: tag(r),
		Front: in["entry"].StringValue(), Release: in["release"].StringValue(), Prefix: in["prefix"].StringValue()})
}

// Purge makes the edges of the CDN forget a path, or with "*" at its end all below it,
// and returns how many answers that were.
func (l *Local) Purge(ctx context.Context, path string) (int, error) {
	c, _, err := agent.Connect(ctx, l.dirs)
	if errors.Is(err, agent.ErrNotRunning) {
		return 0, &Error{What: "nothing runs that could be purged", Hint: "'scale up --level 3' makes a CDN stand"}
	}
	if err != nil {
		return 0, err
	}
	return c.Purge(ctx, path)
}
