//go:build unix

package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/adhocore/gronx"
)

// A timer stands still while the machine sleeps: the clock is looked at again after a while,
// and a time that is long past by then has passed.
const (
	lookAgain = 10 * time.Second
	late      = time.Minute
)

// scheduled runs a process at its times, until it is asked to end or to be left alone. A
// time that comes while it runs passes; so does one at which no agent is there.
func (s *supervised) scheduled(ctx, let context.Context, adopt ident) {
	close(s.ready) // there is nothing to wait for
	last, well := "it has not run yet", true
	for {
		if !adopt.alive() {
			next, err := gronx.NextTickAfter(s.spec.At, time.Now().UTC(), false)
			if err != nil {
				s.set(func() { s.state, s.healthy, s.detail = Failed, false, err.Error() })
				return
			}
			s.set(func() {
				s.state, s.healthy, s.since = Waiting, well, time.Now()
				s.detail = fmt.Sprintf("%s; next at %s", last, next.Format("2006-01-02 15:04:05 UTC"))
			})
			for wait := time.Until(next); wait > 0; wait = time.Until(next) {
				select {
				case <-time.After(min(wait, lookAgain)):
				case <-ctx.Done():
					s.set(func() { s.state, s.healthy = Stopped, false })
					return
				case <-let.Done():
					return
				}
			}
			if time.Since(next) > late {
				continue // the machine slept, or its clock was set
			}
		}
		began := time.Now()
		exited, err := s.start(ctx, adopt)
		adopt = ident{}
		s.set(func() { s.state, s.detail = Running, "" })
		if err == nil {
			err = s.run(ctx, let, exited, func() {})
		}
		if let.Err() != nil {
			return
		}
		well, last = err == nil, fmt.Sprintf("ran at %s, for %s", began.UTC().Format("15:04:05"), time.Since(began).Round(time.Millisecond))
		if err != nil {
			last += ", and " + err.Error()
		}
	}
}
