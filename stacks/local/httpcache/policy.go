package httpcache

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/cachecontrol/cacheobject"
)

// policy is what a response says of being stored.
type policy struct {
	store bool
	fresh time.Duration
	// revalidate and ifError are for how long after it was fresh it may be answered
	// with while it is asked for again, and when that fails (RFC 5861).
	revalidate, ifError time.Duration
}

// final are the statuses whose meaning does not hang on the one request.
var final = []int{http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent, http.StatusMultipleChoices, http.StatusMovedPermanently, http.StatusFound,
	http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusRequestURITooLong, http.StatusNotImplemented}

// policyOf reads a response to a GET by the rules for a shared cache (RFC 9111,
// sections 3 and 4.2).
func policyOf(r *http.Request, status int, h http.Header, now time.Time) policy {
	var p policy
	cc, err := cacheobject.ParseResponseCacheControl(strings.Join(h.Values("Cache-Control"), ", "))
	if err != nil || !slices.Contains(final, status) || cc.NoStore || cc.PrivatePresent {
		return p
	}
	shared := cc.Public || cc.SMaxAge >= 0
	if r.Header.Get("Authorization") != "" && !shared && !cc.MustRevalidate {
		return p
	}
	if h.Get("Set-Cookie") != "" && !shared { // it is most likely one user's
		return p
	}
	if slices.Contains(fields(h, "Vary"), "*") {
		return p
	}
	switch {
	case cc.NoCachePresent:
	case cc.SMaxAge >= 0:
		p.fresh = time.Duration(cc.SMaxAge) * time.Second
	case cc.MaxAge >= 0:
		p.fresh = time.Duration(cc.MaxAge) * time.Second
	case h.Get("Expires") != "":
		date, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			date = now
		}
		if at, err := http.ParseTime(h.Get("Expires")); err == nil && !slices.Contains(h.Values("Expires"), "") && len(h.Values("Expires")) == 1 {
			p.fresh = max(at.Sub(date), 0)
		}
	}
	if strict := cc.MustRevalidate || cc.ProxyRevalidate || cc.NoCachePresent || cc.SMaxAge >= 0 && cc.StaleWhileRevalidate < 0; !strict {
		p.revalidate = time.Duration(max(cc.StaleWhileRevalidate, 0)) * time.Second
		p.ifError = time.Duration(max(cc.StaleIfError, 0)) * time.Second
	}
	// One that is never fresh and cannot be asked about is of no use.
	p.store = p.fresh > 0 || p.revalidate > 0 || h.Get("Etag") != "" || h.Get("Last-Modified") != ""
	return p
}

// fields are the values of a header field that is a list.
func fields(h http.Header, name string) []string {
	var fs []string
	for _, v := range h.Values(name) {
		for f := range strings.SplitSeq(v, ",") {
			if f = strings.TrimSpace(f); f != "" {
				fs = append(fs, f)
			}
		}
	}
	return fs
}

// ageOf is what a response says of its age (RFC 9111, section 4.2.3).
func ageOf(h http.Header, asked, came time.Time) time.Duration {
	var apparent, said time.Duration
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		apparent = max(came.Sub(date).Truncate(time.Second), 0)
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(strings.SplitN(h.Get("Age"), ",", 2)[0]), 10, 32); err == nil && n > 0 {
		said = time.Duration(n) * time.Second
	}
	return max(apparent, said+came.Sub(asked))
}

// passed reports whether a request goes to the origin as it is, and its answer is not
// stored.
func passed(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != "" ||
		strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// unsafe reports whether a request may change what its target is.
func unsafe(method string) bool {
	return !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace}, method)
}
