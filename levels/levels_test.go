package levels

import (
	"slices"
	"strings"
	"testing"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/topology"
)

func shop(t *testing.T, yaml string) config.App {
	t.Helper()
	f, err := config.Parse("scale.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.App("")
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Services {
		a.Services[i].Dir = "/project"
	}
	return a
}

const base = "name: shop\nservices: {web: {command: ./serve, routes: [/api]}}\nstatic: {dir: public}\ndatabase: {}\n"

func build(t *testing.T, yaml string, now topology.Topology) topology.Topology {
	t.Helper()
	top, err := Build(shop(t, yaml), 1, now)
	if err != nil {
		t.Fatal(err)
	}
	return top
}

func ids(steps []Step) []string {
	var s []string
	for _, x := range steps {
		s = append(s, x.ID)
	}
	return s
}

func TestSingleNode(t *testing.T) {
	top := build(t, base, topology.Topology{})
	var got []string
	for _, n := range top.Nodes {
		got = append(got, n.ID)
		if (n.Exposure == topology.Public) != (n.Kind == topology.Entry) {
			t.Errorf("%s is %s", n.ID, n.Exposure)
		}
	}
	if want := []string{"db-use1-g1", "entry-use1-g1", "static-use1-g1", "web-use1-g1"}; !slices.Equal(got, want) {
		t.Errorf("nodes %v, want %v", got, want)
	}
	if len(top.LinkedFrom("entry-use1-g1", topology.Database)) != 0 || len(top.LinkedFrom("web-use1-g1", topology.Database)) != 1 {
		t.Error("the database must be linked to from the backend and from nothing else")
	}
}

func TestWalks(t *testing.T) {
	nothing := topology.Topology{}
	one := build(t, base, nothing)
	change := func(from, to string) topology.Topology { return build(t, from, one) }
	for name, c := range map[string]struct {
		now, wanted topology.Topology
		want        []string
	}{
		"from nothing":      {nothing, one, []string{"create"}},
		"to the same":       {one, one, []string{"update"}},
		"a new command":     {one, change("name: shop\nservices: {web: {command: ./other, routes: [/api]}}\nstatic: {dir: public}\ndatabase: {}\n", ""), []string{"close", "change", "open"}},
		"a larger database": {one, change("name: shop\nservices: {web: {command: ./serve, routes: [/api]}}\nstatic: {dir: public}\ndatabase: {size: large}\n", ""), []string{"close", "change", "open"}},
		"other files":       {one, change("name: shop\nservices: {web: {command: ./serve, routes: [/api]}}\nstatic: {dir: other}\ndatabase: {}\n", ""), []string{"update"}},
		"left closed":       {closed(one, one), one, []string{"close", "change", "open"}},
		"down":              {one, Down(one), []string{"stop"}},
		"up again":          {Down(one), one, []string{"create"}},
		"gone":              {one, Gone(one), []string{"stop", "disarm-data", "delete"}},
	} {
		t.Run(name, func(t *testing.T) {
			steps := Walk(c.now, c.wanted)
			if got := ids(steps); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if last := steps[len(steps)-1].Topology; len(last.Nodes) != len(c.wanted.Nodes) {
				t.Errorf("the walk ends at %v", last.Nodes)
			}
			for _, s := range steps[:len(steps)-1] {
				for _, n := range c.now.Nodes {
					if _, ok := s.Topology.Node(n.ID); n.HoldsData() && !ok {
						t.Errorf("step %s drops %s, which holds data, before the last step", s.ID, n.ID)
					}
				}
			}
		})
	}
}

func TestDataOutlivesTheConfiguration(t *testing.T) {
	one := build(t, base, topology.Topology{})
	without := build(t, "name: shop\nservices: {web: {command: ./serve, routes: [/api]}}\nstatic: {dir: public}\n", one)
	db, ok := without.Node("db-use1-g1")
	if !ok || !db.Database.Stopped {
		t.Fatalf("a database that scale.yaml no longer names must stay, stopped: %+v", db)
	}
}

func TestACloneIsItsOwn(t *testing.T) {
	one := build(t, base, topology.Topology{})
	before := one.Clone()
	c := one.Clone()
	for _, n := range c.Nodes {
		if n.Backend != nil {
			n.Backend.Command[0] = "changed"
			n.Backend.Instances = 9
		}
		if n.Entry != nil {
			n.Entry.Routes[0].Path = "/changed"
		}
	}
	for i, n := range one.Nodes {
		if !n.Equal(before.Nodes[i]) {
			t.Errorf("%s changed with its clone", n.ID)
		}
	}
}

func TestEveryLevelIsDescribed(t *testing.T) {
	for i, l := range All() {
		if l.Number != i+1 || l.Name == "" || l.Summary == "" || len(l.Adds) == 0 {
			t.Errorf("level %d: %+v", i+1, l)
		}
		if len(l.Components) == 0 || len(l.Advantages) == 0 || len(l.Disadvantages) == 0 || len(l.Decisions) == 0 {
			t.Errorf("level %d is not explained", l.Number)
		}
		if _, err := Build(shop(t, strings.Replace(base, "services: {", "services: {likes: {command: ./likes, routes: [/likes]}, ", 1)), l.Number, topology.Topology{}); (err == nil) != l.On("local") {
			t.Errorf("level %d: %v", l.Number, err)
		}
	}
}
