package stacks

import (
	"slices"
	"testing"

	"github.com/scale-levels/scale/internal/topology"
)

// A leader that is watched and dead is replaced from a region whose replica answers, the
// first of scale.yaml's; one that waited for its replicas only when all of them do.
func TestDeadLeader(t *testing.T) {
	for name, c := range map[string]struct {
		leader  topology.DatabaseSpec
		healthy []string
		dead    string
		regions []string
	}{
		"nobody decides":             {topology.DatabaseSpec{}, []string{"db-euw1-g1", "db-apse2-g1"}, "", nil},
		"it answers":                 {topology.DatabaseSpec{Automatic: true}, []string{"db-use1-g1", "db-euw1-g1"}, "", nil},
		"it is fenced":               {topology.DatabaseSpec{Automatic: true, Stopped: true, Fenced: true}, []string{"db-euw1-g1"}, "", nil},
		"both follow":                {topology.DatabaseSpec{Automatic: true}, []string{"db-apse2-g1", "db-euw1-g1"}, "db-use1-g1", []string{"eu-west-1", "ap-southeast-2"}},
		"one follows":                {topology.DatabaseSpec{Automatic: true}, []string{"db-apse2-g1"}, "db-use1-g1", []string{"ap-southeast-2"}},
		"both, waited for":           {topology.DatabaseSpec{Automatic: true, Sync: true}, []string{"db-apse2-g1", "db-euw1-g1"}, "db-use1-g1", []string{"eu-west-1", "ap-southeast-2"}},
		"one of two, waited for":     {topology.DatabaseSpec{Automatic: true, Sync: true}, []string{"db-apse2-g1"}, "db-use1-g1", nil},
		"the other one, waited for":  {topology.DatabaseSpec{Automatic: true, Sync: true}, []string{"db-euw1-g1"}, "db-use1-g1", nil},
		"nobody follows, waited for": {topology.DatabaseSpec{Automatic: true, Sync: true}, nil, "db-use1-g1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			top := topology.Topology{Regions: []topology.Region{{Name: "us-east-1"}, {Name: "eu-west-1"}, {Name: "ap-southeast-2"}}}
			for _, n := range []topology.Node{
				{ID: "db-use1-g1", Region: "us-east-1", Database: &c.leader},
				{ID: "db-euw1-g1", Region: "eu-west-1", Database: &topology.DatabaseSpec{Of: "db-use1-g1"}},
				{ID: "db-apse2-g1", Region: "ap-southeast-2", Database: &topology.DatabaseSpec{Of: "db-use1-g1"}},
			} {
				n.Kind = topology.Database
				top.Put(n, nil)
			}
			healthy := map[string]bool{}
			for _, id := range c.healthy {
				healthy[id] = true
			}
			if dead, regions := deadLeader(top, healthy); dead != c.dead || !slices.Equal(regions, c.regions) {
				t.Errorf("%q is to be replaced from %v, want %q from %v", dead, regions, c.dead, c.regions)
			}
		})
	}
}
