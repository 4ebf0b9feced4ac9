//go:build unix

package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/caddyserver/caddy/v2"
)

// edges are the HTTP servers that the agent holds: one Caddy whose servers
// listen on sockets that the agent opened. What changes often (maintenance,
// routes, which instances are healthy) is read by our handlers from the registry
// at each request; Caddy's own configuration follows only which servers there
// are, since a reload of it can drop a connection.
type edges struct {
	mu        sync.Mutex
	listeners map[string]*net.TCPListener
	wanted    map[string]Edge
	loaded    []byte // the configuration that Caddy runs
	traffic   traffic
}

// registry is what the handlers read. Caddy's modules are global to the process,
// and so is what they look at: it is replaced as a whole, never changed.
var registry atomic.Pointer[registered]

type registered struct {
	edges map[string]Edge
	// upstreams are the addresses that take requests for a node.
	upstreams func(node string) []string
	traffic   *traffic
}

func newEdges(upstreams func(node string) []string) *edges {
	registerModules()
	e := &edges{listeners: map[string]*net.TCPListener{}, wanted: map[string]Edge{}}
	registry.Store(&registered{map[string]Edge{}, upstreams, &e.traffic})
	return e
}

// PortTakenError says that an address cannot be listened on.
type PortTakenError struct {
	Port int
	Err  error
}

func (e *PortTakenError) Error() string {
	return fmt.Sprintf("port %d of 127.0.0.1 is taken by another program", e.Port)
}
func (e *PortTakenError) Unwrap() error { return e.Err }

// listen opens a port of loopback. Go sets SO_REUSEADDR only, never SO_REUSEPORT,
// with which two programs would share a port unnoticed.
func listen(port int) (*net.TCPListener, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &PortTakenError{port, err}
	}
	return l, err
}

// put makes edges as wanted, all of them or none.
func (e *edges) put(edges ...Edge) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, edge := range edges {
		old, had := e.wanted[edge.Name]
		if l := e.listeners[edge.Name]; l == nil || had && old.Port != edge.Port {
			fresh, err := listen(edge.Port)
			if err != nil {
				return err
			}
			if l != nil {
				l.Close()
			}
			e.listeners[edge.Name] = fresh
		}
	}
	for _, edge := range edges {
		e.wanted[edge.Name] = edge
	}
	e.publish()
	return e.load()
}

// adopt takes over a listener from the agent before this one.
func (e *edges) adopt(name string, l *net.TCPListener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners[name] = l
}

func (e *edges) remove(name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.wanted, name)
	e.publish()
	err := e.load()
	if l := e.listeners[name]; l != nil {
		l.Close()
		delete(e.listeners, name)
	}
	return err
}

// close lets requests in flight end and gives the ports up.
func (e *edges) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.traffic.drain()
	err := caddy.Stop()
	e.traffic.emptied()
	for _, l := range e.listeners {
		l.Close()
	}
	return err
}

func (e *edges) publish() {
	r := &registered{map[string]Edge{}, registry.Load().upstreams, &e.traffic}
	for k, v := range e.wanted {
		v.Routes = slices.Clone(v.Routes)
		// The longest prefix first, so that the first match is the right one.
		slices.SortFunc(v.Routes, func(a, b Route) int { return cmp.Compare(len(b.Path), len(a.Path)) })
		r.edges[k] = v
	}
	registry.Store(r)
}

func (e *edges) load() error {
	b, err := json.Marshal(e.config())
	if err != nil {
		return err
	}
	if string(b) == string(e.loaded) {
		return nil
	}
	if err := caddy.Load(b, false); err != nil {
		return fmt.Errorf("start the edges: %w", err)
	}
	e.loaded = b
	return nil
}

// object is a piece of Caddy's configuration.
type object = map[string]any

func (e *edges) config() object {
	servers := object{}
	for _, edge := range e.wanted {
		s := object{
			"listen":          []string{fmt.Sprintf("%s/%s:%d", network, edge.Name, edge.Port)},
			"automatic_https": object{"disable": true},
			"protocols":       []string{"h1"},
			"routes":          []any{object{"handle": edge.handlers()}},
		}
		servers[edge.Name] = s
	}
	return object{
		"admin": object{"disabled": true, "config": object{"persist": false}},
		// Nothing is stored; the certificate machinery would otherwise write to the home directory.
		"storage": object{"module": "file_system", "root": "/nonexistent"},
		"logging": object{"logs": object{"default": object{"level": "WARN"}}},
		"apps": object{
			"http": object{"servers": servers, "grace_period": "10s"},
			"tls":  object{"disable_storage_check": true, "disable_storage_clean": true},
		},
	}
}

func (edge Edge) handlers() []any {
	if edge.Kind == "static" {
		return []any{object{"handler": handlerName, "edge": edge.Name}}
	}
	return []any{
		object{"handler": handlerName, "edge": edge.Name},
		object{
			"handler":           "reverse_proxy",
			"dynamic_upstreams": object{"source": sourceName},
			"flush_interval":    -1,
			"request_buffers":   65536,
			"transport":         object{"protocol": "http", "dial_timeout": "2s", "keep_alive": object{"enabled": true, "probe_interval": "30s"}},
			"load_balancing": object{
				"selection_policy": object{"policy": "round_robin"},
				// A backend that is restarting is waited for; what has reached a backend is
				// tried again only where that cannot do it twice.
				"try_duration": "5s",
				"try_interval": "20ms",
				"retry_match":  []any{object{"method": []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}}},
			},
		},
	}
}
