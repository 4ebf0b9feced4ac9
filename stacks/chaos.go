package stacks

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
)

// disturber is a target on which something can go wrong on purpose.
type disturber interface {
	// Disturb refuses what it cannot do; begin does it, until end is called or the
	// program ends.
	Disturb(ctx context.Context, t topology.Topology, pins map[string]string, c plan.Chaos) (begin func() (end func(), err error), err error)
}

// calm is how long a load is watched before and after something goes wrong.
const calm = 3 * time.Second

// Chaos lets something go wrong for the time of the load, and returns what the load met
// before, meanwhile and after.
func (e *Environment) Chaos(ctx context.Context, c plan.Chaos, load plan.Load, chart io.Writer) (plan.Bench, error) {
	t, ok := e.target.(disturber)
	if !ok {
		return plan.Bench{}, &Error{What: "this version disturbs the target local only", Hint: "AWS has a service for it: AWS Fault Injection Service"}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin, err := t.Disturb(ctx, e.record.standing(), e.pins, c)
	if err != nil {
		return plan.Bench{}, err
	}
	var began, ended atomic.Pointer[time.Time]
	now := func(p *atomic.Pointer[time.Time]) { t := time.Now(); p.Store(&t) }
	load.Phase = func(at time.Time) string {
		switch from, until := began.Load(), ended.Load(); {
		case from == nil || at.Before(*from):
			return "before"
		case until == nil || at.Before(*until):
			return "meanwhile"
		default:
			return "after"
		}
	}
	wrong := make(chan error, 1)
	go func() {
		defer close(wrong)
		if !pass(ctx, calm) {
			return
		}
		now(&began)
		end, err := begin()
		if err != nil {
			cancel() // the load: nothing goes wrong
			wrong <- err
			return
		}
		pass(ctx, load.For)
		end()
		now(&ended)
	}()
	lasts := load
	lasts.For = calm + load.For + calm
	b, err := e.Bench(ctx, lasts, chart)
	cancel()
	if failed := <-wrong; failed != nil {
		return b, failed
	}
	return b, err
}

// pass lets time pass; false when ctx ended first.
func pass(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
