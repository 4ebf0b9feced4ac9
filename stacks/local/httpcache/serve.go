package httpcache

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// statusField says how a request was answered (RFC 9211).
const statusField = "Cache-Status"

type refreshing struct{}

// Refreshing marks a request as one that asks for what is stored again.
func Refreshing(ctx context.Context) context.Context {
	return context.WithValue(ctx, refreshing{}, true)
}

// notWaitedFor is how long requests for what was not to be stored go to the origin side
// by side, before one of them is waited for again.
const notWaitedFor = 10 * time.Second

// Serve answers from the store, or asks next and stores what it says.
func (c *Cache) Serve(w http.ResponseWriter, r *http.Request, next Handler) error {
	if passed(r) {
		return c.pass(w, r, next)
	}
	again := r.Context().Value(refreshing{}) != nil
	for {
		c.mu.Lock()
		o := c.find(r)
		now := c.now()
		if o != nil && !again {
			late := o.stale(now)
			if late < 0 || c.refresh != nil && late < o.policy.revalidate {
				refresh := late >= 0 && !o.busy
				o.busy = o.busy || refresh
				c.stats.Hits++
				c.mu.Unlock()
				if refresh {
					go c.again(o, r.Clone(context.WithoutCancel(r.Context())))
				}
				return c.answer(w, r, o, fmt.Sprintf("hit; ttl=%d", int((-late).Seconds())))
			}
		}
		// A head or a part says nothing of the whole; what was not to be stored a moment
		// ago most likely still is not.
		if r.Method == http.MethodHead || r.Header.Get("Range") != "" && (o == nil || o.status != http.StatusOK) || o == nil && now.Before(c.passes[key(r)]) {
			c.mu.Unlock()
			return c.pass(w, r, next)
		}
		f := c.flights[key(r)]
		if f == nil || again || now.Before(c.passes[key(r)]) {
			var led *flight
			if f == nil {
				led = &flight{done: make(chan struct{})}
				c.flights[key(r)] = led
			}
			c.mu.Unlock()
			return c.fetch(w, r, o, led, next)
		}
		c.mu.Unlock()
		select {
		case <-f.done:
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// again asks for what is stored once more.
func (c *Cache) again(o *object, r *http.Request) {
	c.refresh(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	o.busy = false
}

// pass hands a request on as it is.
func (c *Cache) pass(w http.ResponseWriter, r *http.Request, next Handler) error {
	c.count(&c.stats.Passed)
	p := &passing{ResponseWriter: w, mark: c.name + "; fwd=" + map[bool]string{true: "method", false: "bypass"}[unsafe(r.Method)]}
	err := next(p, r)
	if err == nil && p.status == 0 {
		p.WriteHeader(http.StatusOK)
	}
	if err == nil && unsafe(r.Method) && p.status >= 200 && p.status < 400 {
		c.forget(key(r))
		for _, f := range []string{"Location", "Content-Location"} {
			if u, err := url.Parse(w.Header().Get(f)); err == nil && w.Header().Get(f) != "" && (u.Host == "" || u.Host == r.Host) {
				c.forget(r.Host + " " + r.URL.ResolveReference(u).RequestURI())
			}
		}
	}
	return err
}

// passing remembers the status of an answer that is not stored.
type passing struct {
	http.ResponseWriter
	mark   string
	status int
}

// Unwrap lets the answer be flushed and its connection be taken over.
func (p *passing) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (p *passing) WriteHeader(status int) {
	if status >= http.StatusOK {
		p.status = status
		p.Header().Set(statusField, p.mark)
	}
	p.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (p *passing) Write(b []byte) (int, error) {
	if p.status == 0 {
		p.WriteHeader(http.StatusOK)
	}
	return p.ResponseWriter.Write(b)
}

// fetch asks the origin, about what is stored when there is something. led is the
// flight that others wait for, nil when nobody does.
func (c *Cache) fetch(w http.ResponseWriter, r *http.Request, o *object, led *flight, next Handler) error {
	asked := r.Clone(r.Context())
	for _, f := range []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range", "Range"} {
		asked.Header.Del(f)
	}
	if o != nil {
		if t := o.etag(); t != "" {
			asked.Header.Set("If-None-Match", t)
		}
		if t := o.modified(); t != "" {
			asked.Header.Set("If-Modified-Since", t)
		}
	}
	f := &fetching{ResponseWriter: w, c: c, r: r, old: o, asked: c.now(), led: led}
	f.begin()
	defer f.over()
	err := next(f, asked)
	if err != nil && f.status == 0 && o != nil && o.stale(c.now()) < o.policy.ifError {
		f.erred, err = true, nil
	}
	if err == nil && f.status == 0 && !f.erred {
		f.WriteHeader(http.StatusOK) // an answer without a body
	}
	switch {
	case f.erred:
		c.count(&c.stats.Hits)
		return c.answer(w, r, o, "hit; fwd=stale; detail=error")
	case err != nil:
		f.unwaited()
		return err
	case f.status == http.StatusNotModified:
		o = c.freshen(o, f)
		f.end()
		c.count(&c.stats.Revalidated)
		return c.answer(w, r, o, "hit; fwd=stale; fwd-status=304")
	case f.held:
		stored := f.store()
		f.end()
		c.count(&c.stats.Misses)
		return c.answer(w, r, stored, "fwd=uri-miss; stored")
	}
	c.count(&c.stats.Misses)
	f.store()
	return nil
}

// freshen takes over what the origin says anew of a stored response.
func (c *Cache) freshen(o *object, f *fetching) *object {
	c.mu.Lock()
	n := *o // whose busy is another's to change
	c.mu.Unlock()
	n.header = o.header.Clone()
	for k, v := range kept(f.header) {
		if k != "Content-Length" && k != "Content-Encoding" && k != "Content-Type" && k != "Content-Range" {
			n.header[k] = v
		}
	}
	came := c.now()
	n.came, n.age, n.busy = came, ageOf(f.header, f.asked, came), false
	n.policy = policyOf(f.r, n.status, n.header, came)
	n.fresh = n.policy.fresh
	if n.policy.store {
		c.put(&n, f)
	} else {
		c.forget(n.key)
	}
	return &n
}

// answer writes a stored response: all of it, a part, or that it has not changed.
func (c *Cache) answer(w http.ResponseWriter, r *http.Request, o *object, how string) error {
	h := w.Header()
	for k, v := range o.header {
		h[k] = v
	}
	h.Set("Age", strconv.Itoa(int(o.ageAt(c.now()).Seconds())))
	h.Set(statusField, c.name+"; "+how)
	if o.status != http.StatusOK {
		w.WriteHeader(o.status)
		_, err := w.Write(o.body)
		return err
	}
	if _, typed := h["Content-Type"]; !typed {
		h["Content-Type"] = nil // it was not said, and is not guessed
	}
	at, err := http.ParseTime(o.modified())
	if err != nil {
		at = time.Time{}
	}
	h.Del("Content-Length")
	http.ServeContent(w, r, "", at, bytes.NewReader(o.body))
	return nil
}

// fetching is an answer of the origin on its way: to the client, and into the store.
type fetching struct {
	http.ResponseWriter
	c      *Cache
	r      *http.Request // the client's
	old    *object
	asked  time.Time
	came   time.Time
	led    *flight
	status int
	header http.Header // of the origin
	policy policy
	body   bytes.Buffer
	keep   bool // the body is being kept
	held   bool // the client gets the whole once it is stored: it asked for a part, or with a condition
	erred  bool // the origin failed, and what is stored may be answered with
	gone   bool // it was to be forgotten meanwhile; the cache's mutex guards it
}

func (f *fetching) begin() {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.under[f] = true
}

// over is the end, however it came.
func (f *fetching) over() {
	f.c.mu.Lock()
	delete(f.c.under, f)
	f.c.mu.Unlock()
	f.end()
}

// Unwrap lets the answer be flushed and its connection be taken over.
func (f *fetching) Unwrap() http.ResponseWriter {
	if f.erred || f.held || f.status == http.StatusNotModified && f.old != nil {
		return nil
	}
	return f.ResponseWriter
}

// Header implements http.ResponseWriter: what the origin says is seen before it counts.
func (f *fetching) Header() http.Header {
	if f.header == nil {
		f.header = f.ResponseWriter.Header().Clone()
	}
	return f.header
}

// WriteHeader implements http.ResponseWriter.
func (f *fetching) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		f.ResponseWriter.WriteHeader(status)
		return
	}
	f.status, f.came = status, f.c.now()
	if f.old != nil && status == http.StatusNotModified {
		return
	}
	if f.old != nil && status >= http.StatusInternalServerError && f.old.stale(f.came) < f.old.policy.ifError {
		f.erred = true
		return
	}
	f.policy = policyOf(f.r, status, f.Header(), f.came)
	f.keep = f.policy.store
	if n, err := strconv.ParseInt(f.Header().Get("Content-Length"), 10, 64); err == nil && n > f.c.largest {
		f.keep = false
	}
	if !f.keep {
		f.unwaited()
	}
	f.held = f.keep && status == http.StatusOK && (f.r.Header.Get("If-None-Match") != "" || f.r.Header.Get("If-Modified-Since") != "" || f.r.Header.Get("Range") != "")
	if f.held {
		return
	}
	f.send()
}

// send begins the client's answer.
func (f *fetching) send() {
	how := "fwd=uri-miss"
	if f.old != nil {
		how = "fwd=stale"
	}
	if f.keep {
		how += "; stored"
	}
	h := f.ResponseWriter.Header()
	clear(h)
	for k, v := range f.header {
		h[k] = v
	}
	h.Set(statusField, f.c.name+"; "+how)
	f.ResponseWriter.WriteHeader(f.status)
}

// Write implements http.ResponseWriter.
func (f *fetching) Write(b []byte) (int, error) {
	if f.status == 0 {
		f.WriteHeader(http.StatusOK)
	}
	if f.erred || f.old != nil && f.status == http.StatusNotModified {
		return len(b), nil
	}
	if f.keep && int64(f.body.Len()+len(b)) > f.c.largest {
		f.keep = false
		f.unwaited()
		if f.held {
			f.held = false
			f.send()
			if _, err := f.ResponseWriter.Write(f.body.Bytes()); err != nil {
				return 0, err
			}
		}
		f.body.Reset()
	}
	if f.keep {
		f.body.Write(b)
	}
	if f.held {
		return len(b), nil
	}
	return f.ResponseWriter.Write(b)
}

// FlushError implements what http.ResponseController looks for.
func (f *fetching) FlushError() error {
	if f.held || f.erred || f.status == 0 || f.old != nil && f.status == http.StatusNotModified {
		return nil
	}
	return http.NewResponseController(f.ResponseWriter).Flush()
}

// unwaited lets go those who wait for an answer that is not stored.
func (f *fetching) unwaited() {
	f.c.mu.Lock()
	f.c.passes[key(f.r)] = f.c.now().Add(notWaitedFor)
	if len(f.c.passes) > 10_000 {
		clear(f.c.passes)
	}
	f.c.mu.Unlock()
	f.end()
}

// end lets those go who wait.
func (f *fetching) end() {
	if f.led == nil {
		return
	}
	f.c.mu.Lock()
	if f.c.flights[key(f.r)] == f.led {
		delete(f.c.flights, key(f.r))
	}
	f.c.mu.Unlock()
	f.led.end()
}

// store puts the whole answer away, if it is whole and may be kept.
func (f *fetching) store() *object {
	o := &object{key: key(f.r), path: f.r.URL.Path, status: f.status, header: kept(f.Header()), body: bytes.Clone(f.body.Bytes()),
		came: f.came, age: ageOf(f.Header(), f.asked, f.came), fresh: f.policy.fresh, policy: f.policy, vary: map[string][]string{}}
	for _, name := range fields(f.Header(), "Vary") {
		o.vary[name] = f.r.Header.Values(name)
	}
	n, err := strconv.Atoi(f.Header().Get("Content-Length"))
	whole := err != nil || n == len(o.body)
	if f.keep && whole {
		f.c.put(o, f)
	} else if f.old != nil && f.status < http.StatusInternalServerError {
		f.c.forget(o.key) // what was stored is not what there is
	}
	return o
}
