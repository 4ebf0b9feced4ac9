package levels

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/topology"
)

// move is a service whose tables go from one database to another, by their leaders.
type move struct {
	service, from, to string
	tables            []string
}

// movingWalk is a walk in which tables change their database; nil when none do. What
// comes before and after is a walk of its own, to and from a topology in which the
// service uses the shared database and everything else is as it is wanted.
func movingWalk(now, wanted topology.Topology) []Step {
	if begun, ok := switching(now, wanted); ok {
		return append([]Step{begun}, Walk(Settled(now), wanted)...)
	}
	back, forth := moves(now, wanted)
	if len(back)+len(forth) == 0 {
		return nil
	}
	var steps []Step
	t := now
	for _, m := range back {
		next := returned(t, wanted, m)
		steps, t = append(steps, m.steps(t, next)...), next
	}
	before := wanted
	for _, m := range forth {
		before = postponed(before, t, m)
	}
	steps, t = append(steps, Walk(t, before)...), before
	for _, m := range forth {
		next := arrived(t, wanted, m)
		steps, t = append(steps, m.steps(t, next)...), next
	}
	return steps
}

// switching is the step that an interrupted walk was at when the writes to a service's
// tables were about to go elsewhere, or had just gone: wherever the walk leads, it is
// finished before anything else.
func switching(now, wanted topology.Topology) (Step, bool) {
	for _, n := range now.OfKind(topology.Move) {
		if _, stays := wanted.Node(n.Move.To); n.Move.Switched && stays {
			return Step{"finish-" + n.Move.Service, switchTitle(*n.Move), GateSteady, now}, true
		}
	}
	return Step{}, false
}

func switchTitle(m topology.MoveSpec) string {
	return fmt.Sprintf("Count what %s has, and let %s take the writes", m.Service, m.To)
}

// Settled is a topology without what only a move needed: the tables are where it says.
func Settled(t topology.Topology) topology.Topology {
	t = t.Clone()
	for _, n := range t.OfKind(topology.Move) {
		t.Remove(n.ID)
	}
	return t
}

// moves are the services that go back to the shared database, and those that go to their
// own, with their tables. Where nobody said which these are, none move: Unseen tells.
func moves(now, wanted topology.Topology) (back, forth []move) {
	for _, w := range wanted.OfKind(topology.Database) {
		if w.Database.Service == "" || w.Replica() || w.Fenced() || wanted.Level == 0 {
			continue
		}
		n, stands := now.Node(w.ID)
		has := stands && current(now, n)
		switch shared := leaderOf(wanted, ""); {
		case shared == "" || !holds(now, shared):
		case has && !n.Stopped() && w.Stopped() && len(w.Database.Tables) > 0:
			back = append(back, move{n.Database.Service, n.ID, shared, w.Database.Tables})
		case !has && !w.Stopped() && !w.Database.Stale && len(w.Database.Tables) > 0:
			forth = append(forth, move{w.Database.Service, shared, w.ID, w.Database.Tables})
		}
	}
	return back, forth
}

// current reports whether a service's own database has what the service wrote last.
func current(t topology.Topology, n topology.Node) bool {
	return !n.Database.Stale && !(n.Stopped() && t.Level > 0)
}

func holds(t topology.Topology, id string) bool {
	n, ok := t.Node(id)
	return ok && n.HoldsData()
}

// withTables says of services' own databases which tables they have of the shared one,
// as scale.yaml does; one that it no longer names keeps what was said.
func withTables(t topology.Topology, app config.App) topology.Topology {
	for _, n := range t.Clone().OfKind(topology.Database) {
		for _, svc := range app.Services {
			if n.Database.Service == svc.Name && !n.Replica() && len(svc.Tables) > 0 {
				n.Database.Tables = svc.Tables
				t.Put(n, t.Behind(n.ID))
			}
		}
	}
	return t
}

// leaderOf is the database of a service that takes writes, "" when none does. The service
// "" stands for the shared one.
func leaderOf(t topology.Topology, service string) string {
	for _, n := range t.OfKind(topology.Database) {
		if n.Database.Service == service && !n.Replica() && !n.Stopped() {
			return n.ID
		}
	}
	return ""
}

// Unseen is a database whose data an application would not see after a walk.
type Unseen struct{ Database, What string }

// NotSeen are those: a service's own that a lower level does not use, and one that begins
// empty while what the service has written stays in the shared one.
func NotSeen(now, wanted topology.Topology) []Unseen {
	var us []Unseen
	back, forth := moves(now, wanted)
	moving := func(id string) bool {
		return slices.ContainsFunc(slices.Concat(back, forth), func(m move) bool { return m.from == id || m.to == id })
	}
	for _, w := range wanted.OfKind(topology.Database) {
		if w.Database.Service == "" || w.Replica() || wanted.Level == 0 || moving(w.ID) {
			continue
		}
		n, stands := now.Node(w.ID)
		has := stands && current(now, n)
		switch {
		case has && w.Stopped() && n.Stopped():
			us = append(us, Unseen{w.ID, fmt.Sprintf("%s holds what %s has written, and level %d uses the shared database, where that is not; go to level %d first, and from there", w.ID, w.Database.Service, wanted.Level, ownFrom)})
		case has && w.Stopped():
			us = append(us, Unseen{w.ID, fmt.Sprintf("%s holds what %s has written, and level %d uses the shared database, where that is not; it stays and is not seen%s", w.ID, w.Database.Service, wanted.Level, nameTables(w))})
		case has && !w.Stopped() && len(n.Database.Tables) > 0 && len(added(n, w)) > 0:
			us = append(us, Unseen{w.ID, fmt.Sprintf("%s would not hold %s, which stays in the shared database: the tables of a service move together; say database: shared first, and own again after that", w.ID, strings.Join(added(n, w), ", "))})
		case !has && !w.Stopped() && !w.Database.Stale && holds(now, leaderOf(wanted, "")):
			us = append(us, Unseen{w.ID, fmt.Sprintf("%s would not hold what %s has written to the shared database until now, which stays there%s", w.ID, w.Database.Service, nameTables(w))})
		}
	}
	return us
}

// added are the tables that a database is to have and did not take along.
func added(n, w topology.Node) []string {
	return slices.DeleteFunc(slices.Clone(w.Database.Tables), func(t string) bool { return slices.Contains(n.Database.Tables, t) })
}

func nameTables(n topology.Node) string {
	return fmt.Sprintf("; it moves when services.%s.tables names its tables", n.Database.Service)
}

// steps of a move, between two topologies that differ only in the service's pools and
// database: copy → beside → switch → contract. Its traffic goes over all at once, in all
// regions: there is one database that takes the writes.
func (m move) steps(now, wanted topology.Topology) []Step {
	copied := now.Clone()
	to, _ := wanted.Node(m.to)
	if stands, ok := now.Node(m.to); !ok || stands.Stopped() {
		to = to.Clone()
		to.Database.Stale = true
		copied.Put(to, wanted.Behind(to.ID))
	}
	copied, _ = replicate(copied, wanted)
	node := topology.Node{ID: id(m.service+"-move", to.Region), Kind: topology.Move, Region: to.Region, Generation: 1, Exposure: topology.Private,
		Move: &topology.MoveSpec{Service: m.service, Tables: m.tables, From: m.from, To: m.to}}
	copied.Put(node, []string{m.from, m.to})

	beside := expand(copied, wanted)
	switched := beside
	for _, r := range rollout(beside, wanted) {
		switched = shift(switched, wanted, r)
	}
	node.Move.Switched = true
	switched.Put(node, []string{m.from, m.to})
	setStale(&switched, m.to, false)
	setStale(&switched, m.from, true)
	return []Step{
		{"copy-" + m.service, fmt.Sprintf("Copy %s from %s to %s, and keep them in step", strings.Join(m.tables, ", "), m.from, m.to), GateInStep, copied},
		{"beside-" + m.service, fmt.Sprintf("Start %s on %s beside what serves", m.service, m.to), GateHealthy, beside},
		{"switch-" + m.service, switchTitle(*node.Move), GateSteady, switched},
		{"contract-" + m.service, fmt.Sprintf("Stop what no longer serves %s; its old tables stay in %s, closed to writes", m.service, m.from), GateAnswers, wanted},
	}
}

// setStale says of a service's own database whether its service keeps its data elsewhere.
func setStale(t *topology.Topology, id string, stale bool) {
	if n, ok := t.Node(id); ok && n.Database.Service != "" {
		n = n.Clone()
		n.Database.Stale = stale
		t.Put(n, t.Behind(id))
	}
}

// returned is now with a service on the shared database: as it is wanted there, or as it
// runs now.
func returned(now, wanted topology.Topology, m move) topology.Topology {
	t := Settled(rehomed(now, m.service, m.from, m.to))
	setStale(&t, m.from, true)
	adopt(&t, wanted, m.service)
	return t
}

// postponed is wanted with a service on the shared database still: as it runs now where
// it does, so that nothing of it changes before its database does.
func postponed(wanted, now topology.Topology, m move) topology.Topology {
	t := rehomed(wanted, m.service, m.to, m.from)
	for _, n := range groupOf(t, m.to) {
		t.Remove(n)
	}
	for _, n := range slices.Concat(groupOf(now, m.to), movesOf(now, m.service)) {
		node, _ := now.Node(n)
		if slices.ContainsFunc(t.Regions, func(r topology.Region) bool { return r.Name == node.Region }) {
			t.Put(node, now.Behind(n))
		}
	}
	adopt(&t, now, m.service)
	return t
}

// arrived is now with a service and its database as they are wanted.
func arrived(now, wanted topology.Topology, m move) topology.Topology {
	t := Settled(now)
	for _, n := range groupOf(t, m.to) {
		t.Remove(n)
	}
	for _, n := range groupOf(wanted, m.to) {
		node, _ := wanted.Node(n)
		t.Put(node, wanted.Behind(n))
	}
	adopt(&t, wanted, m.service)
	return t
}

// adopt takes over a service's pools in the regions in which it serves in both. The one
// that has most of the traffic in from gets all of it.
func adopt(t *topology.Topology, from topology.Topology, service string) {
	for _, region := range t.Regions {
		pools := poolsOf(from, service, region.Name)
		live := livePool(from, pools)
		if live == "" || livePool(*t, poolsOf(*t, service, region.Name)) == "" {
			continue
		}
		for _, id := range pools {
			n, _ := from.Node(id)
			t.Put(n, from.Behind(id))
			weigh(t, id, 0)
		}
		weigh(t, live, 100)
	}
}

// rehomed is a topology in which a service's traffic goes to its pools of the other
// colour, and these use another database.
func rehomed(t topology.Topology, service, from, to string) topology.Topology {
	t = t.Clone()
	for _, region := range t.Regions {
		pools := poolsOf(t, service, region.Name)
		i := slices.Index(pools, livePool(t, pools))
		if i < 0 {
			continue
		}
		old, _ := t.Node(pools[i])
		next, _ := t.Node(pools[1-i])
		behind := slices.DeleteFunc(t.Behind(old.ID), func(id string) bool { return slices.Contains(groupOf(t, from), id) })
		for _, id := range groupOf(t, to) {
			if n, _ := t.Node(id); !n.Replica() || n.Region == region.Name {
				behind = append(behind, id)
			}
		}
		slices.Sort(behind)
		old, next = old.Clone(), next.Clone()
		if next.Backend.Instances == 0 || !slices.Equal(t.Behind(next.ID), behind) { // it may run already
			color := next.Backend.Color
			spec := *old.Clone().Backend
			next.Backend = &spec
			next.Backend.Color = color
		}
		old.Backend.Instances = 0
		t.Put(old, behind)
		t.Put(next, behind)
		weigh(&t, old.ID, 0)
		weigh(&t, next.ID, 100)
	}
	return t
}

// poolsOf are a service's pools in a region, sorted.
func poolsOf(t topology.Topology, service, region string) []string {
	var ids []string
	for _, n := range t.OfKind(topology.Backend) {
		if n.Backend.Service == service && n.Region == region {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// livePool is the one that has most of the traffic, "" when none has any.
func livePool(t topology.Topology, pools []string) string {
	live, most := "", 0
	for _, id := range pools {
		if w := weight(t, id); w > most {
			live, most = id, w
		}
	}
	return live
}

// groupOf are a leader and those that follow it.
func groupOf(t topology.Topology, leader string) []string {
	var ids []string
	for _, n := range t.OfKind(topology.Database) {
		if n.ID == leader || n.Database.Of == leader {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// movesOf are the moves of a service's tables.
func movesOf(t topology.Topology, service string) []string {
	var ids []string
	for _, n := range t.OfKind(topology.Move) {
		if n.Move.Service == service {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// weigh gives a pool its share of the traffic, in every rule that knows it.
func weigh(t *topology.Topology, pool string, weight int) {
	for _, n := range t.Clone().OfKind(topology.LoadBalancer) {
		for _, r := range n.LoadBalancer.Rules {
			for i := range r.Pools {
				if r.Pools[i].To == pool {
					r.Pools[i].Weight = weight
				}
			}
		}
		t.Put(n, t.Behind(n.ID))
	}
}
