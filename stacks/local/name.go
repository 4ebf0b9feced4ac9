//go:build unix

package local

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// nameTTL is how long a resolver may remember an answer, in seconds: a region that is
// lost is asked for so long by those who have just asked. Route 53 has 60 for an alias
// to a load balancer, for which nobody would wait here.
const nameTTL = 2

// name is the server of the application's name, the authority for it and nothing else.
func (p *program) name(n topology.Node, c pulumi.Resource) error {
	var regions pulumi.Array
	for _, r := range p.t.Regions {
		entry := ""
		for _, e := range p.t.OfKind(topology.Entry) {
			if e.Region == r.Name {
				entry = e.ID
			}
		}
		var ways pulumi.Array
		for _, to := range p.t.Regions {
			ways = append(ways, pulumi.Map{"to": pulumi.String(to.Name), "address": pulumi.String(address(p.pins, r.Name, to.Name)), "roundTrip": pulumi.Int(int(roundTrip(r.Name, to.Name).Milliseconds()))})
		}
		weight := 1
		if w, set := n.DNS.Weights[r.Name]; set {
			weight = w
		}
		regions = append(regions, pulumi.Map{"weight": pulumi.Int(weight), "name": pulumi.String(r.Name), "entry": pulumi.String(entry), "users": pulumi.String(users(p.pins, r.Name).String()), "ways": ways})
	}
	s, err := p.resource(typeName, n.ID, pulumi.Map{
		"node": pulumi.String(n.ID), "name": pulumi.String(p.domain), "policy": pulumi.String(string(n.DNS.Policy)), "ttl": pulumi.Int(nameTTL),
		"port": pulumi.Int(portOf(p.pins, n.ID)), "regions": regions,
	}, c, p.behind(n.ID))
	p.made[n.ID] = append(p.made[n.ID], s)
	return err
}

// domain is the application's name where it has none: one that never leaves a machine
// (RFC 6761).
func (l *Local) domain(t topology.Topology) string { return cmp.Or(l.Domain, t.App+".test") }

func (l *Local) putName(ctx context.Context, r engine.Request) error {
	in := r.Inputs
	z := &agent.Zone{Name: in["name"].StringValue(), Policy: in["policy"].StringValue(), TTL: time.Duration(integer(in["ttl"])) * time.Second}
	for _, v := range in["regions"].ArrayValue() {
		o := v.ObjectValue()
		users, err := netip.ParsePrefix(o["users"].StringValue())
		if err != nil {
			return err
		}
		region := agent.Region{Name: o["name"].StringValue(), Entry: o["entry"].StringValue(), Clients: users, Weight: integer(o["weight"])}
		for _, w := range o["ways"].ArrayValue() {
			w := w.ObjectValue()
			at, err := netip.ParseAddr(w["address"].StringValue())
			if err != nil {
				return err
			}
			region.Ways = append(region.Ways, agent.Way{To: w["to"].StringValue(), Address: at, RTT: time.Duration(integer(w["roundTrip"])) * time.Millisecond})
		}
		z.Regions = append(z.Regions, region)
	}
	return l.putEdge(ctx, agent.Edge{Name: r.Name, Node: in["node"].StringValue(), Kind: "dns", Port: integer(in["port"]), Tag: tag(r), Zone: z})
}

// nameServer is where the application's name is asked for, "" where it has none.
func nameServer(t topology.Topology, p Pins) string {
	for _, n := range t.OfKind(topology.DNS) {
		return fmt.Sprintf("127.0.0.1:%d", portOf(p, n.ID))
	}
	return ""
}

// lookup asks a name server where it leads users who come from somewhere, as their
// resolver would (RFC 7871). The address is not valid where there is no such name.
func lookup(ctx context.Context, server, name string, users netip.Prefix) (netip.Addr, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), dns.TypeA)
	q.SetEdns0(dns.DefaultMsgSize, false)
	o := q.IsEdns0()
	o.Option = append(o.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(users.Bits()), Address: users.Addr().AsSlice()})
	a, _, err := new(dns.Client).ExchangeContext(ctx, q, server)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, rr := range a.Answer {
		if a, ok := rr.(*dns.A); ok {
			at, _ := netip.AddrFromSlice(a.A.To4())
			return at, nil
		}
	}
	return netip.Addr{}, nil
}
