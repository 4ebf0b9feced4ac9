package aws_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks"
)

// A service's own database: on the way to it and on the way back the service would
// not see what it has written, which is refused until it is named.
func TestDataThatWouldNotBeSeen(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.to(4)
	refused := func(level int) {
		t.Helper()
		p, err := w.env.Plan(context.Background(), goal(level), nil)
		if err != nil || len(p.Violations) != 1 || p.Violations[0].Rule != "G5" || p.Violations[0].Resource != "s1-db-use1-g1" {
			t.Fatalf("to level %d: %+v, %v", level, p.Violations, err)
		}
		g := goal(level)
		g.AllowDataLoss = []string{"another"}
		if p, err = w.env.Plan(context.Background(), g, nil); err != nil || len(p.Violations) != 1 {
			t.Fatalf("another resource's name lifted it: %+v, %v", p.Violations, err)
		}
	}
	refused(5)
	w.to(5)
	refused(4)
	w.to(4)
	if w.holding()["aws:rds/instance:Instance s1-db-use1-g1"] == "" {
		t.Error("the service's own database is gone")
	}
}

// What somebody changes outside is told in the plan's words, and brought back; a
// database is copied before it is changed.
func TestDriftIsToldAndBroughtBack(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.to(2)
	for _, r := range w.cloud.Things() {
		if r.Name == "db-use1-g1" && r.Type == "aws:rds/instance:Instance" {
			other := *r
			other.Inputs = r.Inputs.Copy()
			other.Inputs["instanceClass"] = resource.NewStringProperty("db.m7g.large")
			if err := w.cloud.Stand(&other); err != nil {
				t.Fatal(err)
			}
		}
	}
	cs, err := w.env.Drift(context.Background())
	if err != nil || len(cs) != 1 || cs[0].Name != "db-use1-g1" || cs[0].Op != plan.Update ||
		len(cs[0].Diff) != 1 || cs[0].Diff[0].Before != "db.m7g.large" || cs[0].Diff[0].After != "db.t4g.small" {
		t.Fatalf("%+v, %v", cs, err)
	}
	w.to(2)
	if cs, err := w.env.Drift(context.Background()); err != nil || len(cs) > 0 {
		t.Fatalf("afterwards: %+v, %v", cs, err)
	}
	copied := 0
	for _, name := range w.cloud.Names() {
		if strings.Contains(name, "snapshot:") && strings.Contains(name, "-before-") {
			copied++
		}
	}
	if copied == 0 {
		t.Errorf("no snapshot was made before: %v", w.cloud.Names())
	}
}

// What costs more is what there is more of.
func TestCost(t *testing.T) {
	w := newWorld(t, 2, 1)
	last := 0.0
	for level := 1; level <= 4; level++ {
		p := w.to(level)
		cost, err := w.env.Cost(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if cost.Now != p.Cost.After || plan.Sum(cost.Lines) != cost.Now || cost.Prices == "" || len(cost.Assumes) == 0 {
			t.Errorf("level %d: planned %.2f, stands %.2f", level, p.Cost.After, cost.Now)
		}
		if cost.Now <= last {
			t.Errorf("level %d costs %.2f, and the one below %.2f", level, cost.Now, last)
		}
		last = cost.Now
	}
	if p, err := w.env.Plan(context.Background(), stacks.Goal{Verb: "down"}, nil); err != nil || p.Cost.After >= last {
		t.Errorf("taken down it would cost %+v, %v", p.Cost, err)
	}
}

// A target group that users are sent to cannot go; one whose weight is 0, or whose rule
// goes with it, can.
func TestWhatIsStillLedTo(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.to(2)
	standing, err := w.env.Standing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	going := func(types ...string) (cs []plan.Change) {
		for _, r := range standing {
			if slices.Contains(types, r.Type) {
				cs = append(cs, plan.Change{URN: r.URN, Type: r.Type, Name: r.Name, Op: plan.Delete})
			}
		}
		return cs
	}
	const group, rule = "aws:lb/targetGroup:TargetGroup", "aws:lb/listenerRule:ListenerRule"
	groups := going(group)
	vs := w.target.StillLed(standing, groups)
	if len(vs) != 2 || len(groups) != 3 { // the blue pool and the static servers; the green one has no weight
		t.Errorf("of %d target groups %v", len(groups), vs)
	}
	for _, v := range vs {
		if v.Rule != "G9" || strings.Contains(v.Resource, "green") {
			t.Errorf("%+v", v)
		}
	}
	if vs := w.target.StillLed(standing, going(group, rule)); len(vs) > 0 {
		t.Errorf("with their rules: %v", vs)
	}
}
