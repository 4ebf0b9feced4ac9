package levels

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/scale-levels/scale/internal/topology"
)

func at(t *testing.T, level int, yaml string, now topology.Topology) topology.Topology {
	t.Helper()
	top, err := Build(shop(t, yaml), level, now)
	if err != nil {
		t.Fatal(err)
	}
	return top
}

// variants of the application: other settings, other numbers of instances, more stores.
func variant(settings, instances int, more string) string {
	return fmt.Sprintf("name: shop\nservices: {web: {command: ./serve, routes: [/api], instances: %d, env: {N: \"%d\"}}}\nstatic: {dir: public}\ndatabase: {}\n%s", instances, settings, more)
}

func TestLoadBalancer(t *testing.T) {
	top := at(t, 2, base, topology.Topology{})
	var got []string
	for _, n := range top.Nodes {
		got = append(got, n.ID)
		if faces := n.Kind == topology.Entry || n.Kind == topology.LoadBalancer; (n.Exposure == topology.Public) != faces {
			t.Errorf("%s is %s", n.ID, n.Exposure)
		}
	}
	if want := []string{"db-use1-g1", "entry-use1-g1", "lb-use1-g1", "static-use1-g1", "web-blue-use1-g1", "web-green-use1-g1"}; !slices.Equal(got, want) {
		t.Errorf("nodes %v, want %v", got, want)
	}
	blue, _ := top.Node("web-blue-use1-g1")
	green, _ := top.Node("web-green-use1-g1")
	if blue.Backend.Instances != 2 || green.Backend.Instances != 0 || weight(top, blue.ID) != 100 || weight(top, green.ID) != 0 {
		t.Errorf("blue %+v, green %+v", blue.Backend, green.Backend)
	}
	if len(top.LinkedFrom("lb-use1-g1", topology.Database)) != 0 {
		t.Error("the load balancer has no business with the database")
	}
	if _, err := Build(shop(t, variant(1, 1, "")), 2, topology.Topology{}); err == nil || !strings.Contains(err.Error(), "at least 2") {
		t.Errorf("one instance at level 2: %v", err)
	}
}

func TestShiftWalks(t *testing.T) {
	one := at(t, 1, variant(1, 2, ""), topology.Topology{})
	two := at(t, 2, variant(1, 2, ""), one)
	released := at(t, 2, variant(2, 2, ""), two)
	steps := Walk(two, released)
	tried := steps[1].Topology
	for name, c := range map[string]struct {
		now, wanted topology.Topology
		want        []string
	}{
		"from 1 to 2":            {one, two, []string{"expand", "shift", "contract"}},
		"from 2 to 1":            {two, at(t, 1, variant(1, 2, ""), two), []string{"expand", "shift", "disarm", "contract"}},
		"from 0 to 2":            {Down(two), two, []string{"create"}},
		"from 2 to 0":            {two, Down(two), []string{"disarm", "stop"}},
		"to the same":            {two, at(t, 2, variant(1, 2, ""), two), []string{"update"}},
		"a release":              {two, released, []string{"expand", "canary", "shift", "contract"}},
		"more instances":         {two, at(t, 2, variant(1, 5, ""), two), []string{"expand", "shift", "contract"}},
		"the database restarts":  {two, at(t, 2, strings.Replace(variant(1, 2, ""), "database: {}", "database: {size: large}", 1), two), []string{"close", "change", "open", "expand", "shift", "contract"}},
		"left closed":            {closed(two, two), two, []string{"close", "change", "open", "expand", "shift", "contract"}},
		"a release, interrupted": {tried, at(t, 2, variant(2, 2, ""), tried), []string{"expand", "canary", "shift", "contract"}},
		"a release, taken back":  {tried, at(t, 2, variant(1, 2, ""), tried), []string{"expand", "shift", "contract"}},
		"another, on top of it":  {tried, at(t, 2, variant(3, 2, ""), tried), []string{"retreat", "expand", "canary", "shift", "contract"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ids(Walk(c.now, c.wanted)); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// takes is which nodes take requests in a topology.
func takes(t topology.Topology) map[string]bool {
	to := map[string]bool{}
	reached := []string{id("entry", t.Home())}
	for _, n := range t.OfKind(topology.DNS) {
		cdn, _ := t.Node(n.DNS.To)
		reached = cdn.CDN.Origins
	}
	for _, e := range t.OfKind(topology.Entry) {
		if !slices.Contains(reached, e.ID) {
			continue
		}
		for _, r := range e.Entry.Routes {
			lb, _ := t.Node(r.To)
			if lb.LoadBalancer == nil {
				to[r.To] = true
				continue
			}
			for _, rule := range lb.LoadBalancer.Rules {
				for _, s := range rule.Pools {
					if s.Weight > 0 {
						to[s.To] = true
					}
				}
			}
		}
	}
	return to
}

// Any sequence of wishes, each given up at any step for the next, never touches
// what takes requests, and ends where it was wanted.
func TestNoWalkTouchesWhatServes(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 1))
		now := at(t, 1+r.IntN(2), variant(1, 2, ""), topology.Topology{})
		for range 8 {
			more := []string{"", "files: true\n", "sessions: true\n", "files: true\nsessions: true\n"}[r.IntN(4)]
			wanted := at(t, 2, variant(r.IntN(3), 2+r.IntN(3), more), now)
			if balanced(now) && r.IntN(4) == 0 { // from level 1 to itself is behind the maintenance page
				wanted = at(t, 1, variant(r.IntN(3), 1+r.IntN(3), more), now)
			}
			steps := Walk(now, wanted)
			until := len(steps)
			if r.IntN(2) == 0 {
				until = r.IntN(len(steps) + 1)
			}
			for i, s := range steps[:until] {
				if err := s.Topology.Validate(); err != nil {
					t.Fatalf("seed %d, step %s: %v", seed, s.ID, err)
				}
				untouched(t, fmt.Sprintf("seed %d, step %s of %v", seed, s.ID, ids(steps)), now, s.Topology)
				now = s.Topology
				if i == len(steps)-1 && !equal(now, wanted) {
					t.Fatalf("seed %d: the walk does not end where it was wanted", seed)
				}
			}
		}
	}
}

// untouched checks one step: what takes requests before or after it stands on
// both sides, the same but for how many of it there are.
func untouched(t *testing.T, what string, before, after topology.Topology) {
	t.Helper()
	was, is := takes(before), takes(after)
	for _, tops := range []topology.Topology{before, after} {
		for _, e := range tops.OfKind(topology.Entry) {
			if e.Entry.Maintenance != nil {
				was, is = nil, nil // nothing takes requests behind the maintenance page
			}
		}
	}
	for id := range is {
		old, stood := before.Node(id)
		now, _ := after.Node(id)
		if !stood || was[id] && now.Backend != nil && (!sameRelease(*old.Backend, *now.Backend) || !slices.Equal(before.Behind(id), after.Behind(id))) {
			t.Fatalf("%s changes %s, which takes requests", what, id)
		}
		if !was[id] && old.Backend != nil && old.Backend.Instances < now.Backend.Instances {
			t.Fatalf("%s starts %s and sends requests there at once", what, id)
		}
	}
	for id := range was {
		if now, stands := after.Node(id); !stands || now.Backend != nil && now.Backend.Instances == 0 {
			t.Fatalf("%s takes %s away, which took requests until now", what, id)
		}
	}
	for _, n := range before.Nodes {
		if _, ok := after.Node(n.ID); n.HoldsData() && !ok {
			t.Fatalf("%s drops %s", what, n.ID)
		}
	}
}

// The whole ladder, in one and three regions, with one and five services: any
// sequence of levels, regions and settings, each given up at any step.
func TestNoWalkOfTheLadderTouchesWhatServes(t *testing.T) {
	wish := func(r *rand.Rand) (int, string) {
		regions := []string{"us-east-1", "us-east-1, eu-west-1", "us-east-1, eu-west-1, ap-south-1"}[r.IntN(3)]
		services := fmt.Sprintf("web: {command: ./serve, routes: [/api], env: {N: \"%d\"}}", r.IntN(2))
		if r.IntN(2) == 0 {
			services += ", orders: {command: ./orders, routes: [/orders], database: own, calls: [web]}"
		}
		return 1 + r.IntN(5), fmt.Sprintf("name: shop\nservices: {%s}\nstatic: {dir: public}\ndatabase: {}\nregions: [%s]\n", services, regions)
	}
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 2))
		to := func(now topology.Topology) topology.Topology {
			level, yaml := wish(r)
			a := shop(t, yaml)
			a.Target = ""
			top, err := Build(a, level, now)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			return top
		}
		now := to(topology.Topology{})
		for range 6 {
			wanted := to(now)
			if !balanced(now) && !balanced(wanted) {
				continue // behind the maintenance page
			}
			steps := Walk(now, wanted)
			until := len(steps)
			if r.IntN(2) == 0 {
				until = r.IntN(len(steps) + 1)
			}
			for i, s := range steps[:until] {
				what := fmt.Sprintf("seed %d, step %s of %v", seed, s.ID, ids(steps))
				if err := s.Topology.Validate(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				untouched(t, what, now, s.Topology)
				now = s.Topology
				if i == len(steps)-1 && !equal(now, wanted) {
					t.Fatalf("%s: the walk does not end where it was wanted", what)
				}
			}
		}
	}
}
