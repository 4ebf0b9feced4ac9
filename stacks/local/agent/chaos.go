//go:build unix

package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Disturbance is what goes wrong on purpose for a while.
type Disturbance struct {
	Kill []string      `json:"kill,omitempty"` // processes, which die with all they started
	Cut  []string      `json:"cut,omitempty"`  // links, which carry nothing and say nothing
	Slow []string      `json:"slow,omitempty"` // links, which take By longer for a round trip
	By   time.Duration `json:"by,omitempty"`
	Drop []string      `json:"drop,omitempty"` // entries, which answer nobody
}

// Disturb makes things go wrong until ctx ends: with whoever asked for it, and with the
// agent, it is over. What was killed comes back as anything does that dies.
func (a *Agent) Disturb(ctx context.Context, d Disturbance, ready func()) (err error) {
	var undo []func() error
	defer func() {
		for _, u := range undo {
			err = errors.Join(err, u())
		}
	}()
	for _, name := range d.Kill {
		if s := a.proc(name); s == nil || !s.kill() {
			return fmt.Errorf("%s is no process that runs", name)
		}
	}
	disturb := func(names []string, cut bool) error {
		for _, name := range names {
			l := a.edges.link(name)
			if l == nil {
				return fmt.Errorf("there is no link %s", name)
			}
			u, err := l.disturb(cut, d.By)
			if err != nil {
				return err
			}
			undo = append(undo, u)
		}
		return nil
	}
	if err := errors.Join(disturb(d.Cut, true), disturb(d.Slow, false)); err != nil {
		return err
	}
	if len(d.Drop) > 0 {
		a.edges.drop(d.Drop, true)
		undo = append(undo, func() error { a.edges.drop(d.Drop, false); return nil })
	}
	a.log.Info("disturbed on purpose", "what", d)
	ready()
	<-ctx.Done()
	return nil
}

// Lend makes edges that are there until ctx ends, and that nobody keeps a note of.
func (a *Agent) Lend(ctx context.Context, lent []Edge, ready func()) error {
	err := a.edges.put(lent...)
	if err == nil {
		ready()
		<-ctx.Done()
	}
	for _, e := range lent {
		err = errors.Join(err, a.edges.remove(e.Name))
	}
	return err
}

func (e *edges) link(name string) *link {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.links[name]
}

// drop lets entries answer nobody, or again.
func (e *edges) drop(names []string, dropped bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range names {
		e.dropped[n] = dropped
	}
	e.publish()
}

// disturb cuts the link or makes it slower, until undone. What passed through a link
// that was cut ends with that: it has lost some of its bytes.
func (l *link) disturb(cut bool, by time.Duration) (undo func() error, err error) {
	if !cut {
		if err := l.takes(func() time.Duration { l.slower += by; return l.rtt + l.slower }); err != nil {
			return nil, err
		}
		return func() error {
			return l.takes(func() time.Duration { l.slower -= by; return l.rtt + l.slower })
		}, nil
	}
	for _, dir := range directions {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name": "cut-%s", "type": "timeout", "stream": %[1]q, "attributes": {"timeout": 0}}`, dir))); err != nil {
			return nil, err
		}
	}
	return func() error {
		var errs []error
		for _, dir := range directions {
			errs = append(errs, l.proxy.Toxics.RemoveToxic(context.Background(), "cut-"+dir))
		}
		return errors.Join(errs...)
	}, nil
}
