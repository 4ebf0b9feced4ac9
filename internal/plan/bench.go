package plan

import "time"

// Load is what a bench asks an environment for.
type Load struct {
	Requests []Request     // taken in turns
	From     []string      // the regions whose users ask; empty: all
	Rate     int           // requests a second, of each region's users
	For      time.Duration // how long
	// Phase names the part of the load that a request of that moment is told under; nil:
	// there is but one.
	Phase func(at time.Time) string
}

// Chaos is what goes wrong on purpose.
type Chaos struct {
	What string        // Kill, Stop, Cut, Slow or Drop
	Name string        // a component, a node for all of its processes, or for Drop a region
	By   time.Duration // Slow: so much longer is a round trip
}

// What can go wrong.
const (
	Kill = "kill" // a process dies with all that it started
	Stop = "stop" // a process does nothing, and is there
	Cut  = "cut"  // a link carries nothing
	Slow = "slow" // a link takes longer
	Drop = "drop" // a region answers nobody, and no other reaches it
)

// Request is one that users send.
type Request struct {
	Method, Path, Body string
}

// The bounds of a load: a bench is a measurement, not an attack.
const (
	MostRate  = 2000             // requests a second
	LongestOf = 10 * time.Minute // of a load
)

// Bench is what a load met.
type Bench struct {
	Version int     `json:"version"`
	App     string  `json:"app"`
	Env     string  `json:"env"`
	Level   int     `json:"level"`
	Rate    int     `json:"rate"`    // requests a second, of each region's users
	Seconds float64 `json:"seconds"` // for which was asked
	Users   []Users `json:"users"`
	// Transactions are those that the databases counted meanwhile, by component, as
	// PostgreSQL counts them: up to a second late, health checks included.
	Transactions map[string]int64 `json:"transactions"`
	// WAN is how many bytes passed between regions, both ways.
	WAN int64 `json:"wan"`
}

// Users are those of one region. Times are in milliseconds, and those of all requests,
// however they ended.
type Users struct {
	Region   string         `json:"region"`
	Phase    string         `json:"phase,omitempty"`
	Address  string         `json:"address"` // where the application's name led them last
	Requests int            `json:"requests"`
	Errors   int            `json:"errors"` // no answer, or one of 400 and above
	Codes    map[string]int `json:"codes"`  // answers by status; "0": there was none
	P50      float64        `json:"p50"`
	P95      float64        `json:"p95"`
	P99      float64        `json:"p99"`
	Max      float64        `json:"max"`
	// Hits is the part of the answers that the CDN's edges had, from 0 to 1; -1 where
	// there are no edges.
	Hits float64 `json:"hits"`
}
