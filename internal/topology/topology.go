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
	Entry        Kind = "entry"         // the public address; exactly one a region that takes traffic
	LoadBalancer Kind = "load-balancer" // spreads what reaches the entry over pools
	Backend      Kind = "backend"       // a pool of instances of one service
	Static       Kind = "static"        // servers of the release's static files
	Database     Kind = "database"      // a relational database; holds data, unless it follows another
	Files        Kind = "files"         // an S3-compatible store of files that the application wrote; holds data
	Sessions     Kind = "sessions"      // a store of sessions that speaks Redis's protocol; holds data
	Cache        Kind = "cache"         // an in-memory cache that speaks Redis's protocol; may be lost at any time
	CDN          Kind = "cdn"           // edges near the users that keep what may be kept
	DNS          Kind = "dns"           // the application's name, and whom it leads where
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
	Cache        *CacheSpec        `json:"cache,omitempty"`
	CDN          *CDNSpec          `json:"cdn,omitempty"`
	DNS          *DNSSpec          `json:"dns,omitempty"`
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

// LoadBalancerSpec is what a load balancer sends where. It stands behind the
// entry, in front of everything that it balances, and holds no data.
type LoadBalancerSpec struct {
	Rules []Rule `json:"rules"` // the longest matching prefix wins
}

// Rule shares requests whose path starts with Path out among pools.
type Rule struct {
	Path  string  `json:"path"`
	Pools []Share `json:"pools"`
	// Limits are what the requests are kept to.
	Limits Limits `json:"limits,omitzero"`
}

// Limits are what a gateway keeps requests for a service to; 0 stands for none.
type Limits struct {
	Timeout   int `json:"timeout,omitempty"`   // seconds until the answer must begin
	Attempts  int `json:"attempts,omitempty"`  // how many instances are asked at most
	OpenAfter int `json:"openAfter,omitempty"` // failures in a row that open the circuit
	OpenFor   int `json:"openFor,omitempty"`   // seconds
}

// Share is a pool's part of a rule. A pool whose weight is 0 is idle: only
// requests that name its colour reach it.
type Share struct {
	To     string `json:"to"`
	Color  string `json:"color,omitempty"`
	Weight int    `json:"weight"` // of the sum of the rule's weights
}

// Maintenance is what the entry answers while the node behind it changes.
type Maintenance struct {
	Page       string `json:"page,omitempty"` // a file of the project's; empty: our own page
	RetryAfter int    `json:"retryAfter"`     // seconds, sent as Retry-After
}

// BackendSpec is a pool of instances of one service.
type BackendSpec struct {
	Service   string            `json:"service"`
	Command   []string          `json:"command"`           // empty: the image's own
	Image     string            `json:"image,omitempty"`   // what a cloud runs; empty: this machine's own command
	Level     int               `json:"level"`             // the level that it was made for, which it is told
	Dir       string            `json:"dir"`               // working directory; empty: it needs none
	Migrate   []string          `json:"migrate,omitempty"` // run to its end before instances of a new release start
	Release   string            `json:"release"`           // digest of what runs
	Color     string            `json:"color"`             // blue or green
	Instances int               `json:"instances"`         // 0: an idle colour
	StaticURL string            `json:"staticUrl"`         // where its static files are; empty: nobody else serves them
	Routes    []string          `json:"routes,omitempty"`  // of a single node: the paths that lead to it, whoever else they lead to
	Calls     []string          `json:"calls,omitempty"`   // the services that it may call
	Called    bool              `json:"called,omitempty"`  // other services may call it
	Env       map[string]string `json:"env,omitempty"`     // the application's own settings, no secrets
	Secrets   []string          `json:"secrets,omitempty"` // names of settings whose values are kept encrypted in the record
	// SecretsVersion stands for those values: it changes when one does.
	SecretsVersion string `json:"secretsVersion,omitempty"`
	Health         string `json:"health"` // path that answers 2xx or 3xx when an instance is ready
	// StartTimeout and StopTimeout are in seconds.
	StartTimeout int `json:"startTimeout"`
	StopTimeout  int `json:"stopTimeout"`
}

// StaticSpec is a server of files that belong to a release.
type StaticSpec struct {
	Dir     string `json:"dir"`     // where they come from; empty: the built-in example's
	Release string `json:"release"` // digest of the files
	Prefix  string `json:"prefix"`  // stripped from the path before a file is looked up
	Servers int    `json:"servers"` // at least 1
}

// DatabaseSpec is a relational database.
type DatabaseSpec struct {
	Engine string `json:"engine"` // postgres
	Size   string `json:"size"`   // small, medium, large
	// Standby: a second one in another zone takes over when it fails.
	Standby bool `json:"standby,omitempty"`
	// Of is the leader that it follows as a replica; empty: it leads, and takes writes.
	Of string `json:"of,omitempty"`
	// Service is the one whose own database it is; empty: it is shared.
	Service string `json:"service,omitempty"`
	// Stopped: the data stays, nothing serves it.
	Stopped bool `json:"stopped,omitempty"`
	// Fenced: it led until another was to; it is stopped, and takes no writes even when
	// somebody starts it.
	Fenced bool `json:"fenced,omitempty"`
}

// StoreSpec is a store of files or of sessions.
type StoreSpec struct {
	// Stopped: the data stays, nothing serves it.
	Stopped bool `json:"stopped,omitempty"`
}

// CacheSpec is an in-memory cache of one region.
type CacheSpec struct {
	Size string `json:"size"` // small, medium, large
}

// CDNSpec is a network of edges in front of the regions' entries.
type CDNSpec struct {
	Origins []string `json:"origins"`          // the entries that it may fetch from; the nearest that is healthy answers
	Static  string   `json:"static,omitempty"` // the digest of the release's files; empty: there are none
	Prefix  string   `json:"prefix,omitempty"` // under which they are found
}

// Policy is how a name is answered.
type Policy string

// The policies. None leads to a region that does not answer, as long as one does.
const (
	Latency    Policy = "latency"    // the region that is nearest by time
	Geographic Policy = "geographic" // the user's own region
	Weighted   Policy = "weighted"   // each region by its share
	Failover   Policy = "failover"   // home, as long as it answers
)

// DNSSpec is the application's name.
type DNSSpec struct {
	Policy Policy `json:"policy"`
	// Weights are the regions' shares by the policy weighted; a region without has 1.
	Weights map[string]int `json:"weights,omitempty"`
	To      string         `json:"to"` // the CDN that it leads to
}

// Link says that From may talk to To; the credentials of that link are From's alone.
type Link struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// HoldsData reports whether removing the node would lose what users put there.
func (n Node) HoldsData() bool {
	return n.Kind == Database && !n.Replica() || n.Kind == Files || n.Kind == Sessions
}

// Replica reports whether the node is a database that follows another.
func (n Node) Replica() bool { return n.Database != nil && n.Database.Of != "" }

// Fenced reports whether the node is a database that led and may not any more.
func (n Node) Fenced() bool { return n.Database != nil && n.Database.Fenced }

// Stopped reports whether the node's data stays and nothing serves it.
func (n Node) Stopped() bool {
	return n.Database != nil && n.Database.Stopped || n.Files != nil && n.Files.Stopped || n.Sessions != nil && n.Sessions.Stopped
}

// Stop makes a node that holds data one that nothing serves.
func (n *Node) Stop() {
	switch n.Kind {
	case Database:
		n.Database.Stopped = true
	case Files:
		n.Files.Stopped = true
	case Sessions:
		n.Sessions.Stopped = true
	}
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
	t.Nodes = append(t.Nodes, n.clone())
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
		b.Env, b.Calls = maps.Clone(b.Env), slices.Clone(b.Calls)
		b.Routes = slices.Clone(b.Routes)
		n.Backend = &b
	}
	if n.LoadBalancer != nil {
		lb := LoadBalancerSpec{Rules: slices.Clone(n.LoadBalancer.Rules)}
		for i := range lb.Rules {
			lb.Rules[i].Pools = slices.Clone(lb.Rules[i].Pools)
		}
		n.LoadBalancer = &lb
	}
	n.Static = clonePtr(n.Static)
	n.Database = clonePtr(n.Database)
	n.Files = clonePtr(n.Files)
	n.Sessions = clonePtr(n.Sessions)
	n.Cache = clonePtr(n.Cache)
	if n.DNS = clonePtr(n.DNS); n.DNS != nil {
		n.DNS.Weights = maps.Clone(n.DNS.Weights)
	}
	if n.CDN != nil {
		c := *n.CDN
		c.Origins = slices.Clone(c.Origins)
		n.CDN = &c
	}
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
