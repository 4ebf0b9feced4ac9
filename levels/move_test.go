package levels

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/scale-levels/scale/internal/topology"
)

// shopWith is an application with a service whose tables are known.
func shopWith(database string, settings int, regions string) string {
	return fmt.Sprintf(`name: shop
services:
  web: {command: ./serve, routes: [/api], env: {N: "%d"}}
  orders: {command: ./orders, routes: [/orders], from_level: 4, database: %s, tables: [orders, sales.lines]}
database: {}
regions: [%s]
`, settings%2, database, regions)
}

func TestMovingWalks(t *testing.T) {
	shared, own := shopWith("shared", 0, "us-east-1"), shopWith("own", 0, "us-east-1")
	four := at(t, 4, shared, topology.Topology{})
	five := at(t, 5, own, four)
	for name, c := range map[string]struct {
		now, wanted topology.Topology
		want        []string
	}{
		"up":            {at(t, 1, shared, topology.Topology{}), five, []string{"expand", "shift", "route", "contract", "copy-orders", "beside-orders", "switch-orders", "contract-orders"}},
		"down":          {five, at(t, 4, own, five), []string{"copy-orders", "beside-orders", "switch-orders", "contract-orders", "expand", "canary", "shift", "contract"}},
		"to nothing":    {five, Down(five), []string{"disarm", "stop"}},
		"up again":      {Down(five), at(t, 5, own, Down(five)), []string{"create"}},
		"up from below": {Down(four), at(t, 5, own, Down(four)), []string{"create", "copy-orders", "beside-orders", "switch-orders", "contract-orders"}},
		"from nothing":  {topology.Topology{}, at(t, 5, own, topology.Topology{}), []string{"create"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ids(Walk(c.now, c.wanted)); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if us := NotSeen(c.now, c.wanted); len(us) > 0 {
				t.Errorf("what moves would not be seen: %v", us)
			}
		})
	}
}

// has is which database has the tables of a service, by what the steps do.
type has string

// took is a step that was taken to its end.
func (h *has) took(s topology.Topology) {
	for _, n := range s.OfKind(topology.Move) {
		if n.Move.Switched && (n.Move.From == string(*h) || n.Move.To == string(*h)) {
			*h = has(n.Move.To)
		}
	}
}

// Any sequence of levels, regions and databases, each given up at any step, also in the
// middle of a switch: who serves uses the database that has the tables, no other.
func TestTheServiceFollowsItsTables(t *testing.T) {
	moved, resumed := 0, 0
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 3))
		now, data := topology.Topology{}, has("")
		for range 7 {
			level := []int{1, 2, 3, 4, 4, 5, 5, 5}[r.IntN(8)]
			yaml := shopWith([]string{"own", "own", "shared"}[r.IntN(3)], r.IntN(2), []string{"us-east-1", "us-east-1, eu-west-1"}[r.IntN(2)])
			wanted, err := Build(shop(t, yaml), level, now)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if r.IntN(8) == 0 {
				wanted = Down(now)
			}
			if len(NotSeen(now, wanted)) > 0 || wanted.Level > 0 && now.Level > 0 && !balanced(now) && !balanced(wanted) {
				continue
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
				if now.Level > 0 && wanted.Level > 0 && !(i == 0 && s.Topology.Switching()) { // the one that is finished changes nothing again
					untouched(t, what, now, s.Topology)
				}
				now = s.Topology
				if s.Topology.Switching() && r.IntN(4) == 0 { // it was killed in the middle: done or not
					if r.IntN(2) == 0 {
						data.took(now)
					}
					resumed++
					break
				}
				data.took(now)
				if now.Switching() {
					moved++
				}
				if data == "" {
					data = has(leaderOf(now, ""))
					if own := leaderOf(now, "orders"); own != "" {
						data = has(own)
					}
				}
				follows(t, what, now, data)
				if i == len(steps)-1 && !equal(now, wanted) {
					t.Fatalf("%s: the walk does not end where it was wanted:%s", what, differs(now, wanted))
				}
			}
		}
	}
	if moved < 300 || resumed < 30 {
		t.Errorf("tables moved %d times, %d switches were interrupted: this tests little", moved, resumed)
	}
}

// follows checks that the pools of orders that take requests use the database that has its
// tables; where there are none, and another service does their work, the shared one has them.
func follows(t *testing.T, what string, top topology.Topology, data has) {
	t.Helper()
	serves := takes(top)
	if top.Level == 0 {
		return
	}
	found := false
	for _, n := range top.OfKind(topology.Backend) {
		if n.Backend.Service != "orders" || !serves[n.ID] {
			continue
		}
		found = true
		for _, db := range top.LinkedFrom(n.ID, topology.Database) {
			if !slices.Contains(groupOf(top, string(data)), db.ID) {
				t.Fatalf("%s: %s uses %s, and %s has the tables", what, n.ID, db.ID, data)
			}
		}
	}
	if db, _ := top.Node(string(data)); !found && (db.Database == nil || db.Database.Service != "") {
		t.Fatalf("%s: the shared database is used, and %s has the tables", what, data)
	}
}

// differs are the nodes that are not the same in two topologies, and the links.
func differs(a, b topology.Topology) (s string) {
	for _, n := range slices.Concat(a.Nodes, b.Nodes) {
		x, _ := a.Node(n.ID)
		y, _ := b.Node(n.ID)
		if !x.Equal(y) || !slices.Equal(a.Behind(n.ID), b.Behind(n.ID)) {
			was, _ := json.Marshal(x)
			is, _ := json.Marshal(y)
			s += fmt.Sprintf("\n%s %v\n%s %v", was, a.Behind(n.ID), is, b.Behind(n.ID))
		}
	}
	return s
}
