//go:build unix

package agent

import (
	"context"
	"errors"
	"sync"
	"time"
)

// holds let requests for some pools wait: for a moment nobody may write what these write.
// They go on when the hold ends, or as soon as their rule sends them elsewhere.
type holds struct {
	mu      sync.Mutex
	held    map[string]int // by pool
	passing map[string]int // requests on their way to a pool, by what their rules may lead to
	changed chan struct{}  // closed when a hold, a rule or the last request of a held pool is gone
}

func newHolds() *holds {
	return &holds{held: map[string]int{}, passing: map[string]int{}, changed: make(chan struct{})}
}

// enter counts a request that may go to some pools until it leaves. One that has to wait
// does not enter: it asks again once wait is closed.
func (h *holds) enter(pools []Share) (leave func(), wait <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range pools {
		if s.Weight > 0 && h.held[s.To] > 0 {
			return nil, h.changed
		}
	}
	for _, s := range pools {
		h.passing[s.To]++
	}
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, s := range pools {
			if h.passing[s.To]--; h.passing[s.To] == 0 && h.held[s.To] > 0 {
				h.tell()
			}
		}
	}), nil
}

// tell lets everyone look again; the caller holds the mutex.
func (h *holds) tell() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// published is called when rules have changed.
func (h *holds) published() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.held) > 0 {
		h.tell()
	}
}

var errStillAsked = errors.New("requests that had begun before have not been answered")

// hold lets requests for pools wait until ctx ends. It is ready when those that had begun
// before are answered, streams apart; when that takes longer than patience, it gives up.
func (h *holds) hold(ctx context.Context, pools []string, patience time.Duration, ready func()) error {
	h.mu.Lock()
	for _, p := range pools {
		h.held[p]++
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, p := range pools {
			if h.held[p]--; h.held[p] == 0 {
				delete(h.held, p)
			}
		}
		h.tell()
	}()
	late := time.After(patience)
	for {
		h.mu.Lock()
		busy, changed := 0, h.changed
		for _, p := range pools {
			busy += h.passing[p]
		}
		h.mu.Unlock()
		if busy == 0 {
			break
		}
		select {
		case <-changed:
		case <-late:
			return errStillAsked
		case <-ctx.Done():
			return nil
		}
	}
	ready()
	<-ctx.Done()
	return nil
}

// Hold is what the agent is asked to let wait.
type Hold struct {
	Pools    []string      `json:"pools"`
	Patience time.Duration `json:"patience"`
}

// Hold lets requests for some pools wait until ctx ends: with whoever asked for it, and
// with the agent, it is over.
func (a *Agent) Hold(ctx context.Context, h Hold, ready func()) error {
	a.log.Info("requests wait", "for", h.Pools)
	began := time.Now()
	err := a.edges.balancer.holds.hold(ctx, h.Pools, h.Patience, ready)
	a.log.Info("requests go on", "after", time.Since(began).Round(time.Millisecond).String(), "error", err)
	return err
}

// Hold lets requests for some pools wait until stop is called, or the caller ends; it
// returns once what had begun before is answered.
func (c *Client) Hold(ctx context.Context, h Hold) (stop func(), err error) {
	return c.while(ctx, "/v1/hold", h)
}
