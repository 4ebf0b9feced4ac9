// Package httpcache is a shared HTTP cache in front of a handler, by RFC 9111: what a
// CDN's edge does.
//
// What says nothing of its freshness is kept only to be asked about again, as by
// CloudFront with the policy UseOriginCacheControlHeaders. What a request says of
// caching is not obeyed, as CDNs do: a user cannot make the origin work more. It knows
// HTTP and nothing of environments or agents.
package httpcache

import (
	"container/list"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// Cache is one edge's store, and what goes on at it. It is made by New.
type Cache struct {
	name    string
	most    int64               // bytes of all that is stored
	largest int64               // bytes of one body
	refresh func(*http.Request) // asks for a request's resource again, in the background
	now     func() time.Time    // of the tests
	mu      sync.Mutex
	stored  map[string][]*object // by key: a variant each
	recent  *list.List           // of *object, the last used first
	bytes   int64
	flights map[string]*flight
	under   map[*fetching]bool   // on their way
	passes  map[string]time.Time // keys of what was not to be stored lately, until when they are not waited for
	stats   Stats
}

// Stats count requests, by how they were answered.
type Stats struct {
	Hits        int64 `json:"hits"`        // from the store, without asking the origin
	Revalidated int64 `json:"revalidated"` // from the store, once the origin had said that it still holds
	Misses      int64 `json:"misses"`      // by the origin
	Passed      int64 `json:"passed"`      // by the origin, since no store could have
	Objects     int   `json:"objects"`     // that are stored
	Bytes       int64 `json:"bytes"`       // that they take
}

// Ratio is the share of requests that could be answered from a store and were, in
// 0 to 1, and false when there was none.
func (s Stats) Ratio() (float64, bool) {
	n := s.Hits + s.Revalidated + s.Misses
	if n == 0 {
		return 0, false
	}
	return float64(s.Hits+s.Revalidated) / float64(n), true
}

// String tells them in a line: "hits 93 % of 120, 14 objects, 120 kB".
func (s Stats) String() string {
	what := "not asked yet"
	if ratio, ok := s.Ratio(); ok {
		what = fmt.Sprintf("hits %.0f %% of %d", 100*ratio, s.Hits+s.Revalidated+s.Misses)
	}
	return fmt.Sprintf("%s, %d objects, %d kB", what, s.Objects, s.Bytes>>10)
}

// Options of a cache.
type Options struct {
	Name string // that it has in Cache-Status
	Most int64  // bytes of all that is stored; 0: 64 MiB, of which one takes an eighth at most
	// Refresh asks the cache for a resource again, in the background, by a request that
	// Refreshing is true of; nil: what is stale is never answered with.
	Refresh func(*http.Request)
}

// New is an empty cache.
func New(o Options) *Cache {
	if o.Most == 0 {
		o.Most = 64 << 20
	}
	return &Cache{name: o.Name, most: o.Most, largest: o.Most / 8, refresh: o.Refresh, now: time.Now,
		stored: map[string][]*object{}, recent: list.New(), flights: map[string]*flight{}, under: map[*fetching]bool{}, passes: map[string]time.Time{}}
}

// Handler answers a request, or says why nobody can.
type Handler func(http.ResponseWriter, *http.Request) error

// object is a stored response.
type object struct {
	key    string
	path   string
	vary   map[string][]string // the request's header fields that chose it
	status int
	header http.Header
	body   []byte
	came   time.Time     // when the origin was asked
	age    time.Duration // that it had then
	fresh  time.Duration // how long it is
	policy policy
	busy   bool // it is being asked for again in the background
	at     *list.Element
}

// size is about what it takes in memory, in bytes: the body, and 1 KiB for the rest.
func (o *object) size() int64 { return int64(len(o.body)) + 1<<10 }

func (o *object) ageAt(now time.Time) time.Duration { return o.age + max(now.Sub(o.came), 0) }

// stale is for how long it has not been fresh; negative: it is.
func (o *object) stale(now time.Time) time.Duration { return o.ageAt(now) - o.fresh }

func (o *object) etag() string     { return o.header.Get("Etag") }
func (o *object) modified() string { return o.header.Get("Last-Modified") }

// flight is a request on its way to the origin, for which others wait.
type flight struct {
	done chan struct{}
	once sync.Once
}

func (f *flight) end() { f.once.Do(func() { close(f.done) }) }

func key(r *http.Request) string { return r.Host + " " + r.URL.RequestURI() }

// find is the stored response that goes with a request.
func (c *Cache) find(r *http.Request) *object {
	for _, o := range c.stored[key(r)] {
		if o.goesWith(r) {
			c.recent.MoveToFront(o.at)
			return o
		}
	}
	return nil
}

func (o *object) goesWith(r *http.Request) bool {
	for name, values := range o.vary {
		if strings.Join(r.Header.Values(name), ", ") != strings.Join(values, ", ") {
			return false
		}
	}
	return true
}

// put stores a response in the place of the one that went with the same requests, unless
// it was to be forgotten while it was on its way.
func (c *Cache) put(o *object, f *fetching) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.gone {
		return
	}
	if old := c.find(f.r); old != nil {
		c.drop(old)
	}
	o.at = c.recent.PushFront(o)
	c.stored[o.key] = append(c.stored[o.key], o)
	c.bytes += o.size()
	delete(c.passes, o.key)
	for c.bytes > c.most {
		c.drop(c.recent.Back().Value.(*object))
	}
}

func (c *Cache) drop(o *object) {
	c.recent.Remove(o.at)
	c.bytes -= o.size()
	rest := c.stored[o.key][:0]
	for _, other := range c.stored[o.key] {
		if other != o {
			rest = append(rest, other)
		}
	}
	if c.stored[o.key] = rest; len(rest) == 0 {
		delete(c.stored, o.key)
	}
}

// Purge forgets what is stored of a path, and of all below it when it ends in "*", for
// every host. It returns how many responses that were.
func (c *Cache) Purge(path string) int {
	prefix, below := strings.CutSuffix(path, "*")
	goes := func(p string) bool { return p == path || below && strings.HasPrefix(p, prefix) }
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.under {
		f.gone = f.gone || goes(f.r.URL.Path)
	}
	n := 0
	for e := c.recent.Front(); e != nil; {
		o := e.Value.(*object)
		e = e.Next()
		if goes(o.path) {
			c.drop(o)
			n++
		}
	}
	return n
}

// forget drops what an unsafe request may have changed (RFC 9111, section 4.4).
func (c *Cache) forget(k string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.under {
		f.gone = f.gone || key(f.r) == k
	}
	for len(c.stored[k]) > 0 {
		c.drop(c.stored[k][0])
	}
}

// Stats are those until now.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Objects, s.Bytes = c.recent.Len(), c.bytes
	return s
}

func (c *Cache) count(what *int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*what++
}

// hops are the fields of one connection, which are never stored (RFC 9110, section 7.6.1).
var hops = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// kept is what is stored of a header.
func kept(h http.Header) http.Header {
	k := h.Clone()
	for _, f := range h.Values("Connection") {
		for name := range strings.SplitSeq(f, ",") {
			k.Del(textproto.TrimString(name))
		}
	}
	for _, f := range hops {
		k.Del(f)
	}
	k.Del("Age")
	k.Del(statusField)
	return k
}
