package stacks

import (
	"context"

	"github.com/scale-levels/scale/internal/topology"
)

// DeadLeader is a database that leads, may be replaced without anybody being asked, and
// does not answer, with the regions whose replicas do, in the order of scale.yaml; "" when
// there is none, or when a walk is unfinished and somebody has to say what becomes of it.
// Of a leader that waits for its replicas there are none until all answer: the one that
// does not may be the only one that has a write.
func (e *Environment) DeadLeader(ctx context.Context) (leader string, regions []string, err error) {
	if err := e.Reload(); err != nil || e.record.Walk != nil || !e.Exists() {
		return "", nil, err
	}
	if err := e.target.Observe(ctx); err != nil {
		return "", nil, err
	}
	t := e.record.standing()
	healthy := map[string]bool{}
	for _, c := range e.target.Components(t, e.pins) {
		healthy[c.Name] = c.Healthy
	}
	leader, regions = deadLeader(t, healthy)
	return leader, regions, nil
}

func deadLeader(t topology.Topology, healthy map[string]bool) (leader string, regions []string) {
	for _, n := range t.OfKind(topology.Database) {
		if !n.Database.Automatic || n.Replica() || n.Stopped() || healthy[n.ID] {
			continue
		}
		all := true
		for _, r := range t.Regions {
			for _, o := range t.OfKind(topology.Database) {
				if o.Region != r.Name || o.Database.Of != n.ID {
					continue
				}
				if all = all && healthy[o.ID]; healthy[o.ID] {
					regions = append(regions, r.Name)
				}
			}
		}
		if n.Database.Sync && !all {
			regions = nil
		}
		return n.ID, regions
	}
	return "", nil
}
