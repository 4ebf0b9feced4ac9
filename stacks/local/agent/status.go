//go:build unix

package agent

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/scale-levels/scale/stacks/local/httpcache"
)

// Status says how everything stands.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	st := Status{PID: os.Getpid(), Build: a.build, Since: a.since, Adopted: a.adopted}
	for _, s := range a.procs {
		st.Components = append(st.Components, s.component())
	}
	for _, e := range a.specs {
		c := Component{Name: e.Name, Node: e.Node, Kind: e.Kind, Tag: e.Tag, State: Running, Healthy: true, PID: os.Getpid(), Port: e.Port, Since: a.since}
		switch {
		case e.Maintenance != nil:
			c.Detail = "answers with the maintenance page"
		case e.Kind == "load-balancer":
			c.Detail = shares(e.Rules)
		}
		a.edges.describe(e, &c)
		st.Components = append(st.Components, c)
	}
	slices.SortFunc(st.Components, func(x, y Component) int { return strings.Compare(x.Name, y.Name) })
	st.Traffic, st.Stores, st.Distant = a.traffic(st.Components), a.edges.stored(), a.edges.distant()
	return st
}

// describe adds what only the edge itself knows.
func (e *edges) describe(edge Edge, c *Component) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.links[edge.Name]; l != nil {
		c.Detail = l.detail()
	}
	if s := e.stores[edge.Name]; s != nil {
		c.Detail = s.Stats().String()
	}
}

// stored is what goes on in the stores of the CDN's edges.
func (e *edges) stored() map[string]httpcache.Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string]httpcache.Stats{}
	for name, s := range e.stores {
		all[name] = s.Stats()
	}
	return all
}

// distant is what the links into other regions have carried, in bytes.
func (e *edges) distant() map[string]int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string]int64{}
	for name, l := range e.links {
		if e.wanted[name].RTT > 0 {
			all[name] = l.bytes.Load()
		}
	}
	return all
}

// shares tells what a load balancer sends where: "web-blue-use1-g1 90, web-green-use1-g1 10".
func shares(rules []Rule) string {
	var parts []string
	for _, r := range rules {
		for _, s := range r.Pools {
			if part := fmt.Sprintf("%s %d", s.To, s.Weight); s.Weight > 0 && !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		}
	}
	return strings.Join(parts, ", ")
}

// traffic is what goes through each node.
func (a *Agent) traffic(cs []Component) map[string]Traffic {
	addrs := map[string][]string{}
	for _, c := range cs {
		if c.Port != 0 && c.Kind != "database" {
			addrs[c.Node] = append(addrs[c.Node], loopback(c.Port))
		}
	}
	ts := map[string]Traffic{}
	for node, as := range addrs {
		var t Traffic
		t.Before, t.Since = a.edges.balancer.meter(node).read()
		t.Requests, t.Streams = a.edges.balancer.busy(as)
		ts[node] = t
	}
	return ts
}
