package program

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// TTL is how long the application's name may be remembered, in seconds.
const TTL = 60

// entry makes the record of the application's name, in the home region: it leads
// to the machine, to the load balancer or to the CDN. It is one record at every
// level, with its set identifier and policy from the first on, so that where it
// leads changes in place.
func (p *program) entry(n topology.Node, c *node) error {
	if n.Region != p.t.Home() {
		return nil // the CDN leads there
	}
	args := &route53.RecordArgs{ZoneId: p.zone.zone.ZoneId, Name: str(p.s.Domain), Type: str("A"), SetIdentifier: str(c.code),
		LatencyRoutingPolicies: route53.RecordLatencyRoutingPolicyArray{route53.RecordLatencyRoutingPolicyArgs{Region: str(n.Region)}}}
	switch to := p.leads(n); {
	case to.DNS != nil:
		d := p.edges[to.DNS.To].distribution
		args.Aliases = alias(d.DomainName, d.HostedZoneId)
	case to.LoadBalancer != nil:
		args.Aliases = alias(p.fronts[n.Region].lb.DnsName, p.fronts[n.Region].lb.ZoneId)
	default:
		args.Ttl, args.Records = num(TTL), strs{p.hosts[n.Region].ip.PublicIp}
	}
	_, err := route53.NewRecord(p.ctx, n.ID, args, c.in()...)
	return err
}

// leads is what the application's name leads to: the CDN where a name says so,
// else what the entry's routes do.
func (p *program) leads(entry topology.Node) topology.Node {
	for _, n := range p.t.OfKind(topology.DNS) {
		return n
	}
	for _, r := range entry.Entry.Routes {
		if to, _ := p.t.Node(r.To); to.LoadBalancer != nil {
			return to
		}
	}
	return topology.Node{}
}

func alias(name, zone pulumi.StringOutput) route53.RecordAliasArray {
	return route53.RecordAliasArray{route53.RecordAliasArgs{Name: name, ZoneId: zone, EvaluateTargetHealth: yes(false)}}
}
