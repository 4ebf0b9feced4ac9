package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
)

// table is that of the test's provider: a cloud in a directory, a file a resource.
var table = plan.Table{
	"sim:index:Thing": {Required: []string{"size"}, Optional: []string{"kind", "token", "parent"}, Replaces: []string{"kind"}, Outputs: map[string]string{"serial": ""}},
	"sim:index:Disk":  {Required: []string{"size"}, Optional: []string{"kind"}, Replaces: []string{"kind"}, HoldsData: true, State: []string{"present", engine.Missing}},
}

// cloud is where the test's resources are: a file each, so that another process
// sees them too, or with no directory nowhere, for benchmarks of the engine alone.
type cloud struct {
	dir     string
	delay   time.Duration
	creates atomic.Int64
	fail    func(op, name string) error
}

func (c *cloud) factory() engine.Provider { return c }
func (c *cloud) file(name string) string  { return filepath.Join(c.dir, name+".json") }

func (c *cloud) do(ctx context.Context, op, name string) error {
	if c.fail != nil {
		if err := c.fail(op, name); err != nil {
			return err
		}
	}
	if c.delay == 0 {
		return nil
	}
	select {
	case <-time.After(c.delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *cloud) Check(_ context.Context, r engine.Request) (resource.PropertyMap, []engine.Failure, error) {
	return r.Inputs, engine.CheckByTable(table, r), nil
}

func (c *cloud) Diff(_ context.Context, r engine.Request) (engine.Diff, error) {
	return engine.DiffByTable(table, r), nil
}

func (c *cloud) outputs(r engine.Request) resource.PropertyMap {
	out := r.Inputs.Copy()
	if r.Preview && r.ID == "" {
		out["serial"] = resource.MakeComputed(resource.NewStringProperty(""))
	} else {
		out["serial"] = resource.NewStringProperty("s-" + r.Name)
	}
	if len(table[r.Type].State) > 0 {
		out["state"] = resource.NewStringProperty("present")
	}
	return out
}

func (c *cloud) write(r engine.Request) error {
	if c.dir == "" {
		return nil
	}
	b, err := json.Marshal(r.Inputs.Mappable())
	if err != nil {
		return err
	}
	return os.WriteFile(c.file(r.Name), b, 0o600)
}

func (c *cloud) Create(ctx context.Context, r engine.Request) (string, resource.PropertyMap, error) {
	if r.Preview {
		return "", c.outputs(r), nil
	}
	if err := c.do(ctx, "create", r.Name); err != nil {
		return "", nil, err
	}
	c.creates.Add(1)
	return r.Name, c.outputs(r), c.write(r)
}

func (c *cloud) Read(_ context.Context, r engine.Request) (engine.Found, error) {
	out := r.Olds.Copy()
	if c.dir == "" {
		return engine.Found{Outputs: out}, nil
	}
	if _, err := os.Stat(c.file(r.Name)); errors.Is(err, os.ErrNotExist) {
		if len(table[r.Type].State) == 0 {
			return engine.Found{}, nil
		}
		out["state"] = resource.NewStringProperty(engine.Missing)
	}
	return engine.Found{Outputs: out}, nil
}

func (c *cloud) Update(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	if r.Preview {
		return c.outputs(r), nil
	}
	if err := c.do(ctx, "update", r.Name); err != nil {
		return nil, err
	}
	return c.outputs(r), c.write(r)
}

func (c *cloud) Delete(ctx context.Context, r engine.Request) error {
	if err := c.do(ctx, "delete", r.Name); err != nil {
		return err
	}
	if c.dir == "" {
		return nil
	}
	if err := os.Remove(c.file(r.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (c *cloud) Invoke(context.Context, string, resource.PropertyMap) (resource.PropertyMap, error) {
	return resource.PropertyMap{}, nil
}

type thing struct {
	pulumi.CustomResourceState
	Serial pulumi.StringOutput `pulumi:"serial"`
}

// things is a program of n resources, in chains of ten, as components do.
func things(n int, mod func(i int, m pulumi.Map)) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		var before *thing
		for i := range n {
			m := pulumi.Map{"size": pulumi.Int(i)}
			if mod != nil {
				mod(i, m)
			}
			var opts []pulumi.ResourceOption
			if before != nil && i%10 != 0 {
				m["parent"] = before.Serial
			}
			t := &thing{}
			if err := ctx.RegisterResource("sim:index:Thing", name(i), m, t, opts...); err != nil {
				return err
			}
			before = t
		}
		ctx.Export("count", pulumi.Int(n))
		return nil
	}
}

func name(i int) string { return "thing-" + string(rune('a'+i%26)) + "-" + itoa(i) }

func itoa(i int) string {
	b, _ := json.Marshal(i)
	return string(b)
}

func open(t testing.TB, store string, c *cloud) *engine.Stack {
	t.Helper()
	sec := engine.NewSecrets("correct horse", salt())
	s, err := engine.Open(engine.Config{Files: engine.Directory(store), Project: "shop", Name: "dev", Secrets: sec, Table: table,
		Providers: map[string]engine.ProviderFactory{"sim": c.factory}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// salt was made once for the passphrase above, so that every stack opens with it.
var salt = sync.OnceValue(func() string { return engine.NewSecrets("correct horse", "").Salt() })
