package topology

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

// BackendSpec is a pool of instances of one service; or of one worker, or a job, which
// have no colour, migration, routes, calls and health path.
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
	At        string            `json:"at,omitempty"`      // when a job runs: cron's five fields, UTC
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
	// Sync: it acknowledges a write once one of those that follow it has it too.
	Sync bool `json:"sync,omitempty"`
	// Automatic: when it does not answer, one that follows it is to lead without being asked for.
	Automatic bool `json:"automatic,omitempty"`
	// Service is the one whose own database it is; empty: it is shared.
	Service string `json:"service,omitempty"`
	// Tables are the ones of that service that move to it from the shared one, and back.
	Tables []string `json:"tables,omitempty"`
	// Stale: its service keeps its data in another; what is here was left, or is not yet all.
	Stale bool `json:"stale,omitempty"`
	// Stopped: the data stays, nothing serves it.
	Stopped bool `json:"stopped,omitempty"`
	// Fenced: it led until another was to; it is stopped, and takes no writes even when
	// somebody starts it.
	Fenced bool `json:"fenced,omitempty"`
}

// StoreSpec is a store of files, of sessions or of jobs.
type StoreSpec struct {
	// Stopped: the data stays, nothing serves it.
	Stopped bool `json:"stopped,omitempty"`
}

// PoolerSpec is a pool of connections to all databases that its region uses.
type PoolerSpec struct {
	Mode string `json:"mode"` // transaction or session: for how long a connection is lent
	Size string `json:"size"` // small, medium, large: that of the databases
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

// MoveSpec is a service's tables on their way to another database. One of the two takes
// writes to them at any time, and none while they are switched.
type MoveSpec struct {
	Service string   `json:"service"`
	Tables  []string `json:"tables"`
	From    string   `json:"from"` // the leader that has them
	To      string   `json:"to"`   // the leader that is to have them
	// Switched: To takes the writes.
	Switched bool `json:"switched,omitempty"`
}
