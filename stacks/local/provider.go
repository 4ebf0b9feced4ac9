//go:build unix

package local

import (
	"context"
	"errors"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// provider manages the resources of the local target. It finds a resource by
// its name, so that one which a killed run had begun is taken up and not made twice.
type provider struct{ l *Local }

func text(s string) resource.PropertyValue { return resource.NewStringProperty(s) }

// Check implements engine.Provider.
func (p *provider) Check(_ context.Context, r engine.Request) (resource.PropertyMap, []engine.Failure, error) {
	return r.Inputs, engine.CheckByTable(Table, r), nil
}

// Diff implements engine.Provider.
func (p *provider) Diff(_ context.Context, r engine.Request) (engine.Diff, error) {
	return engine.DiffByTable(Table, r), nil
}

// Create implements engine.Provider.
func (p *provider) Create(ctx context.Context, r engine.Request) (string, resource.PropertyMap, error) {
	switch r.Type {
	case typeDataDirectory:
		out, err := p.l.createDataDirectory(ctx, r)
		return r.Name, out, err
	case typeDirectory:
		out, err := p.l.createDirectory(r)
		return r.Name, out, err
	}
	out, err := p.put(ctx, r)
	if err != nil && !r.Preview {
		// What never worked is not left behind; its log is.
		err = errors.Join(err, p.Delete(context.WithoutCancel(ctx), r))
	}
	return r.Name, out, err
}

// Update implements engine.Provider.
func (p *provider) Update(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	if r.Type == typeDataDirectory {
		return p.l.updateDirectory(ctx, r)
	}
	if r.Type == typeDirectory {
		out := r.Olds.Copy() // nothing of these changes in place but what is not watched
		for k, v := range r.Inputs {
			out[k] = v
		}
		return out, nil
	}
	return p.put(ctx, r)
}

// put makes a part that runs be as described.
func (p *provider) put(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	out := outputs(r)
	if r.Preview {
		return out, nil
	}
	switch r.Type {
	case typePostgres:
		return out, p.l.putPostgres(ctx, r)
	case typeTask:
		return out, p.l.runTask(ctx, r)
	case typeInstance:
		return out, p.l.putInstance(ctx, r)
	case typeFileStore:
		return out, p.l.putFileStore(ctx, r)
	case typeStandbys:
		return out, p.l.putStandbys(ctx, r)
	case typeMove:
		return out, p.l.putMove(ctx, r)
	case typeWorker, typeJob:
		return out, p.l.putWorker(ctx, r)
	case typeSessionStore, typeQueue:
		return out, p.l.putKeptRedis(ctx, r)
	case typePooler:
		return out, p.l.putPooler(ctx, r)
	case typeCache:
		return out, p.l.putCache(ctx, r)
	case typeLink:
		return out, p.l.putLink(ctx, r)
	case typeCDNEdge:
		return out, p.l.putCDNEdge(ctx, r)
	case typeName:
		return out, p.l.putName(ctx, r)
	case typeCall:
		return out, p.l.putCall(ctx, r)
	case typeStatic:
		return out, p.l.putStatic(ctx, r)
	case typeBalancer:
		return out, p.l.putBalancer(ctx, r)
	case typeEntry:
		return out, p.l.putEntry(ctx, r)
	}
	return nil, errors.New("there is no resource type " + r.Type)
}

// tag names what a request asks for.
func tag(r engine.Request) string { return engine.Tag(Table, r.Type, r.Inputs) }

func outputs(r engine.Request) resource.PropertyMap {
	out := r.Inputs.Copy()
	switch {
	case r.Type == typeTask:
		out["done"] = text("true")
	case len(Table[r.Type].State) > 0:
		out[engine.StateKey] = text(Table[r.Type].State[0])
	}
	return out
}

// Read implements engine.Provider. A part that does not run says "stopped",
// never "gone": its data may be there.
func (p *provider) Read(ctx context.Context, r engine.Request) (engine.Found, error) {
	out, err := p.read(ctx, r)
	return engine.Found{Outputs: out}, err
}

func (p *provider) read(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	switch r.Type {
	case typeDataDirectory:
		return p.l.readDataDirectory(r), nil
	case typeDirectory:
		return p.l.readDirectory(r), nil
	case typeStandbys:
		return p.l.readStandbys(ctx, r)
	case typeMove:
		return p.l.readMove(ctx, r)
	case typeTask:
		if _, done := r.Olds["done"]; !done {
			return nil, nil // it was interrupted, and runs again
		}
		return r.Olds, nil
	}
	r.Inputs = r.OldInputs
	out := outputs(r)
	c, ok, err := p.l.component(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	switch {
	case !ok, c.State == agent.Stopped, c.State == agent.Failed:
		out[engine.StateKey] = text(stopped)
	case c.Tag != "" && c.Tag != tag(r), r.Type == typePooler && p.l.poolerTag(r.Name) != tag(r):
		out[engine.StateKey] = text(engine.Changed)
	}
	return out, nil
}

// Delete implements engine.Provider.
func (p *provider) Delete(ctx context.Context, r engine.Request) error {
	switch r.Type {
	case typeDataDirectory, typeDirectory:
		if r.OldInputs["leader"].IsString() {
			forgetReplica(ctx, r.OldInputs)
		}
		return deleteDirectory(p.l.dataDir(r.Name))
	case typeStandbys:
		return p.l.deleteStandbys(ctx, r)
	case typeMove:
		return p.l.deleteMove(ctx, r)
	}
	c, err := p.l.running(ctx)
	if err != nil {
		return err
	}
	switch r.Type {
	case typeStatic:
		return p.l.deleteStatic(ctx, r.Name)
	case typePooler:
		return errors.Join(c.DeleteProcess(ctx, r.Name), os.RemoveAll(p.l.poolerDir(r.Name)))
	case typeCache:
		return errors.Join(c.DeleteProcess(ctx, r.Name), os.RemoveAll(p.l.cacheDir(r.Name)))
	case typeEntry, typeBalancer, typeLink, typeCDNEdge, typeName:
		return c.DeleteEdge(ctx, r.Name)
	default:
		return c.DeleteProcess(ctx, r.Name)
	}
}

// Invoke implements engine.Provider.
func (p *provider) Invoke(context.Context, string, resource.PropertyMap) (resource.PropertyMap, error) {
	return nil, errors.New("the local provider has no functions")
}
