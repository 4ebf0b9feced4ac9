// Package rehearsal is a simulated provider, driven by a target's table: how
// later steps of a walk are previewed on a copy of the state, and how failures
// are tried without anything real to lose.
//
// It knows the table and the engine's provider interface, and no target.
package rehearsal

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
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

// Thing is one resource that stands in a cloud.
type Thing struct {
	Type, Name, ID      string
	Inputs, Out, Config resource.PropertyMap

	unique string // as the model said when it was made
}

// World is what stands, by its type and id.
type World struct {
	things map[string]*Thing
	ids    map[string][]*Thing // by id and by ARN, which references name
	unique map[string]*Thing
	users  map[string][]*Thing // by what they refer to
	made   map[string]int      // how many there have been, by type and name
}

func newWorld() World {
	return World{map[string]*Thing{}, map[string][]*Thing{}, map[string]*Thing{}, map[string][]*Thing{}, map[string]int{}}
}

// Things are all that stand, in no order.
func (w *World) Things() iter.Seq[*Thing] { return maps.Values(w.things) }

// ByID is what stands under an id or an ARN, whatever its type; nil for nothing.
func (w *World) ByID(id string) *Thing {
	if ts := w.ids[id]; len(ts) > 0 {
		return ts[0]
	}
	return nil
}

// UserOf is something that refers to t by its id or ARN; nil when nothing does.
func (w *World) UserOf(t *Thing) *Thing {
	for _, name := range t.names() {
		for _, u := range w.users[name] {
			if u != t && (u.Type != t.Type || u.ID != t.ID) {
				return u
			}
		}
	}
	return nil
}

// Users are all that refer to t.
func (w *World) Users(t *Thing) []*Thing {
	var us []*Thing
	for _, name := range t.names() {
		us = append(us, w.users[name]...)
	}
	return us
}

// names are those by which others refer to it.
func (t *Thing) names() []string {
	names := []string{t.ID}
	if arn := t.Out["arn"]; arn.IsString() && arn.StringValue() != t.ID {
		names = append(names, arn.StringValue())
	}
	return names
}

var reference = regexp.MustCompile(`^([a-z]+-[0-9a-f]{16,26}|arn:[^*]+[^:*])$`)

// References are the ids and ARNs of other resources that inputs hold, each as a
// whole value; one inside a longer text is not looked for.
func References(in resource.PropertyMap) []string {
	var refs []string
	var walk func(v resource.PropertyValue)
	walk = func(v resource.PropertyValue) {
		switch {
		case v.IsString() && reference.MatchString(v.StringValue()):
			refs = append(refs, v.StringValue())
		case v.IsArray():
			for _, e := range v.ArrayValue() {
				walk(e)
			}
		case v.IsObject():
			for _, e := range v.ObjectValue() {
				walk(e)
			}
		}
	}
	for _, v := range in {
		walk(v)
	}
	return refs
}

func (w *World) put(t *Thing) {
	if w.things[t.Type+" "+t.ID] == nil {
		w.made[t.Type+" "+t.Name]++
	}
	w.remove(t.Type, t.ID)
	w.things[t.Type+" "+t.ID] = t
	for _, name := range t.names() {
		w.ids[name] = append(w.ids[name], t)
	}
	for _, to := range References(t.Inputs) {
		w.users[to] = append(w.users[to], t)
	}
	if t.unique != "" {
		w.unique[t.unique] = t
	}
}

func (w *World) remove(typ, id string) {
	t := w.things[typ+" "+id]
	if t == nil {
		return
	}
	delete(w.things, typ+" "+id)
	out := func(m map[string][]*Thing, k string) {
		if m[k] = slices.DeleteFunc(m[k], func(o *Thing) bool { return o == t }); len(m[k]) == 0 {
			delete(m, k)
		}
	}
	for _, name := range t.names() {
		out(w.ids, name)
	}
	for _, to := range References(t.Inputs) {
		out(w.users, to)
	}
	if w.unique[t.unique] == t {
		delete(w.unique, t.unique)
	}
}

// named is the youngest of a type and name.
func (w *World) named(typ, name string) (found *Thing) {
	for _, t := range w.things {
		if t.Type == typ && t.Name == name {
			if found == nil || t.ID > found.ID {
				found = t
			}
		}
	}
	return found
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
	world World
	file  string   // where it is kept; then what it does not know does not exist
	whole int64    // bytes of the file that are whole lines
	log   *os.File // nil until the first change
	took  time.Duration
}

// New is an empty simulated cloud.
func New(t plan.Table) *Cloud {
	return &Cloud{Table: t, world: newWorld()}
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

// Take makes what stands in another cloud stand here.
func (c *Cloud) Take(o *Cloud) {
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

// entry is one line of the file that a cloud is kept in: what stands from then on,
// or does not any more.
type entry struct {
	Type, Name, ID      string
	Gone                bool
	Inputs, Out, Config map[string]any
}

// Keep makes what stands outlive the process, in a file to which every change adds
// a line. A line that a killed process left half written is nothing that happened.
func (c *Cloud) Keep(file string) error {
	c.file = file
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		c.whole += int64(len(line))
		if e.Gone {
			c.world.remove(e.Type, e.ID)
			continue
		}
		r := engine.Request{Type: e.Type, Name: e.Name, Inputs: resource.NewPropertyMapFromMap(e.Inputs), Config: resource.NewPropertyMapFromMap(e.Config)}
		c.world.put(c.thing(r, e.ID, resource.NewPropertyMapFromMap(e.Out)))
	}
	return nil
}

// open opens the file for the first change, without the half line at its end.
func (c *Cloud) open() (err error) {
	if err := os.MkdirAll(filepath.Dir(c.file), 0o700); err != nil {
		return err
	}
	if c.log, err = os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return err
	}
	return c.log.Truncate(c.whole)
}

// Forget removes the file.
func (c *Cloud) Forget() error {
	if c.log != nil {
		_ = c.log.Close() // what was written is given up
		c.log = nil
	}
	if err := os.Remove(c.file); c.file != "" && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (c *Cloud) write(e entry) error {
	if c.file == "" {
		return nil
	}
	if c.log == nil {
		if err := c.open(); err != nil {
			return err
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = c.log.Write(append(b, '\n'))
	return err
}

func (c *Cloud) thing(r engine.Request, id string, out resource.PropertyMap) *Thing {
	t := &Thing{Type: r.Type, Name: r.Name, ID: id, Inputs: r.Inputs, Out: out, Config: r.Config}
	if c.Model != nil {
		t.unique = c.Model.Unique(r)
	}
	return t
}

func (c *Cloud) stands(t *Thing) (entry, error) {
	c.world.put(t)
	return entry{Type: t.Type, Name: t.Name, ID: t.ID, Inputs: t.Inputs.Mappable(), Out: t.Out.Mappable(), Config: t.Config.Mappable()}, nil
}

func (c *Cloud) gone(typ, id string) (entry, error) {
	c.world.remove(typ, id)
	return entry{Type: typ, ID: id, Gone: true}, nil
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

// outputs are the inputs with what a resource only has once it exists.
func (p *provider) outputs(r engine.Request, generation int) (id string, out resource.PropertyMap) {
	f := p.c.Table[r.Type]
	out = r.Inputs.Copy()
	id, more := r.Name, resource.PropertyMap{}
	if p.c.Model != nil {
		id, more = p.c.Model.Outputs(r, generation)
	}
	for k, v := range f.Outputs {
		more[resource.PropertyKey(k)] = resource.NewStringProperty(v)
	}
	for k, v := range more {
		switch old, ok := r.Olds[k]; {
		case ok:
			out[k] = old
		case r.Preview:
			out[k] = resource.MakeComputed(resource.NewStringProperty(""))
		default:
			out[k] = v
		}
	}
	if len(f.State) > 0 {
		out[engine.StateKey] = resource.NewStringProperty(f.State[0])
	}
	return id, out
}

// defaults is where the bridge to a cloud's own provider notes which inputs it
// filled in; they are kept as they were.
const defaults = "__defaults"

// Check implements engine.Provider.
func (p *provider) Check(_ context.Context, r engine.Request) (resource.PropertyMap, []engine.Failure, error) {
	in := r.Inputs
	if filled := r.OldInputs[defaults]; filled.IsArray() {
		in = in.Copy()
		for _, k := range filled.ArrayValue() {
			if _, said := in[resource.PropertyKey(k.StringValue())]; !said {
				in[resource.PropertyKey(k.StringValue())] = r.OldInputs[resource.PropertyKey(k.StringValue())]
			}
		}
		in[defaults] = filled
	}
	failures := engine.CheckByTable(p.c.Table, r)
	if p.c.Model != nil {
		failures = append(failures, p.c.Model.Check(r)...)
	}
	return in, failures, nil
}

// Diff implements engine.Provider.
func (p *provider) Diff(_ context.Context, r engine.Request) (engine.Diff, error) {
	d := engine.DiffByTable(p.c.Table, r)
	d.Beside = p.c.Model != nil && p.c.Model.Beside(r)
	return d, nil
}

// Create implements engine.Provider. Where there is no model, what stands under
// that name is adopted.
func (p *provider) Create(ctx context.Context, r engine.Request) (id string, out resource.PropertyMap, err error) {
	if r.Preview {
		_, out = p.outputs(r, 0)
		return "", out, nil
	}
	err = p.c.call(ctx, r, plan.Create, func() (entry, error) {
		n := p.c.world.made[r.Type+" "+r.Name]
		id, out = p.outputs(r, n)
		for p.c.Model != nil && p.c.world.things[r.Type+" "+id] != nil { // of a state that was copied: how many there were is not in it
			n++
			id, out = p.outputs(r, n)
		}
		return p.c.stands(p.c.thing(r, id, out))
	})
	return id, out, err
}

// Read implements engine.Provider. A resource that this cloud never made comes
// from the state that was copied, and is taken to be there.
func (p *provider) Read(_ context.Context, r engine.Request) (engine.Found, error) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	t := p.c.world.things[r.Type+" "+r.ID]
	if t == nil && r.ID == r.Name { // a creation whose answer was lost
		t = p.c.world.named(r.Type, r.Name)
	}
	switch {
	case t == nil && (p.c.file != "" || p.c.Whole):
		return engine.Found{}, nil
	case t == nil:
		return engine.Found{Outputs: r.Olds}, nil
	case p.c.Model != nil:
		return engine.Found{ID: t.ID, Inputs: t.Inputs, Outputs: t.Out}, nil
	}
	out := t.Out
	for k, v := range r.OldInputs {
		if len(p.c.Table[r.Type].State) > 0 && !out[k].DeepEquals(v) {
			out = out.Copy()
			out[engine.StateKey] = resource.NewStringProperty(engine.Changed)
			break
		}
	}
	return engine.Found{Outputs: out}, nil
}

// Update implements engine.Provider.
func (p *provider) Update(ctx context.Context, r engine.Request) (out resource.PropertyMap, err error) {
	_, out = p.outputs(r, 0)
	if r.Preview {
		return out, nil
	}
	return out, p.c.call(ctx, r, plan.Update, func() (entry, error) {
		return p.c.stands(p.c.thing(r, r.ID, out))
	})
}

// Delete implements engine.Provider.
func (p *provider) Delete(ctx context.Context, r engine.Request) error {
	return p.c.call(ctx, r, plan.Delete, func() (entry, error) {
		if p.c.Model != nil {
			if left := p.c.Model.Left(r); left != nil {
				e, err := p.c.stands(left)
				if err == nil {
					err = p.c.write(e)
				}
				if err != nil {
					return e, err
				}
			}
		}
		return p.c.gone(r.Type, r.ID)
	})
}

// Invoke implements engine.Provider.
func (p *provider) Invoke(_ context.Context, token string, _ resource.PropertyMap) (resource.PropertyMap, error) {
	return nil, fmt.Errorf("a rehearsal does not know the function %s", token)
}
