//go:build unix

package local

import (
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// arbiter is the name of what replaces leaders that do not answer.
const arbiter = "arbiter"

// arbitrated reports whether leaders are replaced without anybody being asked.
func arbitrated(t topology.Topology) bool {
	return slices.ContainsFunc(t.OfKind(topology.Database), func(n topology.Node) bool { return n.Database.Automatic })
}

// arbitration is a process of our own beside the databases, the only one that decides. It
// says the same whoever leads, so that it goes on while it lets another lead.
func (p *program) arbitration() error {
	if !arbitrated(p.t) {
		return nil
	}
	c := &component{}
	if err := p.ctx.RegisterComponentResource("scale:node:arbiter", arbiter, c); err != nil {
		return err
	}
	var after []pulumi.Resource
	for _, n := range p.t.OfKind(topology.Database) {
		after = append(after, p.made[n.ID]...)
	}
	_, err := p.resource(typeWorker, arbiter, pulumi.Map{
		"node": pulumi.String(arbiter), "command": pulumi.ToStringArray(p.arbiter), "dir": pulumi.String(""), "env": pulumi.Map{},
		"release": pulumi.String(p.build), "stopTimeout": pulumi.Int(60),
	}, c, after)
	return err
}
