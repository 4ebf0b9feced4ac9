// Package topology describes an application's infrastructure as data: regions,
// the nodes that stand in them, and who may talk to whom.
//
// It knows nothing of how a node is made, on which target, or at which level it
// belongs, and imports only the standard library.
package topology

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

// Kind says what a node is.
type Kind string

// The kinds of nodes.
const (
	Entry    Kind = "entry"    // the public address; exactly one a region that takes traffic
	Backend  Kind = "backend"  // a pool of instances of one service
	Static   Kind = "static"   // a server of the release's static files
	Database Kind = "database" // a relational database; holds data
	Files    Kind = "files"    // a directory of files that the application wrote; holds data
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
	// Regions in the order of the configuration; the first is home.
	Regions []Region `json:"regions,omitempty"`
	// Maintenance is what entries answer with while what is behind them changes.
	Maintenance Maintenance `json:"maintenance"`
	Nodes       []Node      `json:"nodes,omitempty"` // sorted by ID
	Links       []Link      `json:"links,omitempty"` // sorted by From, then To
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

	Entry    *EntrySpec    `json:"entry,omitempty"`
	Backend  *BackendSpec  `json:"backend,omitempty"`
	Static   *StaticSpec   `json:"static,omitempty"`
	Database *DatabaseSpec `json:"database,omitempty"`
	Files    *FilesSpec    `json:"files,omitempty"`
}

// EntrySpec is the public address and where it sends what it gets.
type EntrySpec struct {
	Routes []Route `json:"routes"` // the longest matching prefix wins
	// Maintenance, when set, answers every request with 503 and a page.
	Maintenance *Maintenance `json:"maintenance,omitempty"`
}

// Route sends requests whose path starts with Path to the node To.
type Route struct {
	Path string `json:"path"`
	To   string `json:"to"`
}

// Maintenance is what the entry answers while the node behind it changes.
type Maintenance struct {
	Page       string `json:"page,omitempty"` // a file of the project's; empty: our own page
	RetryAfter int    `json:"retryAfter"`     // seconds, sent as Retry-After
}

// BackendSpec is a pool of instances of one service.
type BackendSpec struct {
	Service   string            `json:"service"`
	Command   []string          `json:"command"`
	Dir       string            `json:"dir"`               // working directory; empty: the Files node that it links to
	Migrate   []string          `json:"migrate,omitempty"` // run to its end before instances of a new release start
	Release   string            `json:"release"`           // digest of what runs
	Color     string            `json:"color"`             // blue or green
	Instances int               `json:"instances"`         // at least 1
	Env       map[string]string `json:"env,omitempty"`     // the application's own settings, no secrets
	Secrets   []string          `json:"secrets,omitempty"` // names of settings whose values are kept encrypted in the record
	Health    string            `json:"health"`            // path that answers 2xx or 3xx when an instance is ready
	// StartTimeout and StopTimeout are in seconds.
	StartTimeout int `json:"startTimeout"`
	StopTimeout  int `json:"stopTimeout"`
}

// StaticSpec is a server of files that belong to a release.
type StaticSpec struct {
	Dir     string `json:"dir"`     // where they come from; empty: the built-in example's
	Release string `json:"release"` // digest of the files
	Prefix  string `json:"prefix"`  // stripped from the path before a file is looked up
}

// DatabaseSpec is a relational database.
type DatabaseSpec struct {
	Engine string `json:"engine"` // postgres
	Size   string `json:"size"`   // small, medium, large
	// Stopped: the data stays, nothing serves it.
	Stopped bool `json:"stopped,omitempty"`
}

// FilesSpec is a directory that the application writes to.
type FilesSpec struct{}

// Link says that From may talk to To; the credentials of that link are From's alone.
type Link struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// HoldsData reports whether removing the node would lose what users put there.
func (n Node) HoldsData() bool { return n.Kind == Database || n.Kind == Files }

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
	c.Regions, c.Links = slices.Clone(t.Regions), slices.Clone(t.Links)
	c.Nodes = make([]Node, len(t.Nodes))
	for i, n := range t.Nodes {
		c.Nodes[i] = n.clone()
	}
	return c
}

func (n Node) clone() Node {
	if n.Entry != nil {
		e := *n.Entry
		e.Routes = slices.Clone(e.Routes)
		if e.Maintenance != nil {
			m := *e.Maintenance
			e.Maintenance = &m
		}
		n.Entry = &e
	}
	if n.Backend != nil {
		b := *n.Backend
		b.Command, b.Migrate, b.Secrets = slices.Clone(b.Command), slices.Clone(b.Migrate), slices.Clone(b.Secrets)
		b.Env = maps.Clone(b.Env)
		n.Backend = &b
	}
	n.Static = clonePtr(n.Static)
	n.Database = clonePtr(n.Database)
	n.Files = clonePtr(n.Files)
	return n
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
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
