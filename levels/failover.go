package levels

import (
	"fmt"
	"maps"
	"slices"

	"github.com/scale-levels/scale/internal/topology"
)

// Failover is the topology in which every database is led from a region that now
// follows: old leaders follow the new ones, and everybody else goes on. Where what
// stands cannot be made to follow another, anew, the next generation follows, and what
// led or followed before goes once that one stands.
func Failover(now topology.Topology, region string, anew bool) (topology.Topology, error) {
	if !slices.ContainsFunc(now.Regions, func(r topology.Region) bool { return r.Name == region }) {
		var names []string
		for _, r := range now.Regions {
			names = append(names, r.Name)
		}
		return now, &AppError{fmt.Sprintf("the environment has nothing in a region %q", region), fmt.Sprintf("its regions are %v", names)}
	}
	t, moved := now.Clone(), false
	for _, m := range t.OfKind(topology.Move) {
		if m.Move.Switched {
			return now, &AppError{fmt.Sprintf("the tables of %s are just being switched to %s", m.Move.Service, m.Move.To), "finish that first: 'scale up'"}
		}
		t.Remove(m.ID) // the copy is begun anew
	}
	for _, old := range now.OfKind(topology.Database) {
		if old.Replica() || old.Region == region {
			continue
		}
		i := slices.IndexFunc(t.Nodes, func(n topology.Node) bool {
			return n.Region == region && n.Database != nil && n.Database.Of == old.ID
		})
		if i < 0 && old.Fenced() { // another leads instead of it
			continue
		}
		if i < 0 {
			return now, &AppError{fmt.Sprintf("%s has no replica in %s", old.ID, region), "replicas come with level 4: 'scale up --level 4'"}
		}
		lead(&t, old.ID, t.Nodes[i].ID, anew)
		moved = true
	}
	if !moved {
		return now, &AppError{"the database is led from " + region + " already", "'scale status' shows who leads"}
	}
	return t, t.Validate()
}

// lead makes another node of a group of databases its leader.
func lead(t *topology.Topology, old, leader string, anew bool) {
	was, _ := t.Node(old)
	before := groupOf(*t, old)
	leads := *was.Database
	group := []string{leader} // by which its databases are known from now on
	for _, id := range before {
		n, _ := t.Node(id)
		if id == leader {
			n.Database.Of, n.Database.Standby, n.Database.Sync, n.Database.Automatic = "", leads.Standby, leads.Sync, leads.Automatic
			n.Database.Tables = leads.Tables
			t.Put(n, nil)
			continue
		}
		n.Database = &topology.DatabaseSpec{Engine: n.Database.Engine, Size: n.Database.Size, Service: n.Database.Service, Of: leader}
		if anew {
			t.Remove(n.ID)
			t.Renew(n.Name())
			n.ID, n.Generation = t.ID(n.Name())
		}
		t.Put(n, []string{leader})
		group = append(group, n.ID)
	}
	for _, n := range t.Clone().Nodes {
		if n.Runs() == nil || !slices.ContainsFunc(t.Behind(n.ID), func(id string) bool { return slices.Contains(before, id) }) {
			continue
		}
		behind := slices.DeleteFunc(t.Behind(n.ID), func(id string) bool { return slices.Contains(before, id) })
		for _, id := range group {
			if db, _ := t.Node(id); id == leader || db.Region == n.Region {
				behind = append(behind, id)
			}
		}
		t.Put(n, behind)
	}
}

// LeadMoves reports whether a database that follows is to lead. No level asks for that: a
// leader stays where it leads.
func LeadMoves(now, wanted topology.Topology) bool {
	return slices.ContainsFunc(wanted.OfKind(topology.Database), func(w topology.Node) bool {
		n, _ := now.Node(w.ID)
		return n.Replica() && !w.Replica()
	})
}

// failoverWalk brings the lead elsewhere: the old leader is fenced, so that there are
// never two; then the new one takes writes; then the old one follows from a fresh copy,
// and only then is it waited for. Where another generation follows, it comes beside what
// serves as everything new does.
func failoverWalk(now, wanted topology.Topology) []Step {
	fenced, promoted := now.Clone(), wanted.Clone()
	promoted.Nodes = slices.DeleteFunc(promoted.Nodes, func(n topology.Node) bool {
		_, stands := now.Node(n.ID)
		return n.Database != nil && !stands
	})
	promoted.Links = slices.DeleteFunc(promoted.Links, func(l topology.Link) bool {
		_, from := promoted.Node(l.From)
		_, to := promoted.Node(l.To)
		return !from || !to
	})
	for _, n := range now.Clone().OfKind(topology.Database) {
		w, stays := wanted.Node(n.ID)
		if !n.Replica() && (w.Replica() || !stays) {
			n.Database.Stopped, n.Database.Fenced, n.Database.Sync = true, true, false
			fenced.Put(n, now.Behind(n.ID))
			promoted.Put(n, nil)
		} else if !stays {
			promoted.Put(n, now.Behind(n.ID))
		}
	}
	for i, n := range promoted.Nodes {
		if was, _ := now.Node(n.ID); n.Database != nil && was.Replica() {
			promoted.Nodes[i].Database.Sync = false
		}
	}
	steps := []Step{
		{"fence", "Fence the old leader", GateFenced, fenced},
		{"promote", "Let the new leader take writes", GateAnswers, promoted},
	}
	if len(wanted.Generations) > 0 && !maps.Equal(now.Generations, wanted.Generations) {
		return append(steps, shiftWalk(promoted, wanted)...)
	}
	return append(steps, Step{"rejoin", "Copy the new leader to the old one, which follows it", GateCaughtUp, wanted})
}
