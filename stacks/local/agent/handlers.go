//go:build unix

package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

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
	nodeVar     = "scale_node" // the node that a request goes to
)

// registerModules makes our parts known to Caddy, which has one registry a process.
var registerModules = sync.OnceFunc(func() {
	caddy.RegisterModule(edgeHandler{})
	caddy.RegisterModule(upstreamSource{})
})

// registerNetwork makes Caddy's servers listen on the agent's sockets. Each
// start of a server gets a duplicate: closing one closes neither the agent's
// own nor another server's, and what waits in the queue is not lost.
func (e *edges) registerNetwork() {
	caddy.RegisterNetwork(network, func(_ context.Context, _, host, _ string, _ uint, _ net.ListenConfig) (any, error) {
		l := e.listeners[host] // load, which holds the lock, is what calls this
		if l == nil {
			return nil, errors.New("no listener for " + host)
		}
		f, err := l.File()
		if err != nil {
			return nil, err
		}
		defer f.Close()
		d, err := net.FileListener(f)
		if err != nil {
			return nil, err
		}
		return e.traffic.listener(d.(*net.TCPListener)), nil
	})
}

// edgeHandler counts a request. A static server's is answered with a file; at an
// entry it is answered with the maintenance page, or sent to its node.
type edgeHandler struct {
	Edge string `json:"edge"`
}

// CaddyModule implements caddy.Module.
func (edgeHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers." + handlerName, New: func() caddy.Module { return new(edgeHandler) }}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h edgeHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	now := registry.Load()
	now.traffic.requests.Add(1)
	defer now.traffic.requests.Add(-1)
	edge := now.edges[h.Edge]
	if edge.Kind == "static" {
		edge.serveFile(w, r)
		return nil
	}
	if m := edge.Maintenance; m != nil {
		w.Header().Set("Retry-After", strconv.Itoa(m.RetryAfter))
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, err := w.Write([]byte(m.Page))
		return err
	}
	for _, route := range edge.Routes {
		if route.matches(r.URL.Path) {
			caddyhttp.SetVar(r.Context(), nodeVar, route.To)
			return next.ServeHTTP(w, r)
		}
	}
	http.NotFound(w, r)
	return nil
}

// matches reports whether a path is the route's or below it: /api is not a
// prefix of /apiary.
func (r Route) matches(path string) bool {
	p := strings.TrimSuffix(r.Path, "/")
	return strings.HasPrefix(path, p) && (len(path) == len(p) || path[len(p)] == '/')
}

// upstreamSource tells the proxy which instances of a request's node are healthy.
type upstreamSource struct{}

// CaddyModule implements caddy.Module.
func (upstreamSource) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.upstreams." + sourceName, New: func() caddy.Module { return new(upstreamSource) }}
}

// GetUpstreams implements reverseproxy.UpstreamSource.
func (upstreamSource) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	node, _ := caddyhttp.GetVar(r.Context(), nodeVar).(string)
	var us []*reverseproxy.Upstream
	for _, a := range registry.Load().upstreams(node) {
		us = append(us, &reverseproxy.Upstream{Dial: a})
	}
	return us, nil
}
