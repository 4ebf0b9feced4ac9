//go:build unix

// Package agent is the one long-running process of a local environment: it
// supervises the components that are processes of their own, and holds the
// edges (the public address and the static servers) itself.
//
// It outlives the command that started it, restarts what dies, keeps logs, and
// takes processes down as groups. When it dies, the next one adopts what runs;
// when a newer scale replaces it, it hands its listeners over. It listens on
// loopback and on a socket that only its user can reach, and knows nothing of
// topologies, levels or the engine.
package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/scale-levels/scale/stacks/local/httpcache"
)

// Process is a component that is a process of its own.
type Process struct {
	Name string   `json:"name"` // web-use1-g1-1
	Node string   `json:"node"` // web-use1-g1
	Kind string   `json:"kind"` // backend, worker, job, database, store, task
	Argv []string `json:"argv"`
	Env  []string `json:"env"` // KEY=VALUE, complete
	Dir  string   `json:"dir"`
	// User is whom it runs as when the agent is root; nil for the agent's own user.
	User *User `json:"user,omitempty"`
	Port int   `json:"port,omitempty"`
	// Tag is the asker's own name for what it asked for; it changes nothing.
	Tag string `json:"tag,omitempty"`

	Health       Health        `json:"health"`
	StartTimeout time.Duration `json:"startTimeout"` // until Health must hold
	StopTimeout  time.Duration `json:"stopTimeout"`  // between Stop and KILL
	Stop         string        `json:"stop"`         // TERM or INT: what asks it to end
	// Once: it runs to its end, which must be a success, and is not started again.
	Once bool `json:"once,omitempty"`
	// At: it runs to its end at these times (cron's five fields, UTC), never twice at once.
	At string `json:"at,omitempty"`
}

// User is an account of the machine.
type User struct {
	UID, GID uint32
}

// Health is how a process is known to be ready; at most one of HTTP, Postgres and
// Redis is set.
type Health struct {
	HTTP     string `json:"http,omitempty"`     // a URL that must answer 2xx or 3xx
	Postgres string `json:"postgres,omitempty"` // a connection string that must connect
	Follows  bool   `json:"follows,omitempty"`  // of a PostgreSQL: it is a replica, and how far it is behind is told
	// Stays is for how long a process must have run that can be asked nothing.
	Stays time.Duration `json:"stays,omitempty"`
	Redis string        `json:"redis,omitempty"` // an address where PING must be answered, if only with a request to log in
}

// Digest names everything that makes the process what it is.
func (p Process) Digest() string {
	p.Tag, p.Health.Follows = "", false // a replica that is promoted runs on
	b, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("agent: a process has no JSON: %v", err)) // its types all have
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8])
}

// Edge is a part that takes requests and that the agent holds itself: an HTTP
// server, a load balancer behind one or a CDN's edge before it; the way of one service to
// another; a link between regions; a name server.
type Edge struct {
	Name string `json:"name"`
	Node string `json:"node"`
	Kind string `json:"kind"`           // entry, static, load-balancer, cdn, call, link, dns
	Host string `json:"host,omitempty"` // an address of loopback; empty: 127.0.0.1
	Port int    `json:"port,omitempty"` // a load balancer has none: it is reached through an entry
	Tag  string `json:"tag,omitempty"`  // as that of a process

	Routes      []Route      `json:"routes,omitempty"`      // of an entry
	Rules       []Rule       `json:"rules,omitempty"`       // of a load balancer
	Root        string       `json:"root,omitempty"`        // of a static server: a directory
	Prefix      string       `json:"prefix,omitempty"`      // stripped from paths below Root
	Maintenance *Maintenance `json:"maintenance,omitempty"` // set: answers everything

	Front   string        `json:"front,omitempty"`   // of a CDN's edge: the entry's node that it stands in front of
	Release string        `json:"release,omitempty"` // of a CDN's edge: that of the files under Prefix
	To      string        `json:"to,omitempty"`      // of a link: the address that it leads to
	RTT     time.Duration `json:"rtt,omitempty"`     // of a link: what a round trip takes
	Zone    *Zone         `json:"zone,omitempty"`    // of a name server
	Caller  Caller        `json:"caller,omitzero"`   // of a call: who may come in, and to whom that leads
	Pools   []string      `json:"pools,omitempty"`   // of a call: the nodes of the service that is called
	dropped bool          // it answers nobody, on purpose
}

// ip is the address that the edge listens on.
func (e Edge) ip() net.IP {
	if e.Host == "" {
		return net.IPv4(127, 0, 0, 1)
	}
	return net.ParseIP(e.Host)
}

// address is where the edge is reached.
func (e Edge) address() string { return net.JoinHostPort(e.ip().String(), strconv.Itoa(e.Port)) }

// Route sends paths that start with Path to the healthy ones among the processes
// of the node To, to the edge of that node, or on to that load balancer.
type Route struct {
	Path string `json:"path"`
	To   string `json:"to"`
}

// Rule shares paths that start with Path out among the processes or edges of nodes.
type Rule struct {
	Path   string  `json:"path"`
	Pools  []Share `json:"pools"`
	Limits Limits  `json:"limits,omitzero"`
}

// Limits are what requests are kept to; 0 stands for none.
type Limits struct {
	Timeout   time.Duration `json:"timeout,omitempty"`   // until the answer must begin
	Attempts  int           `json:"attempts,omitempty"`  // how many instances are asked at most
	OpenAfter int           `json:"openAfter,omitempty"` // failures in a row that open the circuit
	OpenFor   time.Duration `json:"openFor,omitempty"`   // until one request is let through again
}

// Share is a node's part of a rule.
type Share struct {
	To     string `json:"to"`
	Color  string `json:"color,omitempty"` // requests that name it get there whatever the weight
	Weight int    `json:"weight"`
}

// Maintenance is what an entry answers while what is behind it changes.
type Maintenance struct {
	Page       string `json:"page"`       // HTML
	RetryAfter int    `json:"retryAfter"` // seconds
}

// The states of a component.
const (
	Running    = "running"
	Starting   = "starting"
	Restarting = "restarting" // it ended by itself, and is started again after a pause
	Stopped    = "stopped"
	Failed     = "failed"
	Done       = "done"    // of a process that runs once
	Waiting    = "waiting" // for the next of the times at which it runs
)

// Component is how one process or edge stands.
type Component struct {
	Name     string    `json:"name"`
	Node     string    `json:"node"`
	Kind     string    `json:"kind"`
	Digest   string    `json:"digest"`
	Tag      string    `json:"tag,omitempty"`
	State    string    `json:"state"`
	Healthy  bool      `json:"healthy"`
	PID      int       `json:"pid,omitempty"`
	Port     int       `json:"port,omitempty"`
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since"`
	Detail   string    `json:"detail,omitempty"`
}

// Status is how the whole environment stands.
type Status struct {
	PID        int         `json:"pid"`
	Build      string      `json:"build"` // names the executable: another one may replace this agent
	Since      time.Time   `json:"since"`
	Adopted    int         `json:"adopted"` // processes that ran when the agent started
	Components []Component `json:"components"`
	// Stores of the CDN's edges, by the edge.
	Stores map[string]httpcache.Stats `json:"stores,omitempty"`
	// Distant is how many bytes each link into another region has carried, both ways.
	Distant map[string]int64 `json:"distant,omitempty"`
	// Traffic by node, of entries and of what is behind them.
	Traffic map[string]Traffic `json:"traffic,omitempty"`
}

// Component returns the one of that name.
func (s Status) Component(name string) (Component, bool) {
	for _, c := range s.Components {
		if c.Name == name {
			return c, true
		}
	}
	return Component{}, false
}

// StartError says why a process did not become ready.
type StartError struct {
	Name string   `json:"name"`
	What string   `json:"what"`
	Log  []string `json:"log"` // its last lines
}

func (e *StartError) Error() string {
	s := e.Name + " " + e.What
	if len(e.Log) > 0 {
		s += "; its last log lines:"
		for _, l := range e.Log {
			s += "\n    " + l
		}
	}
	return s
}

// Dirs are the places of an environment that the agent uses.
type Dirs struct{ Root string }

// Run holds what describes running processes.
func (d Dirs) Run() string { return filepath.Join(d.Root, "run") }

// Logs holds a file a component.
func (d Dirs) Logs() string { return filepath.Join(d.Root, "logs") }

// Log is a component's log file.
func (d Dirs) Log(name string) string { return filepath.Join(d.Logs(), name+".log") }

// Token is where a service finds with what it calls another, over the edge of that name.
func (d Dirs) Token(call string) string { return filepath.Join(d.Run(), "tokens", call) }

// ServiceKeys is where a service finds by what it knows who calls it: a JWKS (RFC 7517).
func (d Dirs) ServiceKeys() string { return filepath.Join(d.Run(), "tokens", "keys.json") }

func (d Dirs) specs() string            { return filepath.Join(d.Run(), "specs") }
func (d Dirs) spec(name string) string  { return filepath.Join(d.specs(), name) }
func (d Dirs) ident(name string) string { return filepath.Join(d.Run(), name+".pid") }
func (d Dirs) done(name string) string  { return filepath.Join(d.Run(), name+".done") }
func (d Dirs) lock() string             { return filepath.Join(d.Run(), "agent.lock") }
func (d Dirs) socket() string           { return filepath.Join(d.Run(), "agent.sock") }
