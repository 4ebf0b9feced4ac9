//go:build unix

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// supervised is one process and the goroutine that keeps it running.
type supervised struct {
	spec   Process
	digest string
	dirs   Dirs

	cancel context.CancelFunc // asks the goroutine to end the process
	let    context.CancelFunc // asks it to leave the process alone
	done   chan struct{}      // closed when the goroutine has ended
	ready  chan struct{}      // closed when it is healthy for the first time, or never will be

	mu       sync.Mutex
	state    string
	healthy  bool
	id       ident
	restarts int
	since    time.Time
	detail   string // what is waited for, or why it is not running
	failure  error  // why it did not become ready
}

// supervise starts a process, or adopts a running one, and keeps it running. A
// patient supervisor tries again also when the process never became ready.
func supervise(d Dirs, p Process, adopt ident, patient bool) *supervised {
	ctx, cancel := context.WithCancel(context.Background())
	letCtx, let := context.WithCancel(context.Background())
	s := &supervised{spec: p, digest: p.Digest(), dirs: d, cancel: cancel, let: let, state: Starting, since: time.Now(), id: adopt,
		done: make(chan struct{}), ready: make(chan struct{})}
	go func() {
		defer close(s.done)
		if p.At != "" {
			s.scheduled(ctx, letCtx, adopt)
			return
		}
		s.loop(ctx, letCtx, adopt, patient)
	}()
	return s
}

func (s *supervised) set(f func()) { s.mu.Lock(); defer s.mu.Unlock(); f() }

// firstPause and lastPause bound the wait before a process is started again.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	// calm is how long a process must run for its next pause to be the first again.
	calm = 30 * time.Second
)

func (s *supervised) loop(ctx, let context.Context, adopt ident, patient bool) {
	var once sync.Once
	becomeReady := func() { once.Do(func() { close(s.ready) }) }
	defer becomeReady()
	pause := firstPause
	for first := true; ; first = false {
		began := time.Now()
		exited, err := s.start(ctx, adopt)
		adopt = ident{}
		if err == nil {
			err = s.run(ctx, let, exited, becomeReady)
		}
		switch {
		case ctx.Err() != nil:
			s.set(func() { s.state, s.healthy = Stopped, false })
			return
		case let.Err() != nil:
			return
		case s.spec.Once && err == nil:
			s.set(func() { s.state, s.healthy, s.detail = Done, true, "" })
			return
		case first && !patient && !s.everReady() || s.spec.Once:
			// It never worked: whoever asked for it is told, and starting it again would not help.
			s.set(func() {
				s.state, s.healthy, s.detail = Failed, false, err.Error()
				s.failure = &StartError{s.spec.Name, err.Error(), Tail(s.dirs.Log(s.spec.Name), 20)}
			})
			return
		}
		if time.Since(began) > calm {
			pause = firstPause
		}
		s.set(func() { s.state, s.healthy, s.restarts, s.detail = Restarting, false, s.restarts+1, err.Error() })
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		case <-let.Done():
			return
		}
		pause = min(2*pause, lastPause)
	}
}

func (s *supervised) everReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// start starts the process, or takes up the one that runs. The channel tells
// how it ended.
func (s *supervised) start(ctx context.Context, adopt ident) (<-chan error, error) {
	exited := make(chan error, 1)
	if adopt.alive() {
		resume(adopt) // an agent that died may have left it paused
		s.set(func() { s.id, s.since = adopt, time.Now() })
		go func() {
			await(context.WithoutCancel(ctx), adopt)
			exited <- errors.New("ended while no agent was its parent")
		}()
		return exited, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	sweep(ctx, s.dirs, s.spec.Name, 3*time.Second)
	if s.spec.Kind == "database" {
		clearStalePostmaster(s.spec.Dir)
	}
	log, err := os.OpenFile(s.dirs.Log(s.spec.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := command(s.dirs, s.spec, log)
	if err := c.Start(); err != nil {
		return nil, errors.New(startText(c, err))
	}
	id, _ := identify(c.Process.Pid)
	id.Digest = s.digest
	if err := id.write(s.dirs.ident(s.spec.Name)); err != nil {
		end(ctx, id, "KILL", 0)
		_ = c.Wait()
		return nil, err
	}
	s.set(func() { s.id, s.state, s.since = id, Starting, time.Now() })
	go func() { exited <- c.Wait() }()
	return exited, nil
}

func startText(c *exec.Cmd, err error) string {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return fmt.Sprintf("could not be started: there is no program %q", c.Args[0])
	}
	return "could not be started: " + err.Error()
}

// run watches a started process until it ends, by itself or because it is asked to.
func (s *supervised) run(ctx, let context.Context, exited <-chan error, becomeReady func()) error {
	watch, stop := context.WithCancel(ctx)
	defer stop()
	unhealthy := make(chan error, 1)
	if !s.spec.Once && s.spec.At == "" {
		go s.watchHealth(watch, becomeReady, unhealthy)
	}
	select {
	case err := <-exited:
		s.forget()
		if err == nil && (s.spec.Once || s.spec.At != "") {
			return nil
		}
		return errors.New(exitText(err))
	case err := <-unhealthy:
		s.stop(exited)
		return err
	case <-ctx.Done():
		s.stop(exited)
		return nil
	case <-let.Done():
		return nil
	}
}

// stop ends the whole group and what escaped from it.
func (s *supervised) stop(exited <-chan error) {
	resume(s.id)                // one that was paused on purpose hears nothing
	ctx := context.Background() // an end once begun is finished
	ended := make(chan struct{})
	go func() { end(ctx, s.id, s.spec.Stop, s.spec.StopTimeout); close(ended) }()
	select {
	case <-exited:
	case <-ended:
	}
	<-ended
	sweep(ctx, s.dirs, s.spec.Name, time.Second)
	s.forget()
}

func (s *supervised) forget() { _ = os.Remove(s.dirs.ident(s.spec.Name)) }

// watchHealth looks until the process is ready, then keeps looking. A process
// that is not ready in time for the first time is reported; one that was ready
// before is left to recover.
func (s *supervised) watchHealth(ctx context.Context, becomeReady func(), unhealthy chan<- error) {
	deadline := time.Now().Add(s.spec.StartTimeout)
	pause, failed := 10*time.Millisecond, 0
	for {
		answer := s.spec.Health.check(ctx)
		if ran := time.Since(s.component().Since); ran < s.spec.Health.Stays {
			answer = fmt.Sprintf("it has run for %d ms", ran.Milliseconds())
		}
		if ctx.Err() != nil {
			return
		}
		told, settled := answer, true
		if failed++; answer == "" {
			failed = 0
			told, settled = s.spec.Health.tell(ctx)
		}
		s.set(func() {
			// Once is no illness: it takes an instance out only at the second time.
			s.healthy, s.detail = answer == "" || s.healthy && failed < 2, told
			if s.healthy {
				s.state = Running
			}
		})
		if answer == "" {
			becomeReady()
			if pause = 2 * time.Second; !settled {
				pause = 250 * time.Millisecond
			}
		} else if !s.everReady() && time.Now().After(deadline) {
			unhealthy <- fmt.Errorf("was not ready after %s: %s", s.spec.StartTimeout, answer)
			return
		} else if pause = min(2*pause, 250*time.Millisecond); s.everReady() {
			pause = 250 * time.Millisecond
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// wait returns when the process is ready or will not be, telling what it waits for.
func (s *supervised) wait(ctx context.Context, waiting func(string)) error {
	began := time.Now()
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-s.ready:
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.failure == nil && s.state == Stopped {
				return fmt.Errorf("%s was stopped or replaced while it was waited for", s.spec.Name)
			}
			return s.failure
		case <-t.C:
			s.mu.Lock()
			text := fmt.Sprintf("%s: %s", s.spec.waits(), or(s.detail, "starting"))
			s.mu.Unlock()
			waiting(fmt.Sprintf("%s (%.0f s of %.0f)", text, time.Since(began).Seconds(), s.spec.StartTimeout.Seconds()))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p Process) waits() string {
	switch {
	case p.Once:
		return "waiting for " + p.Name + " to end"
	case p.Health.HTTP != "":
		return "waiting for " + p.Health.HTTP
	case p.Health.Stays > 0:
		return "waiting for " + p.Name + " to have run for a while"
	default:
		return "waiting for " + p.Name + " to accept connections"
	}
}

// end stops the process for good.
func (s *supervised) end() { s.cancel(); <-s.done }

// runs is the process, or the last one that there was.
func (s *supervised) runs() ident {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// kill ends the process with all that it started, as the loss of its machine would; false
// when it does not run.
func (s *supervised) kill() bool {
	id := s.runs()
	return id.alive() && unix.Kill(-id.PID, unix.SIGKILL) == nil
}

// release stops watching the process and leaves it running.
func (s *supervised) release() { s.let(); <-s.done }

func (s *supervised) component() Component {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Component{Name: s.spec.Name, Node: s.spec.Node, Kind: s.spec.Kind, Digest: s.digest, Tag: s.spec.Tag, State: s.state, Healthy: s.healthy,
		Port: s.spec.Port, Restarts: s.restarts, Since: s.since, Detail: s.detail}
	if s.state == Running || s.state == Starting {
		c.PID = s.id.PID
	}
	return c
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
