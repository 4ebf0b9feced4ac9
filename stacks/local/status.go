//go:build unix

package local

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// Components are how the parts of a topology stand, as of the last Observe: the
// ones that should be there and are not are stopped.
func (l *Local) Components(t topology.Topology, pins Pins) []plan.Component {
	var cs []plan.Component
	add := func(n topology.Node, name, kind, address string) {
		pc := plan.Component{Name: name, Node: n.ID, Kind: kind, State: agent.Stopped, Address: address}
		if c, ok := l.seen.Component(name); ok {
			pc.State, pc.Healthy, pc.PID, pc.Restarts, pc.Detail = c.State, c.Healthy, c.PID, c.Restarts, c.Detail
			since := c.Since.Truncate(time.Second)
			pc.Since = &since
		}
		cs = append(cs, pc)
	}
	here := func(name string) string { return fmt.Sprintf("127.0.0.1:%d", portOf(pins, name)) }
	for _, n := range t.Nodes {
		switch {
		case n.LoadBalancer != nil:
			add(n, n.ID, string(n.Kind), "behind the entry")
		case n.CDN != nil:
			for _, origin := range n.CDN.Origins {
				e, _ := t.Node(origin)
				add(n, cdnEdge(n.ID, e.Region), string(n.Kind), "before "+origin)
			}
		case n.Entry != nil:
			at := func(from string) string {
				return fmt.Sprintf("%s:%d", address(pins, from, n.Region), portOf(pins, n.ID))
			}
			add(n, n.ID, string(n.Kind), at(n.Region))
			for _, r := range t.Regions {
				if r.Name != n.Region {
					add(n, linkName(n.ID, r.Name), "link", at(r.Name))
				}
			}
		default:
			for _, name := range workersOf(n) {
				add(n, name, string(n.Kind), "")
			}
			for _, name := range componentsOf(n) {
				add(n, name, string(n.Kind), here(name))
			}
			for _, from := range crossings(t, n) {
				add(n, linkName(n.ID, from), "link", here(linkName(n.ID, from)))
			}
			for _, w := range waysOf(t, n) {
				add(n, w.name, "link", here(w.name))
			}
			for _, c := range callsOf(t, n) {
				add(n, c.name(), "call", here(c.name()))
			}
		}
	}
	if arbitrated(t) && len(cs) > 0 {
		add(topology.Node{ID: arbiter}, arbiter, arbiter, "")
	}
	slices.SortFunc(cs, func(a, b plan.Component) int { return strings.Compare(a.Name, b.Name) })
	return cs
}

// Supervisor says what keeps the components running.
func (l *Local) Supervisor() string {
	if l.seen.PID == 0 {
		return "no agent is running"
	}
	s := fmt.Sprintf("agent, pid %d, since %s", l.seen.PID, l.seen.Since.Local().Format("2006-01-02 15:04:05"))
	if l.seen.Adopted > 0 {
		s += fmt.Sprintf("; it adopted %d running components", l.seen.Adopted)
	}
	return s
}

// Data is where data lies, and how much.
func (l *Local) Data(t topology.Topology) []plan.DataPlace {
	var ps []plan.DataPlace
	for _, n := range t.Nodes {
		if !n.HoldsData() {
			continue
		}
		name := n.ID + "-data"
		dir := l.dataDir(name)
		ps = append(ps, plan.DataPlace{Name: name, Place: dir, Bytes: size(dir)})
	}
	return ps
}

func size(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { // what cannot be read counts nothing
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}
