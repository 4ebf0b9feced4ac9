package topology

import (
	"maps"
	"slices"
)

// Clone is a deep copy: a change to it never shows in n.
func (n Node) Clone() Node {
	if n.Entry != nil {
		e := *n.Entry
		e.Routes = slices.Clone(e.Routes)
		if e.Maintenance != nil {
			m := *e.Maintenance
			e.Maintenance = &m
		}
		n.Entry = &e
	}
	n.Backend = n.Backend.clone()
	n.Worker = n.Worker.clone()
	n.Job = n.Job.clone()
	if n.LoadBalancer != nil {
		lb := LoadBalancerSpec{Rules: slices.Clone(n.LoadBalancer.Rules)}
		for i := range lb.Rules {
			lb.Rules[i].Pools = slices.Clone(lb.Rules[i].Pools)
		}
		n.LoadBalancer = &lb
	}
	n.Static = clonePtr(n.Static)
	if n.Database = clonePtr(n.Database); n.Database != nil {
		n.Database.Tables = slices.Clone(n.Database.Tables)
	}
	if n.Move = clonePtr(n.Move); n.Move != nil {
		n.Move.Tables = slices.Clone(n.Move.Tables)
	}
	n.Files = clonePtr(n.Files)
	n.Sessions = clonePtr(n.Sessions)
	n.Queue = clonePtr(n.Queue)
	n.Pooler = clonePtr(n.Pooler)
	n.Cache = clonePtr(n.Cache)
	if n.DNS = clonePtr(n.DNS); n.DNS != nil {
		n.DNS.Weights = maps.Clone(n.DNS.Weights)
	}
	if n.CDN != nil {
		c := *n.CDN
		c.Origins = slices.Clone(c.Origins)
		n.CDN = &c
	}
	return n
}

func (b *BackendSpec) clone() *BackendSpec {
	c := clonePtr(b)
	if c != nil {
		c.Command, c.Migrate, c.Secrets = slices.Clone(b.Command), slices.Clone(b.Migrate), slices.Clone(b.Secrets)
		c.Env, c.Calls, c.Routes = maps.Clone(b.Env), slices.Clone(b.Calls), slices.Clone(b.Routes)
	}
	return c
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
