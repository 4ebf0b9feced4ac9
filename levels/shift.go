package levels

import (
	"slices"

	"github.com/scale-levels/scale/internal/topology"
)

// canaryWeight is the share of the traffic that a new pool gets first, in percent.
const canaryWeight = 10

// shiftWalk is a walk in which traffic moves from what serves to what is wanted,
// and nothing that serves changes under it.
func shiftWalk(now, wanted topology.Topology) []Step {
	var steps []Step
	if restarted, restarts := restart(now, wanted); restarts {
		steps, now = behindMaintenance(now, restarted), restarted
	}
	if back, retreats := retreat(now, wanted); retreats {
		steps, now = append(steps, Step{"retreat", "Send the traffic back to what served before", GateAnswers, back}), back
	}
	if len(steps) == 0 && equal(now, wanted) {
		return []Step{{"update", "Bring everything to what is wanted", GateAnswers, wanted}}
	}
	beside := expand(now, wanted)
	steps = append(steps, Step{"expand", "Start what is new beside what serves", GateHealthy, beside})
	if tried, moves := canary(beside, wanted); moves {
		steps = append(steps, Step{"canary", "Send a tenth of the traffic to what is new", GateSteady, tried})
	}
	return append(steps,
		Step{"shift", "Send the traffic to what is wanted", GateSteady, shift(beside, wanted)},
		Step{"contract", "Stop what no longer serves", GateAnswers, wanted})
}

func balanced(t topology.Topology) bool { return len(t.OfKind(topology.LoadBalancer)) > 0 }

// equal reports whether two topologies are the same but for what only words differ in.
func equal(a, b topology.Topology) bool {
	return a.Level == b.Level && slices.Equal(a.Links, b.Links) && slices.EqualFunc(a.Nodes, b.Nodes, topology.Node.Equal)
}

// restart is now with what of wanted cannot come beside it: a database that has to
// restart, or a single node's backend that takes requests and has no other colour.
// An entry that was left closed counts too.
func restart(now, wanted topology.Topology) (topology.Topology, bool) {
	t, needed := now.Clone(), false
	put := func(n topology.Node, behind []string) { t.Put(n, behind); needed = true }
	for _, n := range now.Clone().Nodes {
		switch w, ok := wanted.Node(n.ID); {
		case n.Entry != nil && n.Entry.Maintenance != nil:
			n.Entry.Maintenance = nil
			put(n, now.Behind(n.ID))
		case ok && n.Database != nil && !n.Stopped() && !w.Stopped() && !n.Equal(w):
			put(w, nil)
		case n.Backend != nil && direct(now, n.ID) && becomesOther(now, wanted, n.ID):
			for _, id := range wanted.Behind(n.ID) { // a store that comes with it
				s, _ := wanted.Node(id)
				put(s, nil)
			}
			put(w, wanted.Behind(n.ID))
		}
	}
	return t, needed
}

// direct reports whether an entry sends requests to a node itself.
func direct(t topology.Topology, id string) bool {
	return slices.ContainsFunc(t.OfKind(topology.Entry), func(e topology.Node) bool {
		return slices.ContainsFunc(e.Entry.Routes, func(r topology.Route) bool { return r.To == id })
	})
}

// retreat takes the traffic away from a pool that is to become something else:
// an earlier walk had begun to shift it there.
func retreat(now, wanted topology.Topology) (topology.Topology, bool) {
	t, needed := now.Clone(), false
	for _, n := range t.OfKind(topology.LoadBalancer) {
		for _, r := range n.LoadBalancer.Rules {
			i := slices.IndexFunc(r.Pools, func(s topology.Share) bool { return s.Weight > 0 && becomesOther(now, wanted, s.To) })
			best := slices.MaxFunc(r.Pools, func(a, b topology.Share) int { return a.Weight - b.Weight })
			if i < 0 || r.Pools[i].To == best.To {
				continue
			}
			needed = true
			for j := range r.Pools {
				r.Pools[j].Weight = 0
				if r.Pools[j].To == best.To {
					r.Pools[j].Weight = 100
				}
			}
		}
	}
	return t, needed
}

// becomesOther reports whether a pool runs something else in wanted.
func becomesOther(now, wanted topology.Topology, pool string) bool {
	n, _ := now.Node(pool)
	w, ok := wanted.Node(pool)
	return ok && n.Backend != nil && w.Backend != nil && w.Backend.Instances > 0 &&
		(!sameRelease(*n.Backend, *w.Backend) || !slices.Equal(now.Behind(pool), wanted.Behind(pool)))
}

// expand is now with all that wanted has besides, none of which takes traffic yet.
func expand(now, wanted topology.Topology) topology.Topology {
	t := now.Clone()
	for _, w := range wanted.Clone().Nodes {
		n, stands := now.Node(w.ID)
		behind := wanted.Behind(w.ID)
		switch {
		case !stands, n.Stopped() && !w.Stopped():
		case w.Backend != nil && w.Backend.Instances > 0 && !becomesOther(now, wanted, w.ID):
			w.Backend.Instances = max(n.Backend.Instances, w.Backend.Instances)
		case w.Backend != nil && w.Backend.Instances > 0:
		case w.Static != nil:
			w.Static.Servers = max(n.Static.Servers, w.Static.Servers)
		default:
			continue // it serves, or is to stop serving
		}
		t.Put(w, behind)
	}
	return t
}

// canary is a topology in which a new pool beside the old one takes a little of
// the traffic; false when no pool takes over from another.
func canary(beside, wanted topology.Topology) (topology.Topology, bool) {
	t, moves := shift(beside, wanted), false
	if !balanced(beside) {
		return t, false
	}
	t.Level = beside.Level
	for _, n := range t.OfKind(topology.LoadBalancer) {
		for _, r := range n.LoadBalancer.Rules {
			old := slices.IndexFunc(r.Pools, func(s topology.Share) bool { return s.Weight == 0 && weight(beside, s.To) > canaryWeight })
			if len(r.Pools) != 2 || old < 0 || weight(beside, r.Pools[1-old].To) > canaryWeight {
				continue
			}
			moves = true
			r.Pools[old].Weight, r.Pools[1-old].Weight = 100-canaryWeight, canaryWeight
		}
	}
	return t, moves
}

// shift is a topology whose entry and load balancer are those of wanted, while
// everything that served still stands.
func shift(beside, wanted topology.Topology) topology.Topology {
	t := beside.Clone()
	t.Level, t.Maintenance, t.Regions = wanted.Level, wanted.Maintenance, slices.Clone(wanted.Regions)
	for _, w := range wanted.Clone().Nodes {
		if w.Entry != nil || w.LoadBalancer != nil {
			t.Put(w, wanted.Behind(w.ID))
		}
	}
	return t
}
