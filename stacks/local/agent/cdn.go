//go:build unix

package agent

import (
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/scale-levels/scale/stacks/local/httpcache"
)

// refreshField marks the requests with which an edge of the CDN asks its own entry for
// what is stale, by a word that nobody else knows.
const refreshField = "X-Scale-Refresh"

var refreshWord = rand.Text()

// refresher asks an entry on its own address.
var refresher = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 8, IdleConnTimeout: 3 * time.Second},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// newStore is the store of a CDN's edge in front of an entry.
func newStore(edge string, entry func() (Edge, bool)) *httpcache.Cache {
	return httpcache.New(httpcache.Options{Name: edge, Refresh: func(r *http.Request) {
		e, ok := entry()
		if !ok {
			return
		}
		r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", e.address()
		r.Body, r.ContentLength = nil, 0
		r.Header.Set(refreshField, refreshWord)
		if resp, err := refresher.Do(r); err == nil { // else it stays stale, and is asked for again
			_, _ = io.Copy(io.Discard, resp.Body) // what is not read whole is not stored
			resp.Body.Close()
		}
	}})
}

// refreshes is a request with which an edge asks again, told from those of users.
func refreshes(r *http.Request) *http.Request {
	word := r.Header.Get(refreshField)
	r.Header.Del(refreshField)
	if word == refreshWord {
		return r.WithContext(httpcache.Refreshing(r.Context()))
	}
	return r
}

// putStore keeps a CDN edge's store; another release of the files under its prefix
// makes it forget those. The caller holds the mutex.
func (e *edges) putStore(edge Edge, old Edge) {
	s := e.stores[edge.Name]
	if s == nil {
		e.stores[edge.Name] = newStore(edge.Name, func() (Edge, bool) {
			for _, entry := range registry.Load().entries {
				if entry.Node == edge.Front {
					return entry, true
				}
			}
			return Edge{}, false
		})
		return
	}
	if old.Release != edge.Release {
		s.Purge(strings.TrimSuffix(edge.Prefix, "/") + "/*")
		s.Purge(edge.Prefix)
	}
}

// Purge makes all edges of the CDN forget a path, or all below one that ends in "*".
func (a *Agent) Purge(path string) int {
	a.edges.mu.Lock()
	defer a.edges.mu.Unlock()
	n := 0
	for _, s := range a.edges.stores {
		n += s.Purge(path)
	}
	return n
}
