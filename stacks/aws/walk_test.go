package aws_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// world is an environment in a rehearsed account.
type world struct {
	*testing.T
	cloud *rehearsal.Cloud
	env   *stacks.Environment
}

func app(t *testing.T, regions, services int) config.App {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "name: shop\ndomain: shop.example.com\nstatic: {dir: public}\ndatabase: {}\nfiles: true\nsessions: true\nregions: [%s]\nservices:\n",
		strings.Join([]string{"us-east-1", "eu-west-1", "ap-southeast-2"}[:regions], ", "))
	for i := range services {
		name, more := fmt.Sprintf("s%d", i), ""
		if i > 0 {
			more = ", database: own, calls: [s0]"
		}
		fmt.Fprintf(&b, "  %s: {image: 'ghcr.io/acme/%s:1.0', health: /healthz, routes: [/%s]%s}\n", name, name, name, more)
	}
	f, err := config.Parse("scale.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.App("")
	if err != nil {
		t.Fatal(err)
	}
	a.Target = config.AWS
	a.Static.Dir = t.TempDir()
	if err := a.Fit(); err != nil {
		t.Fatal(err)
	}
	return a
}

func newWorld(t *testing.T, regions, services int) *world {
	t.Helper()
	w := &world{T: t, cloud: aws.NewRehearsal()}
	a := app(t, regions, services)
	target := aws.New(aws.Config{Domain: a.Domain, Rehearsal: w.cloud})
	var err error
	if w.env, err = stacks.Open(stacks.Home(t.TempDir()), a, target, stacks.Passphrase{Value: "x"}, "test"); err != nil {
		t.Fatal(err)
	}
	return w
}

// to walks to a level; 0 stops everything, below that its data is deleted.
func (w *world) to(level int) plan.Plan {
	w.Helper()
	g := stacks.Goal{Verb: "up", Level: level, AllowDataLoss: []string{}}
	if level <= 0 {
		g = stacks.Goal{Verb: "down", DeleteData: level < 0}
	}
	ctx := context.Background()
	p, err := w.env.Plan(ctx, g, nil)
	if err != nil {
		w.Fatalf("plan level %d: %v", level, err)
	}
	if err := w.env.Walk(ctx, ctx, g, p, func(plan.Event) {}); err != nil {
		w.Fatalf("walk to level %d: %v", level, err)
	}
	return p
}

func TestUpTheLadderAndDown(t *testing.T) {
	w := newWorld(t, 2, 1)
	for _, level := range []int{1, 2, 3, 4, 5, 4, 3, 2, 1, 0, -1} {
		p := w.to(level)
		var steps []string
		for _, s := range p.Steps {
			steps = append(steps, fmt.Sprintf("%s(%d)", s.ID, len(s.Changes)))
		}
		t.Logf("level %d: %s; %d stand", level, strings.Join(steps, " "), len(w.cloud.Things()))
	}
	for _, r := range w.cloud.Things() {
		t.Logf("left: %s %s", r.Type, r.Name)
	}
}
