package rehearsal

import (
	"context"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
)

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
	if p.c.Model != nil {
		r.OldInputs = said(r)
	}
	d := engine.DiffByTable(p.c.Table, r)
	d.Beside = p.c.Model != nil && p.c.Model.Beside(r)
	return d, nil
}

// said are the old inputs with what is said now for the first time and was so before: what
// the service chose is no change when somebody chooses the same.
func said(r engine.Request) resource.PropertyMap {
	old := r.OldInputs.Copy()
	for k, v := range r.Inputs {
		if was, ok := r.Olds[k]; ok && !old.HasValue(k) && was.DeepEquals(v) {
			old[k] = v
		}
	}
	return old
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
