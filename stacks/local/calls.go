//go:build unix

package local

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// call is the way by which the instances of one service in a region, whatever their
// colour, call another service: an address of the gateway that is theirs alone and that
// stays when what answers it moves.
type call struct{ from, to, region string }

func (c call) name() string { return c.from + "-calls-" + c.to + "-" + c.region }

// callsOf are the calls of a backend that runs, asked by the first of its service's
// pools in its region; none by the others.
func callsOf(t topology.Topology, n topology.Node) []call {
	var cs []call
	first := ""
	for _, o := range t.OfKind(topology.Backend) {
		if n.Backend == nil || o.Backend.Service != n.Backend.Service || o.Region != n.Region || o.Backend.Instances == 0 {
			continue
		}
		if first == "" {
			first = o.ID
		}
		for _, to := range o.Backend.Calls {
			if c := (call{n.Backend.Service, to, n.Region}); !slices.Contains(cs, c) {
				cs = append(cs, c)
			}
		}
	}
	if first != n.ID {
		return nil
	}
	return cs
}

// calls makes the ways of services to each other. They come before the backends, which
// find there what answers as soon as it does.
func (p *program) calls() error {
	for _, n := range p.t.OfKind(topology.Backend) {
		cs := callsOf(p.t, n)
		if len(cs) == 0 {
			continue
		}
		parent := &component{}
		if err := p.ctx.RegisterComponentResource("scale:node:calls", n.Backend.Service+"-calls-"+n.Region, parent); err != nil {
			return err
		}
		for _, c := range cs {
			var pools, balancers pulumi.StringArray
			for _, o := range p.t.Nodes {
				switch {
				case o.Region != c.region:
				case o.LoadBalancer != nil:
					balancers = append(balancers, pulumi.String(o.ID))
				case o.Backend != nil && o.Backend.Service == c.to:
					pools = append(pools, pulumi.String(o.ID))
				}
			}
			made, err := p.resource(typeCall, c.name(), pulumi.Map{"node": pulumi.String(c.from), "from": pulumi.String(c.from), "service": pulumi.String(c.to),
				"domain": pulumi.String(trustDomain(p.t)), "port": pulumi.Int(portOf(p.pins, c.name())), "balancers": balancers, "pools": pools}, parent, nil)
			if err != nil {
				return err
			}
			for _, o := range p.t.OfKind(topology.Backend) {
				if o.Backend.Service == c.from && o.Region == c.region {
					p.made[o.ID] = append(p.made[o.ID], made)
				}
			}
		}
	}
	return nil
}

// trustDomain is the one in which services have names (SPIFFE's word): the environment.
func trustDomain(t topology.Topology) string { return t.App + "." + t.Env }

func (l *Local) putCall(ctx context.Context, r engine.Request) error {
	in := r.Inputs
	e := agent.Edge{Name: r.Name, Node: in["node"].StringValue(), Kind: "call", Port: integer(in["port"]), Tag: tag(r),
		Caller: agent.Caller{Domain: in["domain"].StringValue(), From: in["from"].StringValue(), To: in["service"].StringValue()}}
	for _, b := range in["balancers"].ArrayValue() {
		e.Routes = append(e.Routes, agent.Route{Path: "/", To: b.StringValue()})
	}
	for _, n := range in["pools"].ArrayValue() {
		e.Pools = append(e.Pools, n.StringValue())
	}
	return l.putEdge(ctx, e)
}

// callEnvironment tells a backend where the services are that it calls and as whom it
// does, and how it knows who calls.
func (p *program) callEnvironment(n topology.Node, env pulumi.Map) {
	if n.Runs().Called {
		env["SERVICE_IDENTITY"] = pulumi.String(agent.Caller{Domain: trustDomain(p.t), To: n.Runs().Service}.Audience())
		env["SERVICE_KEYS_FILE"] = pulumi.String(p.dirs.ServiceKeys())
	}
	for _, to := range n.Runs().Calls {
		c, name := call{n.Runs().Service, to, n.Region}, strings.ToUpper(strings.ReplaceAll(to, "-", "_"))
		env["SERVICE_"+name+"_URL"] = pulumi.String(fmt.Sprintf("http://127.0.0.1:%d", portOf(p.pins, c.name())))
		env["SERVICE_"+name+"_TOKEN_FILE"] = pulumi.String(p.dirs.Token(c.name()))
	}
}
