//go:build unix

package local

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// program builds the resources of one topology.
type program struct {
	ctx  *pulumi.Context
	t    topology.Topology
	pins Pins
	dirs agent.Dirs
	// domain is the application's name.
	domain string
	// arbiter is the command that replaces leaders that do not answer, of a build.
	arbiter []string
	build   string
	// made are the resources of each node, for those that depend on it.
	made map[string][]pulumi.Resource
	// tasks are the migrations.
	tasks []pulumi.Resource
}

// node makes one node as a component with its resources under it. The
// component's type is part of its children's names in the state, and is the same
// at every level.
func (p *program) node(n topology.Node) error {
	c := &component{}
	if err := p.ctx.RegisterComponentResource("scale:node:"+string(n.Kind), n.ID, c); err != nil {
		return err
	}
	switch n.Kind {
	case topology.Database:
		return p.database(n, c)
	case topology.Move:
		return p.move(n, c)
	case topology.Files:
		return p.fileStore(n, c)
	case topology.Sessions:
		return p.keptRedis(typeSessionStore, n, c)
	case topology.Queue:
		return p.keptRedis(typeQueue, n, c)
	case topology.Worker:
		return p.worker(n, c)
	case topology.Job:
		return p.job(n, c)
	case topology.Pooler:
		return p.pooler(n, c)
	case topology.Cache:
		return p.cache(n, c)
	case topology.Static:
		return p.static(n, c)
	case topology.Backend:
		return p.backend(n, c)
	case topology.LoadBalancer:
		return p.balancer(n, c)
	case topology.Entry:
		return p.entry(n, c)
	case topology.CDN:
		return p.cdn(n, c)
	case topology.DNS:
		return p.name(n, c)
	}
	return nil
}

type component struct{ pulumi.ResourceState }

// made is a resource of ours with the outputs that programs read.
type made struct {
	pulumi.CustomResourceState
	Path  pulumi.StringOutput `pulumi:"path"`
	Major pulumi.StringOutput `pulumi:"major"`
}

// resource registers one resource of a node.
func (p *program) resource(typ, name string, in pulumi.Map, parent pulumi.Resource, after []pulumi.Resource, more ...pulumi.ResourceOption) (*made, error) {
	m := &made{}
	opts := append([]pulumi.ResourceOption{pulumi.Parent(parent), pulumi.DependsOn(after)}, more...)
	if err := p.ctx.RegisterResource(typ, name, in, m, opts...); err != nil {
		return nil, err
	}
	return m, nil
}

// secret is a pin that the state keeps encrypted.
func (p *program) secret(key string) pulumi.StringOutput {
	return pulumi.ToSecret(pulumi.String(p.pins[key])).(pulumi.StringOutput)
}

// behind are the resources of the nodes that a node has links to.
func (p *program) behind(id string) []pulumi.Resource {
	var rs []pulumi.Resource
	for _, l := range p.t.Links {
		if l.From == id {
			rs = append(rs, p.made[l.To]...)
		}
	}
	return rs
}
