//go:build unix

package local

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// Disturb says how something goes wrong here; begin lets it, until end is called or this
// program ends, however that does.
func (l *Local) Disturb(ctx context.Context, t topology.Topology, pins Pins, c plan.Chaos) (begin func() (end func(), err error), err error) {
	var d agent.Disturbance
	links := linksOf(t)
	processes := map[string][]string{} // by their own name and their node's
	var ways []string
	for _, n := range t.Nodes {
		if n.Backend != nil || n.Worker != nil || n.Cache != nil || n.Database != nil && !n.Stopped() || n.HoldsData() {
			for _, name := range slices.Concat(componentsOf(n), workersOf(n)) {
				processes[name] = []string{name}
				if name != n.ID {
					processes[n.ID] = append(processes[n.ID], name)
				}
			}
		}
	}
	for _, w := range links {
		ways = append(ways, w.name)
	}
	one := func(name string, of []string, what string) error {
		if slices.Contains(of, name) {
			return nil
		}
		hint := "'scale status' shows what there is"
		if len(of) == 0 {
			hint = "there are links from level 3 on, with two regions or more"
		}
		return &Error{What: "there is no " + what + " called " + name, Hint: hint}
	}
	switch c.What {
	case plan.Kill:
		d.Kill, err = processes[c.Name], one(c.Name, slices.Collect(maps.Keys(processes)), "process")
	case plan.Stop:
		d.Stop, err = processes[c.Name], one(c.Name, slices.Collect(maps.Keys(processes)), "process")
	case plan.Cut:
		d.Cut, err = []string{c.Name}, one(c.Name, ways, "link")
	case plan.Slow:
		d.Slow, d.By, err = []string{c.Name}, c.By, one(c.Name, ways, "link")
	case plan.Drop:
		for _, w := range links {
			// Its users are not in it: they reach other regions as before.
			if leaves := w.from == c.Name && w.to.Entry == nil; leaves != (w.to.Region == c.Name) {
				d.Cut = append(d.Cut, w.name)
			}
		}
		for _, n := range t.OfKind(topology.Entry) {
			if n.Region == c.Name {
				d.Drop = append(d.Drop, n.ID)
			}
		}
		if len(d.Drop) == 0 {
			err = &Error{What: "nothing stands in a region " + c.Name, Hint: "'scale outputs regions' names those that there are"}
		}
	}
	if err != nil {
		return nil, err
	}
	a, _, err := agent.Connect(ctx, l.dirs)
	if errors.Is(err, agent.ErrNotRunning) {
		return nil, &Error{What: "nothing runs that could be disturbed", Hint: "'scale up' starts it"}
	}
	return func() (func(), error) { return a.Disturb(ctx, d) }, err
}

// linksOf are all links of a topology, with whom they lead from where to whom.
func linksOf(t topology.Topology) []way {
	var ws []way
	for _, n := range t.Nodes {
		ws = append(ws, waysOf(t, n)...)
		from := crossings(t, n)
		if n.Entry != nil {
			for _, r := range t.Regions {
				if r.Name != n.Region {
					from = append(from, r.Name)
				}
			}
		}
		for _, r := range from {
			ws = append(ws, way{linkName(n.ID, r), r, n})
		}
	}
	return ws
}
