//go:build unix

package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage" // "file_system"
)

// The names under which Caddy's configuration knows our parts.
const (
	network     = "scale"
	handlerName = "scale_edge"
	sourceName  = "scale"
	policyName  = "scale"
	tripVar     = "scale_trip" // the *trip of a request
)

// registerModules makes our parts known to Caddy, which has one registry a process.
var registerModules = sync.OnceFunc(func() {
	caddy.RegisterModule(edgeHandler{})
	caddy.RegisterModule(upstreamSource{})
	caddy.RegisterModule(leastBusy{})
	caddy.RegisterNetwork(network, func(context.Context, string, string, string, uint, net.ListenConfig) (any, error) {
		return listening.Load(), nil
	})
})

// listening is the front on whose connections Caddy's server is to serve.
var listening atomic.Pointer[front]

// edgeHandler answers the requests of an entry with the maintenance page, or
// sends them on their way, and counts how they end.
type edgeHandler struct{}

// CaddyModule implements caddy.Module.
func (edgeHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers." + handlerName, New: func() caddy.Module { return new(edgeHandler) }}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (edgeHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	now := registry.Load()
	edge, came := now.entryOf(r), time.Now()
	p := now.traffic.began(w)
	defer func() { p.ended() }()
	if edge.dropped {
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}
	if edge.Maintenance != nil {
		now.access.add(edge.Name, r, came, http.StatusServiceUnavailable, "maintenance")
		return edge.closed(w)
	}
	if edge.Kind == "call" {
		if err := now.identify(r, edge.Caller); err != nil {
			now.access.add(edge.Name, r, came, http.StatusUnauthorized, "")
			return unknown(w, err)
		}
	}
	origin := func(w http.ResponseWriter, r *http.Request) error {
		return now.forward(w, r, edge, p, came, next)
	}
	store := now.stores[edge.Node]
	if store == nil || r.Header.Get(ColorHeader) != "" { // who names a colour wants that one's answer
		return origin(w, r)
	}
	r = refreshes(r)
	asked, rec := false, caddyhttp.NewResponseRecorder(w, nil, nil)
	err := store.Serve(rec, r, func(w http.ResponseWriter, r *http.Request) error {
		asked = true
		return origin(w, r)
	})
	if !asked && err == nil {
		now.balancer.meter(edge.Node).count(time.Now(), false)
		now.access.add(edge.Name, r, came, rec.Status(), "cdn")
	}
	return err
}

// forward sends a request to who is behind an entry.
func (g *registered) forward(w http.ResponseWriter, r *http.Request, edge Edge, p *passage, came time.Time, next caddyhttp.Handler) error {
	rule, ok := g.rule(edge, r.URL.Path)
	leave, wait := g.balancer.holds.enter(rule.Pools)
	for wait != nil {
		select {
		case <-wait:
		case <-r.Context().Done():
			return r.Context().Err()
		}
		g = registry.Load() // with the rules of now
		rule, ok = g.rule(g.edges[edge.Name], r.URL.Path)
		leave, wait = g.balancer.holds.enter(rule.Pools)
	}
	defer leave()
	if !ok {
		g.access.add(edge.Name, r, came, http.StatusNotFound, "")
		http.NotFound(w, r)
		return nil
	}
	admitted, ok := g.balancer.admitted(rule)
	if !ok {
		g.access.add(edge.Name, r, came, http.StatusServiceUnavailable, "circuit")
		broken(w, rule.Limits)
		return nil
	}
	r, begun, giveUp := limited(r, rule.Limits)
	defer giveUp(nil)
	t := newTrip(g.balancer, g.upstreams, rule.Pools, r)
	t.most, t.giveUp = rule.Limits.Attempts, func() { giveUp(errTried) }
	caddyhttp.SetVar(r.Context(), tripVar, t)
	a := &answer{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, 0, t, p, begun, leave}
	// The proxy panics where an answer breaks off in the middle: that is an end too.
	defer func() {
		t.leave(false)
		admitted(a.status)
		for _, node := range []string{edge.Node, t.node} {
			g.balancer.meter(node).count(time.Now(), a.status >= http.StatusInternalServerError)
		}
		g.access.add(edge.Name, r, came, a.status, strings.TrimSpace(t.node+" "+t.asked))
	}()
	err := givenUp(r, next.ServeHTTP(a, r))
	var he caddyhttp.HandlerError
	if errors.As(err, &he) {
		a.status = he.StatusCode
		// The client that went away says nothing about the backend.
		t.leave(he.StatusCode == http.StatusBadGateway || he.StatusCode == http.StatusGatewayTimeout)
	}
	return err
}

// entryOf is the entry at which a request came in.
func (g *registered) entryOf(r *http.Request) Edge {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return g.entries[a.String()]
	}
	return Edge{}
}

// closed answers with the maintenance page.
func (e Edge) closed(w http.ResponseWriter) error {
	w.Header().Set("Retry-After", strconv.Itoa(e.Maintenance.RetryAfter))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, err := w.Write([]byte(e.Maintenance.Page))
	return err
}

// rule is what shares a path out among pools; false when nothing answers it.
func (g *registered) rule(entry Edge, path string) (Rule, bool) {
	if entry.Kind == "call" {
		return g.called(entry), true
	}
	for _, route := range entry.Routes {
		if !matches(route.Path, path) {
			continue
		}
		lb, ok := g.balancers[route.To]
		if !ok {
			return Rule{Pools: []Share{{To: route.To, Weight: 1}}}, true
		}
		for _, rule := range lb.Rules {
			if matches(rule.Path, path) {
				return rule, true
			}
		}
		return Rule{}, false
	}
	return Rule{}, false
}

// called is what shares out the calls of a service: the rule of the load balancer that
// knows it; where none does, or not yet, each of its pools.
func (g *registered) called(call Edge) Rule {
	for _, route := range call.Routes {
		for _, rule := range g.balancers[route.To].Rules {
			if slices.ContainsFunc(rule.Pools, func(s Share) bool { return slices.Contains(call.Pools, s.To) }) {
				return rule
			}
		}
	}
	var alone Rule
	for _, n := range call.Pools {
		alone.Pools = append(alone.Pools, Share{To: n, Weight: 1})
	}
	return alone
}

// matches reports whether a path is the prefix or below it: /api is not a prefix
// of /apiary.
func matches(prefix, path string) bool {
	p := strings.TrimSuffix(prefix, "/")
	return strings.HasPrefix(path, p) && (len(path) == len(p) || path[len(p)] == '/')
}

// answer remembers the status, and notices when it becomes a stream.
type answer struct {
	*caddyhttp.ResponseWriterWrapper
	status  int
	trip    *trip
	passage *passage
	begun   func() // the answer has begun
	leave   func() // nobody waits for its end any more
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		a.status = status
		a.begun()
		if a.trip.becomes(status, a.Header()) {
			a.Header().Del("Connection") // it stays, also where the agent leaves
			if status == http.StatusSwitchingProtocols {
				a.Header().Set("Connection", "Upgrade")
			}
			a.passage.stream()
			a.leave()
		}
	}
	a.ResponseWriterWrapper.WriteHeader(status)
}

func tripOf(r *http.Request) *trip {
	t, ok := caddyhttp.GetVar(r.Context(), tripVar).(*trip)
	if !ok {
		return &trip{b: newBalancer(), find: func(string) []string { return nil }}
	}
	return t
}

// upstreamSource tells the proxy which instances may have a request.
type upstreamSource struct{}

// CaddyModule implements caddy.Module.
func (upstreamSource) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.upstreams." + sourceName, New: func() caddy.Module { return new(upstreamSource) }}
}

// GetUpstreams implements reverseproxy.UpstreamSource.
func (upstreamSource) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	var us []*reverseproxy.Upstream
	for _, a := range tripOf(r).candidates() {
		us = append(us, &reverseproxy.Upstream{Dial: a})
	}
	return us, nil
}

// leastBusy is the proxy's selection policy: the instance with the least to do
// among those that are not being taken out.
type leastBusy struct{}

// CaddyModule implements caddy.Module.
func (leastBusy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.selection_policies." + policyName, New: func() caddy.Module { return new(leastBusy) }}
}

// Select implements reverseproxy.Selector.
func (leastBusy) Select(pool reverseproxy.UpstreamPool, r *http.Request, _ http.ResponseWriter) *reverseproxy.Upstream {
	addrs := make([]string, len(pool))
	for i, u := range pool {
		addrs[i] = u.Dial
	}
	chosen := tripOf(r).next(addrs)
	for _, u := range pool {
		if u.Dial == chosen {
			return u
		}
	}
	return nil
}
