package levels

import (
	"slices"

	"github.com/scale-levels/scale/internal/config"
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
	if copied, copies := replicate(now, wanted); copies {
		steps, now = append(steps, Step{"replicate", "Start replicas of the databases", GateCaughtUp, copied}), copied
	}
	beside := expand(now, wanted)
	steps = append(steps, Step{"expand", "Start what is new beside what serves", GateHealthy, beside})
	t := beside
	for _, region := range rollout(beside, wanted) {
		in, to := "", "" // of a walk in one region alone
		if len(beside.Regions) > 1 {
			in, to = "-"+config.RegionCode(region), " in "+region
		}
		if tried, moves := canary(t, wanted, region); moves {
			steps = append(steps, Step{"canary" + in, "Send a tenth of the traffic" + to + " to what is new", GateSteady, tried})
		}
		if shifted := shift(t, wanted, region); region == wanted.Home() || !equal(t, shifted) {
			steps, t = append(steps, Step{"shift" + in, "Send the traffic" + to + " to what is wanted", GateSteady, shifted}), shifted
		}
	}
	if routed := route(t, wanted); !equal(t, routed) {
		steps, t = append(steps, Step{"route", "Send users to the regions that are wanted", GateAnswers, routed}), routed
	}
	steps = append(steps, disarm(t, wanted)...)
	return append(steps, Step{"contract", "Stop what no longer serves", GateAnswers, wanted})
}

// rollout are the regions in the order in which a change reaches them: home last.
func rollout(beside, wanted topology.Topology) []string {
	var rs []string
	for _, r := range beside.Regions {
		if r.Name != wanted.Home() {
			rs = append(rs, r.Name)
		}
	}
	slices.Reverse(rs)
	return append(rs, wanted.Home())
}

// replicate is now with the replicas that wanted has besides: they are copied
// before anything reads from them.
func replicate(now, wanted topology.Topology) (topology.Topology, bool) {
	t, needed := now.Clone(), false
	for _, w := range wanted.OfKind(topology.Database) {
		if _, stands := now.Node(w.ID); stands || !w.Replica() {
			continue
		}
		if leader, stands := t.Node(w.Database.Of); !stands || leader.Stopped() {
			leader, _ = wanted.Node(w.Database.Of)
			t.Put(leader, nil)
		}
		t.Put(w, wanted.Behind(w.ID))
		needed = true
	}
	t.Regions = regions(t, wanted)
	return t, needed
}

// regions are those of both, the wanted ones first.
func regions(now, wanted topology.Topology) []topology.Region {
	rs := slices.Clone(wanted.Regions)
	for _, r := range now.Regions {
		if !slices.Contains(rs, r) {
			rs = append(rs, r)
		}
	}
	return rs
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
		case ok && n.Database != nil && !n.Stopped() && !w.Stopped() && !same(n, w):
			put(w, wanted.Behind(n.ID))
		case n.Backend != nil && direct(now, n.ID) && becomesOther(now, wanted, n.ID):
			for _, id := range wanted.Behind(n.ID) { // a store that comes with it
				s, _ := wanted.Node(id)
				put(s, wanted.Behind(id))
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
// Workers and jobs become what they are to be: what the new release puts into the queue must find
// one that knows it, and meanwhile the queue waits.
func expand(now, wanted topology.Topology) topology.Topology {
	t := now.Clone()
	t.Regions = regions(now, wanted)
	for _, w := range wanted.Clone().Nodes {
		n, stands := now.Node(w.ID)
		behind := wanted.Behind(w.ID)
		switch {
		case w.DNS != nil:
			continue // users follow it as soon as it stands
		case !stands, n.Stopped() && !w.Stopped(), w.Worker != nil, w.Job != nil:
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

// canary is a topology in which a region's new pools beside the old ones take a
// little of the traffic; false when no pool there takes over from another.
func canary(beside, wanted topology.Topology, region string) (topology.Topology, bool) {
	t, moves := shift(beside, wanted, region), false
	t.Level = beside.Level
	for _, n := range t.OfKind(topology.LoadBalancer) {
		if _, stood := beside.Node(n.ID); !stood || n.Region != region {
			continue
		}
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

// shift is a topology whose entry and load balancer in a region are those of
// wanted, while everything that served still stands. Home is the last region, and
// with it the level is reached.
func shift(beside, wanted topology.Topology, region string) topology.Topology {
	t := beside.Clone()
	if region == wanted.Home() {
		t.Level, t.Maintenance = wanted.Level, wanted.Maintenance
	}
	for _, w := range wanted.Clone().Nodes {
		if w.Region == region && (w.Entry != nil || w.LoadBalancer != nil) {
			t.Put(w, wanted.Behind(w.ID))
		}
	}
	return t
}

// route is a topology whose name and CDN are those of wanted, while the regions
// that users leave still stand. A CDN that goes stands until nobody is led there.
func route(t, wanted topology.Topology) topology.Topology {
	r := t.Clone()
	for _, n := range t.OfKind(topology.DNS) {
		if _, stays := wanted.Node(n.ID); !stays {
			r.Remove(n.ID)
		}
	}
	for _, w := range wanted.Clone().Nodes {
		if w.DNS != nil || w.CDN != nil {
			r.Put(w, wanted.Behind(w.ID))
		}
	}
	return r
}
