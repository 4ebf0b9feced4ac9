//go:build unix

package local

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// baseOf is what the databases of a group have in common: "db" of db-use1-g1.
func baseOf(n topology.Node) string {
	parts := strings.Split(n.ID, "-")
	return strings.Join(parts[:len(parts)-2], "-")
}

// group are the databases that are copies of one another, or were.
func group(t topology.Topology, n topology.Node) []topology.Node {
	return slices.DeleteFunc(t.OfKind(topology.Database), func(o topology.Node) bool { return baseOf(o) != baseOf(n) })
}

// The ways to who leads a group, and to whom a region reads from, are links of their own
// that stay when the lead moves: no application has to be told.
func leaderLink(base, region string) string { return base + "-leader-from-" + region }
func readerLink(base, region string) string { return base + "-reader-from-" + region }

// replicated reports whether a database has copies, so that the lead can move.
func replicated(t topology.Topology, n topology.Node) bool { return len(group(t, n)) > 1 }

// leads is who leads a group, or would if it were not fenced.
func leads(g []topology.Node) (leader topology.Node) {
	for _, n := range g {
		if !n.Replica() && (leader.ID == "" || leader.Stopped()) {
			leader = n
		}
	}
	return leader
}

// reads is whom a region reads from: its own database, or the nearest that runs.
func reads(g []topology.Node, region string) topology.Node {
	up := slices.DeleteFunc(slices.Clone(g), topology.Node.Stopped)
	if len(up) == 0 {
		return leads(g)
	}
	return slices.MinFunc(up, func(a, b topology.Node) int { return int(roundTrip(region, a.Region) - roundTrip(region, b.Region)) })
}

// way is a link to one of a group's databases.
type way struct {
	name, from string
	to         topology.Node
}

// waysOf are those of a replicated group, asked by its first node; none by the others.
func waysOf(t topology.Topology, n topology.Node) []way {
	g := group(t, n)
	if n.Database == nil || len(g) < 2 || g[0].ID != n.ID {
		return nil
	}
	var ws []way
	for _, r := range t.Regions {
		ws = append(ws, way{leaderLink(baseOf(n), r.Name), r.Name, leads(g)}, way{readerLink(baseOf(n), r.Name), r.Name, reads(g, r.Name)})
	}
	return ws
}

// ways makes the links to the databases of each replicated group.
func (p *program) ways() error {
	for _, n := range p.t.OfKind(topology.Database) {
		ws := waysOf(p.t, n)
		if len(ws) == 0 {
			continue
		}
		base := baseOf(n)
		c := &component{}
		if err := p.ctx.RegisterComponentResource("scale:node:ways", base+"-ways", c); err != nil {
			return err
		}
		var after, made []pulumi.Resource
		for _, o := range group(p.t, n) {
			after = append(after, p.made[o.ID]...)
		}
		for _, w := range ws {
			l, err := p.resource(typeLink, w.name, pulumi.Map{
				"node": pulumi.String(base), "from": pulumi.String(w.from), "host": pulumi.String("127.0.0.1"), "port": pulumi.Int(portOf(p.pins, w.name)),
				"to": pulumi.String(fmt.Sprintf("127.0.0.1:%d", portOf(p.pins, w.to.ID))), "roundTrip": pulumi.Int(int(roundTrip(w.from, w.to.Region).Milliseconds())),
			}, c, after)
			if err != nil {
				return err
			}
			made = append(made, l)
		}
		for _, o := range group(p.t, n) {
			p.made[o.ID] = append(p.made[o.ID], made...)
		}
		if err := p.standbys(group(p.t, n), c, after); err != nil {
			return err
		}
	}
	return p.arbitration()
}

// databaseEnvironment tells a backend where it writes and where it reads: past the pool of
// connections too, for what one of these cannot do.
func (p *program) databaseEnvironment(n topology.Node, env pulumi.Map) {
	poolers := p.t.LinkedFrom(n.ID, topology.Pooler)
	for _, db := range p.t.LinkedFrom(n.ID, topology.Database) {
		password := p.pins[passwordKey(leaderOf(db), appUser)]
		url := func(port int, user, name string) pulumi.StringOutput {
			return pulumi.ToSecret(pulumi.String(databaseURL(port, user, password, name))).(pulumi.StringOutput)
		}
		writes, reads := p.portsOf(db, n.Region)
		env["DATABASE_URL"], env["DATABASE_REPLICA_URL"] = url(writes, appUser, appName), url(reads, appUser, appName)
		for _, pooler := range poolers {
			port, base := portOf(p.pins, pooler.ID), baseOf(db)
			env["DATABASE_DIRECT_URL"], env["DATABASE_POOL"] = env["DATABASE_URL"], pulumi.String(pooler.Pooler.Mode)
			env["DATABASE_URL"], env["DATABASE_REPLICA_URL"] = url(port, base, base), url(port, base, readerOf(base))
		}
	}
}

// portsOf are those by which a region writes to a database and reads from it; without
// replicas the leader is read from too.
func (p *program) portsOf(db topology.Node, region string) (writes, reads int) {
	if !replicated(p.t, db) {
		port := portFrom(p.pins, region, db)
		return port, port
	}
	base := baseOf(db)
	return portOf(p.pins, leaderLink(base, region)), portOf(p.pins, readerLink(base, region))
}
