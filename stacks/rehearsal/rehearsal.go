// Package rehearsal is a simulated provider, driven by a target's table: how
// later steps of a walk are previewed on a copy of the state, and how failures
// are tried without anything real to lose.
//
// It knows the table and the engine's provider interface, and no target.
package rehearsal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
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

// Cloud is where simulated resources stand. The zero Speed takes no time.
type Cloud struct {
	Table plan.Table
	// Speed scales the durations of the table: 1 is real time, 0 none.
	Speed float64
	// Fault decides what goes wrong with the n-th call (from 1); nil: nothing.
	Fault func(n int, o Operation) Fault
	// After, when set, is called after each call that did something.
	After func(o Operation)

	mu    sync.Mutex
	calls []Operation
	made  map[string]resource.PropertyMap // by type and name
	file  string                          // where it is kept; then what it does not know does not exist
}

// New is an empty simulated cloud.
func New(t plan.Table) *Cloud { return &Cloud{Table: t, made: map[string]resource.PropertyMap{}} }

// Providers serve every package of the table from the cloud.
func (c *Cloud) Providers(packages ...string) map[string]engine.ProviderFactory {
	ps := map[string]engine.ProviderFactory{}
	for _, name := range packages {
		ps[name] = func() engine.Provider { return &provider{c} }
	}
	return ps
}

// Calls are the operations so far, in order.
func (c *Cloud) Calls() []Operation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Operation(nil), c.calls...)
}

// Names are what stands, as "type name".
func (c *Cloud) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for k := range c.made {
		names = append(names, k)
	}
	return names
}

// call performs one operation on what stands, with its fault and its duration.
func (c *Cloud) call(ctx context.Context, r engine.Request, op plan.Op, do func()) error {
	o := Operation{op, r.Type, r.Name}
	for try := 1; ; try++ {
		c.mu.Lock()
		c.calls = append(c.calls, o)
		n, fault := len(c.calls), Works
		if c.Fault != nil {
			fault = c.Fault(n, o)
		}
		c.mu.Unlock()
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
		do()
		err := c.write()
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

// keep makes what stands outlive the process, in a file.
func (c *Cloud) keep(file string) error {
	c.file = file
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var plain map[string]map[string]any
	if err := json.Unmarshal(b, &plain); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for k, v := range plain {
		c.made[k] = resource.NewPropertyMapFromMap(v)
	}
	return nil
}

func (c *Cloud) write() error {
	if c.file == "" {
		return nil
	}
	plain := map[string]map[string]any{}
	for k, v := range c.made {
		plain[k] = v.Mappable()
	}
	b, err := json.Marshal(plain)
	if err != nil {
		return err
	}
	tmp := c.file + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, c.file)
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

type provider struct{ c *Cloud }

func key(r engine.Request) string { return r.Type + " " + r.Name }

// outputs are the inputs with what a resource only has once it exists.
func (p *provider) outputs(r engine.Request) resource.PropertyMap {
	f := p.c.Table[r.Type]
	out := r.Inputs.Copy()
	for k, v := range f.Outputs {
		out[resource.PropertyKey(k)] = resource.NewStringProperty(v)
		if old, ok := r.Olds[resource.PropertyKey(k)]; ok {
			out[resource.PropertyKey(k)] = old
		} else if r.Preview {
			out[resource.PropertyKey(k)] = resource.MakeComputed(resource.NewStringProperty(""))
		}
	}
	if len(f.State) > 0 {
		out[engine.StateKey] = resource.NewStringProperty(f.State[0])
	}
	return out
}

// Check implements engine.Provider.
func (p *provider) Check(_ context.Context, r engine.Request) (resource.PropertyMap, []engine.Failure, error) {
	return r.Inputs, engine.CheckByTable(p.c.Table, r), nil
}

// Diff implements engine.Provider.
func (p *provider) Diff(_ context.Context, r engine.Request) (engine.Diff, error) {
	return engine.DiffByTable(p.c.Table, r), nil
}

// Create implements engine.Provider; what stands under that name is adopted.
func (p *provider) Create(ctx context.Context, r engine.Request) (string, resource.PropertyMap, error) {
	out := p.outputs(r)
	if r.Preview {
		return "", out, nil
	}
	return r.Name, out, p.c.call(ctx, r, plan.Create, func() { p.c.made[key(r)] = out })
}

// Read implements engine.Provider. A resource that this cloud never made comes
// from the state that was copied, and is taken to be there.
func (p *provider) Read(_ context.Context, r engine.Request) (resource.PropertyMap, error) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if out, ok := p.c.made[key(r)]; ok {
		for k, v := range r.OldInputs {
			if len(p.c.Table[r.Type].State) > 0 && !out[k].DeepEquals(v) {
				out = out.Copy()
				out[engine.StateKey] = resource.NewStringProperty(engine.Changed)
				break
			}
		}
		return out, nil
	}
	if p.c.file != "" {
		return nil, nil
	}
	return r.Olds, nil
}

// Update implements engine.Provider.
func (p *provider) Update(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	out := p.outputs(r)
	if r.Preview {
		return out, nil
	}
	return out, p.c.call(ctx, r, plan.Update, func() { p.c.made[key(r)] = out })
}

// Delete implements engine.Provider.
func (p *provider) Delete(ctx context.Context, r engine.Request) error {
	return p.c.call(ctx, r, plan.Delete, func() { delete(p.c.made, key(r)) })
}

// Invoke implements engine.Provider.
func (p *provider) Invoke(_ context.Context, token string, _ resource.PropertyMap) (resource.PropertyMap, error) {
	return nil, fmt.Errorf("a rehearsal does not know the function %s", token)
}
