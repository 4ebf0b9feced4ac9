package levels

import (
	"github.com/scale-levels/scale/internal/topology"
)

// Gate is what must hold after a step before the next one starts.
type Gate string

// The gates.
const (
	GateNone     Gate = ""
	GateClosed   Gate = "closed"    // the public address answers with the maintenance page
	GateHealthy  Gate = "healthy"   // every instance of every backend answers its health path
	GateAnswers  Gate = "answers"   // the public address answers, through the new path
	GateSteady   Gate = "steady"    // it answers with no more errors than before the step
	GateStopped  Gate = "stopped"   // nothing but data is left
	GateEmpty    Gate = "empty"     // nothing is left
	GateCaughtUp Gate = "caught-up" // every replica is less than five seconds behind its leader
	GateInStep   Gate = "in-step"   // what is copied to another database follows there
	GateFenced   Gate = "fenced"    // who led takes no writes, and who will lead has all that it had
)

// Step is one engine update of a walk: the whole topology as it should stand
// after it, and the gate that says that it does.
type Step struct {
	ID, Title string
	Gate      Gate
	Topology  topology.Topology
}

// Walk is how to come from the topology that stands to the one that is wanted.
// It always has at least one step, since what really stands may differ from what
// is recorded; a step that changes nothing is dropped when the walk is planned.
//
// Where a load balancer stands or comes, nothing that serves is touched: expand
// (old and new side by side, traffic on old) → canary → shift (traffic on new) →
// contract (only new). Without one, a change of a backend happens behind the
// maintenance page: close → change → open, and so does a restart of the database
// at every level. An environment whose entry does not stand has nothing to close.
//
// Where a service's tables move to another database, they do so by themselves, before
// everything else on the way back to the shared one, after it on the way to its own.
func Walk(now, wanted topology.Topology) []Step {
	if steps := movingWalk(now, wanted); len(steps) > 0 {
		return steps
	}
	switch {
	case LeadMoves(now, wanted):
		return failoverWalk(now, wanted)
	case len(wanted.Nodes) == 0 && len(now.Nodes) > 0:
		down := Down(now)
		steps := append(disarm(now, down), Step{"stop", "Stop everything; the data stays", GateStopped, down})
		for _, s := range disarm(down, wanted) {
			s.ID = "disarm-data"
			steps = append(steps, s)
		}
		return append(steps, Step{"delete", "Delete the data", GateEmpty, wanted})
	case wanted.Level == 0:
		return append(disarm(now, wanted), Step{"stop", "Stop everything; the data stays", GateStopped, wanted})
	case !serves(now):
		return []Step{{"create", "Make what is missing", GateAnswers, wanted}}
	case balanced(now) || balanced(wanted):
		return shiftWalk(now, wanted)
	case needsDowntime(now, wanted):
		return behindMaintenance(now, wanted)
	default:
		return []Step{{"update", "Bring everything to what is wanted", GateAnswers, wanted}}
	}
}

// behindMaintenance changes what stands while the maintenance page answers.
func behindMaintenance(now, wanted topology.Topology) []Step {
	return []Step{
		{"close", "Answer with the maintenance page", GateClosed, closed(now, wanted)},
		{"change", "Change what stands behind the entry", GateHealthy, closed(wanted, wanted)},
		{"open", "Answer again", GateAnswers, wanted},
	}
}

// disarm is a step that takes its protection from what the next step deletes, by
// itself, so that nothing else can happen under it; none when nothing that is
// protected goes.
func disarm(now, wanted topology.Topology) []Step {
	t, needed := now.Clone(), false
	for i, n := range t.Nodes {
		if _, stays := wanted.Node(n.ID); !stays && (n.HoldsData() || n.Kind == topology.LoadBalancer) {
			t.Nodes[i].Disarmed, needed = true, true
		}
	}
	if !needed {
		return nil
	}
	return []Step{{"disarm", "Take the protection from what is to be deleted", GateNone, t}}
}

// serves reports whether a public address stands.
func serves(t topology.Topology) bool { return len(t.OfKind(topology.Entry)) > 0 }

// needsDowntime reports whether a node behind the entry changes so that it
// restarts, or the entry was left closed.
func needsDowntime(now, wanted topology.Topology) bool {
	for _, n := range now.Nodes {
		w, ok := wanted.Node(n.ID)
		switch n.Kind {
		case topology.Backend, topology.Database:
			if !ok || !same(n, w) {
				return true
			}
		case topology.Entry:
			if n.Entry.Maintenance != nil {
				return true
			}
		}
	}
	for _, w := range wanted.Nodes {
		if _, ok := now.Node(w.ID); !ok && (w.Kind == topology.Backend || w.Kind == topology.Database) {
			return true
		}
	}
	return false
}

// same reports whether two nodes say the same of what runs, so that coming from
// one to the other restarts nothing. A standby comes and goes beside its leader, and so
// does whom it waits for.
func same(a, b topology.Node) bool {
	a.Disarmed, b.Disarmed = false, false
	if a.Database != nil && b.Database != nil {
		d := *a.Database
		d.Standby, d.Sync, d.Automatic = b.Database.Standby, b.Database.Sync, b.Database.Automatic
		d.Tables, d.Stale = b.Database.Tables, b.Database.Stale
		a.Database = &d
	}
	return a.Equal(b)
}

// closed is t with every entry in maintenance; the page is that of the wanted topology.
func closed(t, wanted topology.Topology) topology.Topology {
	c := t.Clone()
	for i, n := range c.Nodes {
		if n.Entry == nil {
			continue
		}
		m := wanted.Maintenance
		c.Nodes[i].Entry.Maintenance = &m
	}
	return c
}
