//go:build unix

package agent

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/sony/gobreaker/v2"
)

// Why a request is given up by the gateway itself.
var (
	errLate  = errors.New("no answer began in time")
	errTried = errors.New("as many instances as may be asked did not answer")
)

// circuit is that of a service: open, it lets nobody through.
type circuit struct {
	limits  Limits
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
}

// circuit is the one of a rule, nil when it has none.
func (b *balancer) circuit(r Rule) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	if r.Limits.OpenAfter == 0 || len(r.Pools) == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	name := r.Pools[0].To // both colours stand in every rule, in the same order
	c, ok := b.circuits[name]
	if !ok || c.limits != r.Limits {
		c = circuit{r.Limits, gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{Name: name, Timeout: r.Limits.OpenFor,
			ReadyToTrip: func(n gobreaker.Counts) bool { return int(n.ConsecutiveFailures) >= r.Limits.OpenAfter }})}
		b.circuits[name] = c
	}
	return c.breaker
}

// admitted asks a rule's circuit; ended is to be told the status of the answer.
func (b *balancer) admitted(r Rule) (ended func(status int), ok bool) {
	c := b.circuit(r)
	if c == nil {
		return func(int) {}, true
	}
	done, err := c.Allow()
	if err != nil {
		return nil, false
	}
	return func(status int) { done(status < http.StatusInternalServerError) }, true
}

// broken answers for a service whose circuit is open.
func broken(w http.ResponseWriter, l Limits) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(l.OpenFor.Seconds()))))
	http.Error(w, "the service did not answer; it is asked again soon", http.StatusServiceUnavailable)
}

// limited is a request that ends when its rule's time is over, unless begun is called
// before: an answer that has begun may take as long as it takes.
func limited(r *http.Request, l Limits) (_ *http.Request, begun func(), giveUp context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(r.Context())
	r = r.WithContext(ctx)
	if l.Timeout == 0 {
		return r, func() {}, cancel
	}
	t := time.AfterFunc(l.Timeout, func() { cancel(errLate) })
	return r, func() { t.Stop() }, cancel
}

// givenUp is how a request ends that the gateway gave up; err for another.
func givenUp(r *http.Request, err error) error {
	switch cause := context.Cause(r.Context()); {
	case err == nil:
		return nil
	case errors.Is(cause, errLate):
		return caddyhttp.Error(http.StatusGatewayTimeout, cause)
	case errors.Is(cause, errTried):
		return caddyhttp.Error(http.StatusBadGateway, cause)
	}
	return err
}
