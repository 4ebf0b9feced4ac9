// Package rehearsal is a simulated provider, driven by a target's table: how
// later steps of a walk are previewed on a copy of the state, and how failures
// are tried without anything real to lose.
//
// It knows the table and the engine's provider interface, and no target.
package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
)

// Fault is what goes wrong with one operation.
type Fault int

// The faults.
const (
	Works    Fault = iota
	Fails          // the call is refused and nothing has happened
	Throttle       // the call is refused a few times, then works
	Lost           // it has happened, and the answer does not arrive
)

// The errors by which faults show.
var (
	ErrFailed    = errors.New("rehearsed failure")
	ErrThrottled = errors.New("rehearsed throttling: too many requests")
	ErrLost      = errors.New("rehearsed loss: no answer arrived")
)

// attempts is how often a throttled call is made before it is given up, as the
// cloud SDKs' standard retry mode does (three attempts).
const attempts = 3

// Operation is one call that a simulated cloud is asked for.
type Operation struct {
	Op   plan.Op
	Type string
	Name string
}

// Model is what a cloud knows of its types beside their table: the values that
// they take, what they answer, what they refuse.
type Model interface {
	// Check names the inputs whose values the service would not take.
	Check(r engine.Request) []engine.Failure
	// Outputs are what a resource has once it stands, and under which id; the how
	// manieth of its name it is tells one that is made beside an old one apart.
	Outputs(r engine.Request, generation int) (id string, out resource.PropertyMap)
	// Refuse is the service's answer to a call that it would not carry out: what it
	// refers to does not stand, its name is taken, it is still used. Nil: it would.
	Refuse(op plan.Op, r engine.Request, w *World) error
	// Unique is what no two resources that stand may share; empty: nothing.
	Unique(r engine.Request) string
	// Left is what stands on when a resource is deleted: its last snapshot. Nil: nothing.
	Left(r engine.Request) *Thing
	// Beside reports whether a new resource of a type can stand beside the one that
	// it replaces.
	Beside(r engine.Request) bool
}

// Cloud is where simulated resources stand. The zero Speed takes no time.
type Cloud struct {
	Table plan.Table
	// Model, when not nil, knows more of the types than the table.
	Model Model
	// Speed scales the durations of the table: 1 is real time, 0 none.
	Speed float64
	// Whole: what the cloud does not know does not exist, as in one that is kept in a file.
	Whole bool
	// Fault decides what goes wrong with the n-th call (from 1); nil: nothing.
	Fault func(n int, o Operation) Fault
	// After, when set, is called after each call that did something.
	After func(o Operation)

	mu    sync.Mutex
	calls []Operation
	done  map[Operation]bool // verbs
	world World
	file  string   // where it is kept; then what it does not know does not exist
	whole int64    // bytes of the file that are whole lines
	log   *os.File // nil until the first change
	took  time.Duration
}

// New is an empty simulated cloud.
func New(t plan.Table) *Cloud {
	return &Cloud{Table: t, world: newWorld(), done: map[Operation]bool{}}
}

// Providers serve every package of the table from the cloud.
func (c *Cloud) Providers(packages ...string) map[string]engine.ProviderFactory {
	ps := map[string]engine.ProviderFactory{}
	for _, name := range packages {
		ps[name] = func() engine.Provider { return &provider{c} }
	}
	return ps
}

// Seed makes resources of a state stand in the cloud, as if it had made them.
func (c *Cloud) Seed(rs []engine.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rs {
		r.Inputs = r.OldInputs
		c.world.put(c.thing(r, r.ID, r.Olds))
	}
}

// Stand makes a thing stand that no provider made: what a verb leaves.
func (c *Cloud) Stand(t *Thing) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.stands(t)
	if err != nil {
		return err
	}
	return c.write(e)
}

// Vanish takes away what stands without anybody having been asked.
func (c *Cloud) Vanish(typ, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.gone(typ, id)
	if err != nil {
		return err
	}
	return c.write(e)
}

// Verb does something that is no resource, with its fault, as one of the calls.
func (c *Cloud) Verb(o Operation, do func() error) error {
	c.mu.Lock()
	c.calls = append(c.calls, o)
	fault := Works
	if c.Fault != nil {
		fault = c.Fault(len(c.calls), o)
	}
	c.mu.Unlock()
	if fault == Fails {
		return ErrFailed
	}
	if err := do(); err != nil {
		return err
	}
	c.mu.Lock()
	c.done[o] = true
	c.mu.Unlock()
	if fault == Lost {
		return ErrLost
	}
	return nil
}

// Done reports whether a verb was carried out, whether or not its answer arrived.
func (c *Cloud) Done(o Operation) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done[o]
}

// Take makes what stands in another cloud stand here.
func (c *Cloud) Take(o *Cloud) {
	maps.Copy(c.done, o.done)
	for _, t := range o.Things() {
		c.world.put(t)
	}
}

// Calls are the operations so far, in order.
func (c *Cloud) Calls() []Operation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Operation(nil), c.calls...)
}

// Took is how long the calls so far take in the world, one after the other.
func (c *Cloud) Took() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.took
}

// Names are what stands, as "type name".
func (c *Cloud) Names() []string {
	var names []string
	for _, t := range c.Things() {
		names = append(names, t.Type+" "+t.Name)
	}
	return names
}

// Things are what stands, by type, then name, then id.
func (c *Cloud) Things() []*Thing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.world.things), func(a, b *Thing) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
}

// call performs one operation on what stands, with its fault and its duration.
func (c *Cloud) call(ctx context.Context, r engine.Request, op plan.Op, do func() (entry, error)) error {
	o := Operation{op, r.Type, r.Name}
	for try := 1; ; try++ {
		c.mu.Lock()
		c.calls = append(c.calls, o)
		c.took += c.Table.Duration(plan.Change{Type: r.Type, Op: op})
		n, fault := len(c.calls), Works
		if c.Fault != nil {
			fault = c.Fault(n, o)
		}
		var refused error
		if c.Model != nil {
			refused = c.Model.Refuse(op, r, &c.world)
			if other := c.world.unique[c.Model.Unique(r)]; other != nil && op == plan.Create {
				refused = fmt.Errorf("AlreadyExists: %s would be another %s of the same name or place as %s (rehearsed answer)", r.Name, r.Type, other.Name)
			}
		}
		c.mu.Unlock()
		if refused != nil {
			return refused
		}
		if err := c.take(ctx, plan.Change{Type: r.Type, Op: op}); err != nil {
			return err
		}
		switch fault {
		case Fails:
			return ErrFailed
		case Throttle:
			if try == attempts {
				return ErrThrottled
			}
			r.Waiting(fmt.Sprintf("throttled, attempt %d of %d", try, attempts))
			continue
		}
		c.mu.Lock()
		e, err := do()
		if err == nil {
			err = c.write(e)
		}
		c.mu.Unlock()
		if err != nil {
			return err
		}
		if c.After != nil {
			c.After(o)
		}
		if fault == Lost {
			return ErrLost
		}
		return nil
	}
}

func (c *Cloud) take(ctx context.Context, ch plan.Change) error {
	d := time.Duration(float64(c.Table.Duration(ch)) * c.Speed)
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
