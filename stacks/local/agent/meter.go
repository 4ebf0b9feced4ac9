//go:build unix

package agent

import (
	"sync"
	"time"
)

// Counts are requests, and how many of them ended with a 5xx or without an answer.
type Counts struct {
	Requests int64 `json:"requests"`
	Errors   int64 `json:"errors"`
}

// Traffic is what went through a node before and since traffic was last moved,
// and what it has to do now.
type Traffic struct {
	Before   Counts `json:"before"` // over at most the 30 s before
	Since    Counts `json:"since"`
	Requests int    `json:"requests"` // in flight
	Streams  int    `json:"streams"`  // open WebSockets and event streams
}

// meterSpan is how many seconds a meter remembers.
const meterSpan = 30

// meter counts the requests of a node.
type meter struct {
	mu            sync.Mutex
	seconds       [meterSpan]Counts
	at            int64 // the second of the newest bucket
	newest        time.Time
	before, since Counts
}

func (m *meter) count(now time.Time, failed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	m.newest = now
	c := &m.seconds[m.at%meterSpan]
	c.Requests++
	m.since.Requests++
	if failed {
		c.Errors++
		m.since.Errors++
	}
}

// turn empties the buckets of the seconds that have passed.
func (m *meter) turn(now time.Time) {
	s := now.Unix()
	for n := max(m.at+1, s-meterSpan+1); n <= s; n++ {
		m.seconds[n%meterSpan] = Counts{}
	}
	m.at = max(m.at, s)
}

func (m *meter) mark(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	m.before, m.since = Counts{}, Counts{}
	for _, c := range m.seconds {
		m.before.Requests += c.Requests
		m.before.Errors += c.Errors
	}
}

// last reports whether the newest request is no older than a span of time.
func (m *meter) last(now time.Time, span time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Sub(m.newest) < span
}

func (m *meter) read() (before, since Counts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.before, m.since
}
