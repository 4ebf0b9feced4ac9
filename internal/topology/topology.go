// Package topology describes an application's infrastructure as data: regions,
// the nodes that stand in them, and who may talk to whom.
//
// It knows nothing of how a node is made, on which target, or at which level it
// belongs, and imports only the standard library.
package topology

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind says what a node is.
type Kind string

// The kinds of nodes.
const (
	Entry        Kind = "entry"         // the public address; exactly one a region that takes traffic
	LoadBalancer Kind = "load-balancer" // spreads what reaches the entry over pools
	Backend      Kind = "backend"       // a pool of instances of one service
	Static       Kind = "static"        // servers of the release's static files
	Database     Kind = "database"      // a relational database; holds data, unless it follows another
	Files        Kind = "files"         // an S3-compatible store of files that the application wrote; holds data
	Sessions     Kind = "sessions"      // a store of sessions that speaks Redis's protocol; holds data
	Queue        Kind = "queue"         // a queue of jobs that speaks Redis's protocol; holds data
	Worker       Kind = "worker"        // instances of what takes jobs from the queue; nobody calls them
	Job          Kind = "job"           // a command that runs to its end at times, once
	Pooler       Kind = "pooler"        // lends connections to its region's databases; nothing is lost with it but these
	Cache        Kind = "cache"         // an in-memory cache that speaks Redis's protocol; may be lost at any time
	CDN          Kind = "cdn"           // edges near the users that keep what may be kept
	DNS          Kind = "dns"           // the application's name, and whom it leads where
	Move         Kind = "move"          // tables on their way from one database to another; only within a walk
)

// Exposure says who can reach a node.
type Exposure string

// The exposures.
const (
	Public  Exposure = "public"  // anyone who can reach the entry's address
	Private Exposure = "private" // only nodes with a link to it
)

// Topology is a whole environment. The zero value is an environment in which
// nothing stands.
type Topology struct {
	App   string `json:"app"`
	Env   string `json:"env"`
	Level int    `json:"level"` // 0: only what holds data stands
	// Undone: nothing stood before, and what a failed walk has made is to go without a
	// trace, what would outlive an environment that was ever used included.
	Undone bool `json:"undone,omitempty"`
	// Regions in the order of the configuration; the first is home.
	Regions []Region `json:"regions,omitempty"`
	// Maintenance is what entries answer with while what is behind them changes.
	Maintenance Maintenance `json:"maintenance"`
	Nodes       []Node      `json:"nodes,omitempty"` // sorted by ID
	Links       []Link      `json:"links,omitempty"` // sorted by From, then To
	// Generations are how many nodes there have been of a name, which is an id without its
	// generation; one, of those that are not here.
	Generations map[string]int `json:"generations,omitempty"`
}

// Region is a place where nodes stand.
type Region struct {
	Name string `json:"name"` // us-east-1
}

// Node is one component. ID carries region and generation, never level, role or
// today's colour, so that a node keeps its name at every level. Exactly the
// field that belongs to Kind is set.
type Node struct {
	ID         string   `json:"id"`
	Kind       Kind     `json:"kind"`
	Region     string   `json:"region"`
	Generation int      `json:"generation"`
	Exposure   Exposure `json:"exposure"`
	// Disarmed: its protection against being deleted is off, since the next step deletes it.
	Disarmed bool `json:"disarmed,omitempty"`

	Entry        *EntrySpec        `json:"entry,omitempty"`
	LoadBalancer *LoadBalancerSpec `json:"loadBalancer,omitempty"`
	Backend      *BackendSpec      `json:"backend,omitempty"`
	Static       *StaticSpec       `json:"static,omitempty"`
	Database     *DatabaseSpec     `json:"database,omitempty"`
	Files        *StoreSpec        `json:"files,omitempty"`
	Sessions     *StoreSpec        `json:"sessions,omitempty"`
	Queue        *StoreSpec        `json:"queue,omitempty"`
	Worker       *BackendSpec      `json:"worker,omitempty"`
	Job          *BackendSpec      `json:"job,omitempty"`
	Pooler       *PoolerSpec       `json:"pooler,omitempty"`
	Cache        *CacheSpec        `json:"cache,omitempty"`
	CDN          *CDNSpec          `json:"cdn,omitempty"`
	DNS          *DNSSpec          `json:"dns,omitempty"`
	Move         *MoveSpec         `json:"move,omitempty"`
}

// Link says that From may talk to To; the credentials of that link are From's alone.
type Link struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Name is the node's id without its generation.
func (n Node) Name() string { return strings.TrimSuffix(n.ID, fmt.Sprintf("-g%d", n.Generation)) }

// HoldsData reports whether removing the node would lose what users put there.
func (n Node) HoldsData() bool {
	return n.Kind == Database && !n.Replica() || n.store() != nil
}

// store is the part of a node that is a store of files, of sessions or of jobs.
func (n Node) store() *StoreSpec { return cmp.Or(n.Files, n.Sessions, n.Queue) }

// Runs is the application's own that runs there: a backend, a worker or a job; else nil.
func (n Node) Runs() *BackendSpec { return cmp.Or(n.Backend, n.Worker, n.Job) }

// Replica reports whether the node is a database that follows another.
func (n Node) Replica() bool { return n.Database != nil && n.Database.Of != "" }

// Fenced reports whether the node is a database that led and may not any more.
func (n Node) Fenced() bool { return n.Database != nil && n.Database.Fenced }

// Stopped reports whether the node's data stays and nothing serves it.
func (n Node) Stopped() bool {
	return n.Database != nil && n.Database.Stopped || n.store() != nil && n.store().Stopped
}

// Stop makes a node that holds data one that nothing serves.
func (n *Node) Stop() {
	if n.Database != nil {
		n.Database.Stopped, n.Database.Sync, n.Database.Automatic = true, false, false
	}
	if s := n.store(); s != nil {
		s.Stopped = true
	}
}

// Switching reports whether writes to tables that move go to where these are to be.
func (t Topology) Switching() bool {
	return slices.ContainsFunc(t.OfKind(Move), func(n Node) bool { return n.Move.Switched })
}

// Node returns the node with that id, and whether there is one.
func (t Topology) Node(id string) (Node, bool) {
	for _, n := range t.Nodes {
		if n.ID == id {
			return n, true
		}
	}
	return Node{}, false
}

// OfKind returns the nodes of a kind, sorted by id.
func (t Topology) OfKind(k Kind) []Node {
	var ns []Node
	for _, n := range t.Nodes {
		if n.Kind == k {
			ns = append(ns, n)
		}
	}
	return ns
}

// LinkedFrom returns the nodes of a kind that the node id may talk to.
func (t Topology) LinkedFrom(id string, k Kind) []Node {
	var ns []Node
	for _, l := range t.Links {
		if l.From != id {
			continue
		}
		if n, ok := t.Node(l.To); ok && n.Kind == k {
			ns = append(ns, n)
		}
	}
	return ns
}

// Behind are the ids that the node id may talk to, sorted.
func (t Topology) Behind(id string) []string {
	var ids []string
	for _, l := range t.Links {
		if l.From == id {
			ids = append(ids, l.To)
		}
	}
	slices.Sort(ids)
	return ids
}

// Put adds a node with its links, or replaces the one of that id.
func (t *Topology) Put(n Node, behind []string) {
	t.Remove(n.ID)
	t.Nodes = append(t.Nodes, n.Clone())
	for _, to := range behind {
		t.Links = append(t.Links, Link{n.ID, to})
	}
	t.Sort()
}

// Remove takes a node and the links from it away; links to it stay for whoever
// still has them to be put anew.
func (t *Topology) Remove(id string) {
	t.Nodes = slices.DeleteFunc(t.Nodes, func(n Node) bool { return n.ID == id })
	t.Links = slices.DeleteFunc(t.Links, func(l Link) bool { return l.From == id })
}

// ID is that of the youngest node of a name, and its generation.
func (t Topology) ID(name string) (id string, generation int) {
	generation = max(t.Generations[name], 1)
	return fmt.Sprintf("%s-g%d", name, generation), generation
}

// Renew gives a name another generation, so that a node of it stands beside the one before.
func (t *Topology) Renew(name string) {
	if t.Generations == nil {
		t.Generations = map[string]int{}
	}
	t.Generations[name] = max(t.Generations[name], 1) + 1
}

// Home is the first region's name, "" when there is none.
func (t Topology) Home() string {
	if len(t.Regions) == 0 {
		return ""
	}
	return t.Regions[0].Name
}

// Clone is a deep copy: a change to it never shows in t.
func (t Topology) Clone() Topology {
	c := t
	c.Regions, c.Links, c.Generations = slices.Clone(t.Regions), slices.Clone(t.Links), maps.Clone(t.Generations)
	c.Nodes = make([]Node, len(t.Nodes))
	for i, n := range t.Nodes {
		c.Nodes[i] = n.Clone()
	}
	return c
}

// Sort puts nodes and links in their canonical order.
func (t *Topology) Sort() {
	slices.SortFunc(t.Nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(t.Links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
}

// Equal reports whether two nodes say the same.
func (n Node) Equal(o Node) bool {
	a, errA := json.Marshal(n)
	b, errB := json.Marshal(o)
	return errA == nil && errB == nil && string(a) == string(b)
}
