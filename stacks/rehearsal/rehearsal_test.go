package rehearsal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

var table = plan.Table{
	"sim:index:Disk": {HoldsData: true, Required: []string{"size"}, Optional: []string{"engine"}, Replaces: []string{"engine"}, Outputs: map[string]string{"path": "/disk"}},
	"sim:index:Proc": {Required: []string{"disk"}},
}

type disk struct {
	pulumi.CustomResourceState
	Path pulumi.StringOutput `pulumi:"path"`
}

func program(ctx *pulumi.Context) error {
	for i := range 3 {
		d := &disk{}
		if err := ctx.RegisterResource("sim:index:Disk", fmt.Sprintf("disk-%d", i), pulumi.Map{"size": pulumi.Int(1)}, d); err != nil {
			return err
		}
		if err := ctx.RegisterResource("sim:index:Proc", fmt.Sprintf("proc-%d", i), pulumi.Map{"disk": d.Path}, &disk{}); err != nil {
			return err
		}
	}
	return nil
}

func open(t *testing.T, c *rehearsal.Cloud) *engine.Stack {
	t.Helper()
	s, err := engine.Open(engine.Config{Files: engine.Directory(t.TempDir()), Project: "shop", Name: "dev", Secrets: engine.NewSecrets("x", ""), Table: table,
		Providers: c.Providers("sim")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// At every call, whatever goes wrong: the next run converges, and nothing is
// made twice.
func TestFaultsAtEveryCall(t *testing.T) {
	ctx := context.Background()
	for _, fault := range []struct {
		kind rehearsal.Fault
		err  error
	}{{rehearsal.Fails, rehearsal.ErrFailed}, {rehearsal.Lost, rehearsal.ErrLost}, {rehearsal.Throttle, nil}} {
		for at := 1; at <= 6; at++ {
			t.Run(fmt.Sprintf("fault %d at call %d", fault.kind, at), func(t *testing.T) {
				c := rehearsal.New(table)
				c.Fault = func(n int, _ rehearsal.Operation) rehearsal.Fault {
					if n == at {
						return fault.kind
					}
					return rehearsal.Works
				}
				s := open(t, c)
				if _, err := s.Up(ctx, program, engine.Options{}); !errors.Is(err, fault.err) {
					t.Fatalf("got %v, want %v", err, fault.err)
				}
				c.Fault = nil
				if _, err := s.Up(ctx, program, engine.Options{Refresh: true}); err != nil {
					t.Fatal(err)
				}
				if names := c.Names(); len(names) != 6 {
					t.Fatalf("there stand %v", names)
				}
				if r, err := s.Preview(ctx, program, engine.Options{Refresh: true}); err != nil || len(r.Changes) != 0 {
					t.Fatalf("afterwards: %v %v", r.Changes, err)
				}
				if _, err := s.Destroy(ctx, engine.Options{}); err != nil || len(c.Names()) != 0 {
					t.Fatalf("destroy: %v, left %v", err, c.Names())
				}
			})
		}
	}
}

func TestThrottlingThatDoesNotEnd(t *testing.T) {
	c := rehearsal.New(table)
	c.Fault = func(int, rehearsal.Operation) rehearsal.Fault { return rehearsal.Throttle }
	var waits []string
	_, err := open(t, c).Up(context.Background(), program, engine.Options{Sink: func(e plan.Event) {
		if e.Kind == plan.Waiting {
			waits = append(waits, e.Text)
		}
	}})
	if !errors.Is(err, rehearsal.ErrThrottled) || !slices.ContainsFunc(waits, func(s string) bool { return s == "throttled, attempt 2 of 3" }) {
		t.Fatalf("%v, %v", err, waits)
	}
}

func TestInputsAreChecked(t *testing.T) {
	for name, in := range map[string]pulumi.Map{
		"missing": {},
		"unknown": {"size": pulumi.Int(1), "sise": pulumi.Int(1)},
	} {
		_, err := open(t, rehearsal.New(table)).Preview(context.Background(), func(ctx *pulumi.Context) error {
			return ctx.RegisterResource("sim:index:Disk", "d", in, &disk{})
		}, engine.Options{})
		if err == nil {
			t.Errorf("%s input was taken", name)
		}
	}
}
