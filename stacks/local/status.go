//go:build unix

package local

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// Components are how the parts of a topology stand, as of the last Observe: the
// ones that should be there and are not are stopped.
func (l *Local) Components(t topology.Topology, pins Pins) []plan.Component {
	var cs []plan.Component
	names := listening(t)
	for _, n := range t.OfKind(topology.LoadBalancer) {
		names = append(names, n.ID)
	}
	slices.Sort(names)
	for _, name := range names {
		c, ok := l.seen.Component(name)
		n := nodeOf(t, name)
		pc := plan.Component{Name: name, Node: or(c.Node, n.ID), Kind: string(n.Kind), State: agent.Stopped, Address: "behind the entry"}
		if n.LoadBalancer == nil {
			pc.Address = fmt.Sprintf("127.0.0.1:%d", portOf(pins, name))
		}
		if ok {
			pc.State, pc.Healthy, pc.PID, pc.Restarts, pc.Detail = c.State, c.Healthy, c.PID, c.Restarts, c.Detail
			since := c.Since.Truncate(time.Second)
			pc.Since = &since
		}
		cs = append(cs, pc)
	}
	return cs
}

// nodeOf is the node that a component belongs to.
func nodeOf(t topology.Topology, name string) topology.Node {
	for _, n := range t.Nodes {
		if n.ID == name || slices.Contains(componentsOf(n), name) {
			return n
		}
	}
	return topology.Node{}
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
