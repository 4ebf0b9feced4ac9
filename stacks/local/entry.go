//go:build unix

package local

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
	"github.com/scale-levels/scale/templates"
)

// entry is the public address. It comes last: what it sends requests to stands.
func (p *program) entry(n topology.Node, c pulumi.Resource) error {
	var routes pulumi.Array
	for _, r := range n.Entry.Routes {
		routes = append(routes, pulumi.Map{"path": pulumi.String(r.Path), "to": pulumi.String(r.To)})
	}
	in := pulumi.Map{"node": pulumi.String(n.ID), "port": pulumi.Int(portOf(p.pins, n.ID)), "routes": routes}
	if host := address(p.pins, n.Region, n.Region); host != "127.0.0.1" {
		in["host"] = pulumi.String(host)
	}
	if m := n.Entry.Maintenance; m != nil {
		in["maintenance"] = pulumi.Map{"page": pulumi.String(m.Page), "retryAfter": pulumi.Int(m.RetryAfter)}
	}
	e, err := p.resource(typeEntry, n.ID, in, c, p.behind(n.ID))
	if err != nil {
		return err
	}
	p.made[n.ID] = append(p.made[n.ID], e)
	return p.public(n, c)
}

func (l *Local) putEntry(ctx context.Context, r engine.Request) error {
	in := r.Inputs
	e := agent.Edge{Name: r.Name, Node: in["node"].StringValue(), Kind: "entry", Port: integer(in["port"]), Tag: tag(r)}
	if h := in["host"]; h.IsString() {
		e.Host = h.StringValue()
	}
	for _, v := range in["routes"].ArrayValue() {
		o := v.ObjectValue()
		e.Routes = append(e.Routes, agent.Route{Path: o["path"].StringValue(), To: o["to"].StringValue()})
	}
	if m := in["maintenance"]; m.IsObject() {
		page, err := maintenancePage(m.ObjectValue()["page"].StringValue())
		if err != nil {
			return err
		}
		e.Maintenance = &agent.Maintenance{Page: page, RetryAfter: int(m.ObjectValue()["retryAfter"].NumberValue())}
	}
	return l.putEdge(ctx, e)
}

// balancer is the load balancer behind the entry: rules and weights, which the
// agent follows from one request to the next.
func (p *program) balancer(n topology.Node, c pulumi.Resource) error {
	var rules pulumi.Array
	for _, r := range n.LoadBalancer.Rules {
		var pools pulumi.Array
		for _, s := range r.Pools {
			pools = append(pools, pulumi.Map{"to": pulumi.String(s.To), "color": pulumi.String(s.Color), "weight": pulumi.Int(s.Weight)})
		}
		rule := pulumi.Map{"path": pulumi.String(r.Path), "pools": pools}
		if l := r.Limits; l != (topology.Limits{}) {
			rule["limits"] = pulumi.Map{"timeout": pulumi.Int(l.Timeout), "attempts": pulumi.Int(l.Attempts), "openAfter": pulumi.Int(l.OpenAfter), "openFor": pulumi.Int(l.OpenFor)}
		}
		rules = append(rules, rule)
	}
	b, err := p.resource(typeBalancer, n.ID, pulumi.Map{"node": pulumi.String(n.ID), "rules": rules}, c, p.behind(n.ID))
	p.made[n.ID] = append(p.made[n.ID], b)
	return err
}

func (l *Local) putBalancer(ctx context.Context, r engine.Request) error {
	e := agent.Edge{Name: r.Name, Node: r.Inputs["node"].StringValue(), Kind: string(topology.LoadBalancer), Tag: tag(r)}
	for _, v := range r.Inputs["rules"].ArrayValue() {
		o := v.ObjectValue()
		rule := agent.Rule{Path: o["path"].StringValue()}
		for _, s := range o["pools"].ArrayValue() {
			s := s.ObjectValue()
			rule.Pools = append(rule.Pools, agent.Share{To: s["to"].StringValue(), Color: s["color"].StringValue(), Weight: int(s["weight"].NumberValue())})
		}
		if l := o["limits"]; l.IsObject() {
			v := l.ObjectValue()
			rule.Limits = agent.Limits{Timeout: time.Duration(integer(v["timeout"])) * time.Second, Attempts: integer(v["attempts"]),
				OpenAfter: integer(v["openAfter"]), OpenFor: time.Duration(integer(v["openFor"])) * time.Second}
		}
		e.Rules = append(e.Rules, rule)
	}
	return l.putEdge(ctx, e)
}

// maintenancePage is the project's own page, or ours.
func maintenancePage(file string) (string, error) {
	if file == "" {
		return templates.MaintenancePage()
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", &Error{What: fmt.Sprintf("the maintenance page %s cannot be read", file), Err: err, Hint: "'maintenance.page' is relative to scale.yaml"}
	}
	return string(b), nil
}

func integer(v resource.PropertyValue) int { return int(v.NumberValue()) }

func (l *Local) putEdge(ctx context.Context, e agent.Edge) error {
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	return c.PutEdge(ctx, e)
}
