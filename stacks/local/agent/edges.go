//go:build unix

package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/scale-levels/scale/stacks/local/httpcache"
)

// edges are the parts that take requests: entries, on sockets that the agent opened
// and whose connections one server of Caddy serves; load balancers, which entries hand
// requests to; and static servers. What changes (maintenance, routes, rules and
// weights, which instances are healthy, which entries there are) is read by our
// handlers from the registry at each request: Caddy's own configuration never changes,
// since a reload of it can drop a connection.
type edges struct {
	mu       sync.Mutex
	sockets  map[string]socket // by the edge's name; of a name server there are two
	wanted   map[string]Edge
	serving  map[string]func() // ends the serving of an edge, once what it does is done
	front    *front            // nil until Caddy runs
	links    map[string]*link
	dropped  map[string]bool             // entries that answer nobody, on purpose
	stores   map[string]*httpcache.Cache // of the CDN's edges
	traffic  traffic
	balancer *balancer
	access   *accessLog
}

// registry is what the handlers read. Caddy's modules are global to the process,
// and so is what they look at: it is replaced as a whole, never changed.
var registry atomic.Pointer[registered]

type registered struct {
	edges     map[string]Edge // by name
	entries   map[string]Edge // by address
	balancers map[string]Edge // by node
	// upstreams are the addresses that take requests for a node.
	upstreams func(node string) []string
	healthy   func(node string) bool
	// identify returns why a request may not use a call, nil when it may.
	identify func(r *http.Request, c Caller) error
	stores   map[string]*httpcache.Cache // by the entry that they stand in front of
	traffic  *traffic
	balancer *balancer
	access   *accessLog
}

func newEdges(d Dirs, k Key, upstreams func(node string) []string, healthy func(node string) bool) *edges {
	registerModules()
	e := &edges{access: newAccessLog(d), sockets: map[string]socket{}, wanted: map[string]Edge{}, serving: map[string]func(){},
		links: map[string]*link{}, dropped: map[string]bool{}, stores: map[string]*httpcache.Cache{}, balancer: newBalancer()}
	registry.Store(&registered{upstreams: upstreams, healthy: healthy, identify: k.identify, traffic: &e.traffic, balancer: e.balancer, access: e.access})
	return e
}

// PortTakenError says that an address cannot be listened on.
type PortTakenError struct {
	Host string
	Port int
	Err  error
}

func (e *PortTakenError) Error() string {
	return fmt.Sprintf("port %d of %s is taken by another program", e.Port, e.Host)
}
func (e *PortTakenError) Unwrap() error { return e.Err }

// socket is what the agent opened and a successor gets.
type socket interface {
	File() (*os.File, error)
	Close() error
}

// udp is what is added to an edge's name for its other socket.
const udp = "/udp"

// listen opens the port of an edge: TCP, and UDP for a name server. Go sets
// SO_REUSEADDR only, never SO_REUSEPORT, with which two programs would share a port
// unnoticed.
func (e *edges) listen(edge Edge) error {
	taken := func(err error) error {
		if errors.Is(err, syscall.EADDRINUSE) {
			return &PortTakenError{edge.ip().String(), edge.Port, err}
		}
		return err
	}
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: edge.ip(), Port: edge.Port})
	if err != nil {
		return taken(err)
	}
	if edge.Kind == "dns" {
		u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: edge.ip(), Port: edge.Port})
		if err != nil {
			l.Close()
			return taken(err)
		}
		e.sockets[edge.Name+udp] = u
	}
	e.sockets[edge.Name] = l
	return nil
}

// put makes edges as wanted, all of them or none.
func (e *edges) put(edges ...Edge) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, edge := range edges {
		if edge.Port == 0 {
			continue
		}
		old, had := e.wanted[edge.Name]
		if s := e.sockets[edge.Name]; s == nil {
			if err := e.listen(edge); err != nil {
				return err
			}
		} else if had && old.address() != edge.address() {
			was := e.serving[edge.Name]
			other := e.sockets[edge.Name+udp]
			if err := e.listen(edge); err != nil {
				return err
			}
			endServing(was, s, other)
			delete(e.serving, edge.Name)
		}
	}
	moved := false
	for _, edge := range edges {
		moved = moved || edge.Kind == "entry" || edge.Kind == "load-balancer"
		if edge.Kind == "cdn" {
			e.putStore(edge, e.wanted[edge.Name])
		}
		e.wanted[edge.Name] = edge
	}
	e.publish()
	if moved {
		e.balancer.mark()
	}
	for _, edge := range edges {
		if err := e.serve(edge); err != nil {
			return err
		}
	}
	return nil
}

// serve begins to serve an edge that is not served yet.
func (e *edges) serve(edge Edge) error {
	if l := e.links[edge.Name]; l != nil {
		l.become(edge)
		return nil
	}
	if e.serving[edge.Name] != nil || edge.Port == 0 {
		return nil
	}
	l, err := e.view(edge.Name)
	if err != nil {
		return err
	}
	switch edge.Kind {
	case "static":
		e.serving[edge.Name] = e.serveStatic(edge, l)
	case "link":
		way := newLink(edge, &e.traffic.streams)
		e.links[edge.Name] = way
		go way.serve(l) // until it is closed
		e.serving[edge.Name] = func() { l.Close(); way.end() }
	case "dns":
		u, err := e.packets(edge.Name)
		if err != nil {
			return err
		}
		e.serving[edge.Name] = serveName(edge.Name, u, l)
	default:
		if err := e.start(); err != nil {
			return err
		}
		go e.front.take(l) // until it is closed
		e.serving[edge.Name] = func() { l.Close() }
	}
	return nil
}

func (e *edges) serveStatic(edge Edge, l net.Listener) (end func()) {
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer e.traffic.began(w).ended()
		registry.Load().edges[edge.Name].serveFile(w, r)
	})}
	e.balancer.admit(edge.address())
	go func() { _ = srv.Serve(l) }() // until it is shut down
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		_ = srv.Shutdown(ctx) // what takes longer than that is cut off
	}
}

// end stops serving an edge and gives its port up.
func (e *edges) end(name string) {
	endServing(e.serving[name], e.sockets[name], e.sockets[name+udp])
	delete(e.serving, name)
	delete(e.links, name)
	delete(e.stores, name)
	delete(e.sockets, name)
	delete(e.sockets, name+udp)
}

func endServing(serving func(), sockets ...socket) {
	if serving != nil {
		serving()
	}
	for _, s := range sockets {
		if s != nil {
			s.Close()
		}
	}
}

// view is a server's own duplicate of a socket: closing one closes neither the
// agent's nor another server's, and what waits in the queue is not lost.
func (e *edges) view(name string) (net.Listener, error) {
	f, err := e.duplicate(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return e.traffic.listener(d.(*net.TCPListener)), nil
}

// packets is view for a socket of datagrams.
func (e *edges) packets(name string) (net.PacketConn, error) {
	f, err := e.duplicate(name + udp)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FilePacketConn(f)
}

func (e *edges) duplicate(name string) (*os.File, error) {
	s := e.sockets[name]
	if s == nil {
		return nil, errors.New("no socket for " + name)
	}
	return s.File()
}

// adopt takes over a socket from the agent before this one.
func (e *edges) adopt(name string, s socket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sockets[name] = s
}

func (e *edges) remove(name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.wanted, name)
	e.publish()
	e.end(name)
	return nil
}

// close lets requests in flight end and gives the ports up.
func (e *edges) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.traffic.drain()
	return e.closeNow()
}

// leave is close for an agent that has a successor: told says that everything but
// streams has been answered, and those are served until they end.
func (e *edges) leave(told func()) error {
	e.traffic.drain()
	told()
	e.traffic.linger()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closeNow()
}

func (e *edges) closeNow() error {
	err := caddy.Stop()
	e.front = nil
	for name := range e.wanted {
		if e.wanted[name].Kind == "static" {
			e.end(name)
		}
	}
	e.traffic.emptied()
	for name := range e.wanted {
		e.end(name)
	}
	return err
}

func (e *edges) publish() {
	r := &registered{edges: map[string]Edge{}, entries: map[string]Edge{}, balancers: map[string]Edge{}, stores: map[string]*httpcache.Cache{},
		upstreams: registry.Load().upstreams, healthy: registry.Load().healthy, identify: registry.Load().identify, traffic: &e.traffic, balancer: e.balancer, access: e.access}
	for k, v := range e.wanted {
		v.Routes, v.Rules = slices.Clone(v.Routes), slices.Clone(v.Rules)
		// The longest prefix first, so that the first match is the right one.
		slices.SortFunc(v.Routes, func(a, b Route) int { return cmp.Compare(len(b.Path), len(a.Path)) })
		slices.SortFunc(v.Rules, func(a, b Rule) int { return cmp.Compare(len(b.Path), len(a.Path)) })
		v.dropped = e.dropped[k]
		r.edges[k] = v
		switch v.Kind {
		case "load-balancer":
			r.balancers[v.Node] = v
		case "entry", "call":
			r.entries[v.address()] = v
		case "cdn":
			r.stores[v.Front] = e.stores[k]
		}
	}
	registry.Store(r)
	e.balancer.holds.published()
}

// start runs Caddy, unless it runs.
func (e *edges) start() error {
	if e.front != nil {
		return nil
	}
	b, err := json.Marshal(configuration)
	if err != nil {
		return err
	}
	e.front = newFront()
	listening.Store(e.front)
	if err := caddy.Load(b, false); err != nil {
		e.front = nil
		return fmt.Errorf("start the edges: %w", err)
	}
	return nil
}

// object is a piece of Caddy's configuration.
type object = map[string]any

// configuration is Caddy's: one server, whatever entries there are.
var configuration = object{
	"admin": object{"disabled": true, "config": object{"persist": false}},
	// Nothing is stored; the certificate machinery would otherwise write to the home directory.
	"storage": object{"module": "file_system", "root": "/nonexistent"},
	"logging": object{"logs": object{"default": object{"level": "WARN"}}},
	"apps": object{
		"http": object{"grace_period": "10s", "servers": object{"entries": object{
			"listen":          []string{network + "/entries:1"},
			"automatic_https": object{"disable": true},
			"protocols":       []string{"h1"},
			"routes":          []any{object{"handle": handlers}},
		}}},
		"tls": object{"disable_storage_check": true, "disable_storage_clean": true},
	},
}

// handlers are what a request passes through.
var handlers = []any{
	object{"handler": handlerName},
	object{
		"handler":           "reverse_proxy",
		"dynamic_upstreams": object{"source": sourceName},
		"flush_interval":    -1,
		"request_buffers":   65536,
		"transport": object{"protocol": "http", "dial_timeout": "2s",
			// Shorter than the 5 s after which Node and others close a connection: a
			// POST must not meet one that is being closed.
			"keep_alive": object{"enabled": true, "probe_interval": "30s", "idle_timeout": "3s", "max_idle_conns_per_host": 64}},
		"load_balancing": object{
			"selection_policy": object{"policy": policyName},
			// A backend that is restarting is waited for; what has reached a backend is
			// tried again only where that cannot do it twice.
			"try_duration": "5s",
			"try_interval": "20ms",
			"retry_match":  []any{object{"method": []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}}},
		},
	},
}
