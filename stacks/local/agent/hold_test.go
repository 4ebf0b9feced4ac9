//go:build unix

package agent

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// While a pool is held nobody is on the way to it; when the hold ends, everybody is.
func TestAHoldIsExact(t *testing.T) {
	h, old := newHolds(), []Share{{To: "blue", Weight: 100}, {To: "green"}}
	var held atomic.Bool
	var through atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				leave, wait := h.enter(old)
				if wait != nil {
					<-wait
					continue
				}
				if held.Load() {
					t.Error("a request is on its way to a pool that is held")
				}
				through.Add(1)
				leave()
				leave() // only the first counts
			}
		})
	}
	for range 50 {
		before := through.Load()
		holding, release := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		ready := make(chan struct{})
		go func() { ended <- h.hold(holding, []string{"blue"}, time.Minute, func() { close(ready) }) }()
		<-ready
		held.Store(true)
		if leave, wait := h.enter([]Share{{To: "blue"}, {To: "green", Weight: 100}}); wait != nil {
			t.Error("a rule that leads elsewhere waits")
		} else {
			leave()
		}
		held.Store(false)
		release()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		settles(t, "nobody goes on", func() bool { return through.Load() > before })
	}
	stop()
	wg.Wait()
	if len(h.held) != 0 || h.passing["blue"] != 0 || h.passing["green"] != 0 {
		t.Errorf("left: %v held, %v passing", h.held, h.passing)
	}
}

// A request that takes too long is not waited for, and what was held goes on.
func TestAHoldHasPatience(t *testing.T) {
	h, pools := newHolds(), []Share{{To: "blue", Weight: 100}}
	leave, _ := h.enter(pools)
	defer leave()
	if err := h.hold(t.Context(), []string{"blue"}, time.Millisecond, func() { t.Error("it is held") }); !errors.Is(err, errStillAsked) {
		t.Errorf("got %v", err)
	}
	if _, wait := h.enter(pools); wait != nil {
		t.Error("requests still wait")
	}
}

// Who waits goes on when the rules have changed, whoever holds.
func TestWhoWaitsSeesNewRules(t *testing.T) {
	h := newHolds()
	ctx, release := context.WithCancel(t.Context())
	defer release()
	ready := make(chan struct{})
	go func() { _ = h.hold(ctx, []string{"blue"}, time.Minute, func() { close(ready) }) }()
	<-ready
	_, wait := h.enter([]Share{{To: "blue", Weight: 1}})
	h.published()
	<-wait
}
