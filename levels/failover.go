package levels

import (
	"fmt"
	"slices"

	"github.com/scale-levels/scale/internal/topology"
)

// Failover is the topology in which every database is led from a region that now
// follows: old leaders follow the new ones, and everybody else goes on.
func Failover(now topology.Topology, region string) (topology.Topology, error) {
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
		lead(&t, old.ID, t.Nodes[i].ID)
		moved = true
	}
	if !moved {
		return now, &AppError{"the database is led from " + region + " already", "'scale status' shows who leads"}
	}
	return t, t.Validate()
}

// lead makes another node of a group of databases its leader.
func lead(t *topology.Topology, old, leader string) {
	group := []string{old}
	was, _ := t.Node(old)
	for _, n := range t.Nodes {
		if n.Database != nil && n.Database.Of == old {
			group = append(group, n.ID)
		}
	}
	leads := *was.Database
	for _, n := range t.Clone().Nodes {
		switch {
		case n.ID == leader:
			n.Database.Of, n.Database.Standby, n.Database.Sync, n.Database.Automatic = "", leads.Standby, leads.Sync, leads.Automatic
			n.Database.Tables = leads.Tables
			t.Put(n, nil)
		case slices.Contains(group, n.ID):
			n.Database = &topology.DatabaseSpec{Engine: n.Database.Engine, Size: n.Database.Size, Service: n.Database.Service, Of: leader}
			t.Put(n, []string{leader})
		case n.Runs() != nil && slices.ContainsFunc(t.Behind(n.ID), func(id string) bool { return slices.Contains(group, id) }):
			behind := slices.DeleteFunc(t.Behind(n.ID), func(id string) bool { return slices.Contains(group, id) })
			behind = append(behind, leader)
			for _, id := range group {
				if db, _ := t.Node(id); id != leader && db.Region == n.Region {
					behind = append(behind, id)
				}
			}
			t.Put(n, behind)
		}
	}
}

// failoverWalk brings the lead elsewhere: the old leader is fenced, so that there are
// never two; then the new one takes writes; then the old one follows from a fresh copy,
// and only then is it waited for.
func failoverWalk(now, wanted topology.Topology) []Step {
	fenced, promoted := now.Clone(), wanted.Clone()
	for _, n := range now.Clone().OfKind(topology.Database) {
		w, _ := wanted.Node(n.ID)
		if n.Replica() || !w.Replica() {
			continue
		}
		n.Database.Stopped, n.Database.Fenced, n.Database.Sync = true, true, false
		fenced.Put(n, now.Behind(n.ID))
		promoted.Put(n, nil)
	}
	for i, n := range promoted.Nodes {
		if was, _ := now.Node(n.ID); n.Database != nil && was.Replica() {
			promoted.Nodes[i].Database.Sync = false
		}
	}
	return []Step{
		{"fence", "Fence the old leader", GateFenced, fenced},
		{"promote", "Let the new leader take writes", GateAnswers, promoted},
		{"rejoin", "Copy the new leader to the old one, which follows it", GateCaughtUp, wanted},
	}
}
