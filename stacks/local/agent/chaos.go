//go:build unix

package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Disturbance is what goes wrong on purpose for a while.
type Disturbance struct {
	Kill []string      `json:"kill,omitempty"` // processes, which die with all they started
	Stop []string      `json:"stop,omitempty"` // processes, which do nothing and are there
	Cut  []string      `json:"cut,omitempty"`  // links, which carry nothing and say nothing
	Slow []string      `json:"slow,omitempty"` // links, which take By longer for a round trip
	By   time.Duration `json:"by,omitempty"`
	Drop []string      `json:"drop,omitempty"` // entries, which answer nobody
}

// Disturb makes things go wrong until ctx ends: with whoever asked for it, and with the
// agent, it is over. What was killed comes back as anything does that dies.
func (a *Agent) Disturb(ctx context.Context, d Disturbance, ready func()) error {
	var undo []func()
	defer func() {
		for _, u := range undo {
			u()
		}
	}()
	for _, name := range d.Kill {
		if s := a.proc(name); s == nil || !s.kill() {
			return fmt.Errorf("%s is no process that runs", name)
		}
	}
	for _, name := range d.Stop {
		s := a.proc(name)
		if s == nil || !s.runs().alive() {
			return fmt.Errorf("%s is no process that runs", name)
		}
		i := s.runs()
		pause(i)
		undo = append(undo, func() { resume(i) })
	}
	disturb := func(names []string, cut int, slower time.Duration) error {
		for _, name := range names {
			l := a.edges.link(name)
			if l == nil {
				return fmt.Errorf("there is no link %s", name)
			}
			undo = append(undo, l.disturb(cut, slower))
		}
		return nil
	}
	if err := errors.Join(disturb(d.Cut, 1, 0), disturb(d.Slow, 0, d.By)); err != nil {
		return err
	}
	if len(d.Drop) > 0 {
		a.edges.drop(d.Drop, true)
		undo = append(undo, func() { a.edges.drop(d.Drop, false) })
	}
	a.log.Info("disturbed on purpose", "what", d)
	ready()
	<-ctx.Done()
	return nil
}

// pause stops a process with all that descends from it, in whatever group that is: a
// database's servers have each their own.
func pause(i ident) {
	for seen, fresh := map[int]bool{}, true; fresh; {
		fresh = false
		for _, pid := range family(i) {
			if !seen[pid] && unix.Kill(pid, unix.SIGSTOP) == nil {
				seen[pid], fresh = true, true
			}
		}
	}
}

// resume lets what was paused go on; it looks for more than the process only if that was.
func resume(i ident) {
	if !paused(i.PID) {
		return
	}
	for _, pid := range family(i) {
		_ = unix.Kill(pid, unix.SIGCONT) // it has ended
	}
}

// family are a process, as long as it is ours, and all that descend from it.
func family(i ident) []int {
	if !i.alive() {
		return nil
	}
	pids, parent := []int{i.PID}, parents()
	for n := 0; n < len(pids); n++ {
		for pid, of := range parent {
			if of == pids[n] {
				pids = append(pids, pid)
			}
		}
	}
	return pids
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
		delete(e.dropped, n)
		if dropped {
			e.dropped[n] = true
		}
	}
	e.publish()
}
