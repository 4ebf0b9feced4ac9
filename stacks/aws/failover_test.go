package aws_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

const databaseOf = "aws:rds/instance:Instance"

// lead lets the databases be led from a region.
func (w *world) lead(region string) (plan.Plan, error) {
	return w.walk(stacks.Goal{Verb: "failover", Region: region})
}

// walk takes a walk that the guard has nothing against.
func (w *world) walk(g stacks.Goal) (plan.Plan, error) {
	w.Helper()
	ctx := context.Background()
	p, err := w.env.Plan(ctx, g, nil)
	if err != nil {
		return p, err
	}
	if len(p.Violations) > 0 {
		return p, fmt.Errorf("refused: %v", p.Violations)
	}
	return p, w.env.Walk(ctx, ctx, g, p, func(plan.Event) {})
}

// databases are those that stand, with whom each follows; "" for one that leads.
func (w *world) databases() map[string]string {
	by, arns := map[string]string{}, map[string]string{}
	for _, t := range w.cloud.Things() {
		if t.Type == databaseOf {
			arns[t.Out["arn"].StringValue()] = t.Name
		}
	}
	for _, t := range w.cloud.Things() {
		if t.Type == databaseOf {
			by[t.Name] = ""
			if source := t.Inputs["replicateSourceDb"]; source.IsString() {
				by[t.Name] = arns[source.StringValue()]
			}
		}
	}
	return by
}

// reached are the databases that anything may connect to: those with a rule that lets it in.
func (w *world) reached() map[string]bool {
	groups, by := map[string]string{}, map[string]bool{}
	for _, t := range w.cloud.Things() {
		if t.Type == "aws:ec2/securityGroup:SecurityGroup" {
			groups[t.ID] = t.Name
		}
	}
	for _, t := range w.cloud.Things() {
		if t.Type == "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule" {
			by[groups[t.Inputs["securityGroupId"].StringValue()]] = true
		}
	}
	return by
}

// neverTwo looks after every call that of each database at most one that leads can be written to.
func (w *world) neverTwo() {
	w.cloud.After = func(rehearsal.Operation) {
		reached, leaders := w.reached(), map[string][]string{}
		for name, follows := range w.databases() {
			if base, _, _ := strings.Cut(name, "db-"); follows == "" && reached[name] {
				leaders[base] = append(leaders[base], name)
			}
		}
		for _, l := range leaders {
			if len(l) > 1 {
				w.Errorf("%v can both be written to", l)
			}
		}
	}
}

// The lead goes to another region: there are never two that can be written to, the last of the
// old one is kept, and everybody else follows.
func TestFailoverInTheAccount(t *testing.T) {
	if os.Getenv(byItself) == "" {
		alone(t)
		return
	}
	w := newWorld(t, 3, 1)
	w.to(4)
	w.neverTwo()
	p, err := w.lead("eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	if p.Downtime == 0 {
		t.Error("the plan tells of no downtime")
	}
	for _, s := range []string{"fence", "promote", "replicate", "disarm", "contract"} {
		if !slices.ContainsFunc(p.Steps, func(o plan.Step) bool { return o.ID == s && len(o.Changes) > 0 }) {
			t.Errorf("the plan has no step %s", s)
		}
	}
	wanted := map[string]string{"db-euw1-g1": "", "db-use1-g2": "db-euw1-g1", "db-apse2-g2": "db-euw1-g1"}
	if got := w.databases(); fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Fatalf("there stand %v, not %v", got, wanted)
	}
	if !slices.ContainsFunc(w.cloud.Names(), func(n string) bool {
		return strings.Contains(n, "snapshot:") && strings.Contains(n, "db-use1-g1-final")
	}) {
		t.Error("nothing is left of what db-use1-g1 held")
	}
	if again, err := w.env.Plan(t.Context(), goal(4), nil); err != nil || !again.Empty() {
		t.Fatalf("afterwards level 4 would change %v (%v)", again.Changes(), err)
	}
	if _, err := w.lead("eu-west-1"); err == nil || !strings.Contains(err.Error(), "led from eu-west-1 already") {
		t.Errorf("to where it is led from already: %v", err)
	}
	if _, err := w.lead("sa-east-1"); err == nil {
		t.Error("it went to a region in which nothing stands")
	}
}

// There and back, through the levels, with a service that has a database of its own.
func TestTheLeadStaysWhereItWent(t *testing.T) {
	if os.Getenv(byItself) == "" {
		alone(t)
		return
	}
	w := newWorld(t, 2, 2)
	w.to(4)
	w.neverTwo()
	if _, err := w.lead("eu-west-1"); err != nil {
		t.Fatal(err)
	}
	w.to(3)
	if got := w.databases()["db-euw1-g1"]; got != "" {
		t.Errorf("at level 3 db-euw1-g1 follows %s", got)
	}
	if _, err := w.try(2); err == nil || !strings.Contains(err.Error(), "is led from eu-west-1") {
		t.Errorf("to level 2, which has nothing there: %v", err)
	}
	w.to(5)
	if _, err := w.lead("us-east-1"); err != nil {
		t.Fatal(err)
	}
	if got := w.databases(); got["db-use1-g2"] != "" || got["db-euw1-g2"] != "db-use1-g2" || got["s1-db-use1-g1"] != "" {
		t.Errorf("at home again: %v", got)
	}
	w.to(1)
	w.to(0)
	w.to(-1)
	for _, left := range w.cloud.Things() {
		if !aws.Kept(left) {
			t.Errorf("%s %s is left", left.Type, left.Name)
		}
	}
}

// At every call of a failover, whatever goes wrong with it: what goes on from there ends where
// the failover would have, or where it began; nobody has two leaders, and nothing stands twice. By
// default at its verbs.
func TestFaultsOfAFailover(t *testing.T) {
	all := os.Getenv("SCALE_TEST_EVERY") == "1"
	if os.Getenv(byItself) == "" {
		alone(t)
		return
	}
	base := newWorld(t, 2, 1)
	base.to(4)
	whole := base.fork()
	if _, err := whole.lead("eu-west-1"); err != nil {
		t.Fatal(err)
	}
	calls := whole.cloud.Calls()
	wanted := whole.names()
	verbs := 0
	for at := 1; at <= len(calls); at++ {
		verb := calls[at-1].Op == "cut" || calls[at-1].Op == "promote"
		if verb {
			verbs++
		}
		if !all && !verb {
			continue
		}
		for _, fault := range []rehearsal.Fault{rehearsal.Fails, rehearsal.Lost} {
			w := base.fork()
			w.neverTwo()
			w.cloud.Fault = func(n int, _ rehearsal.Operation) rehearsal.Fault {
				if n == at {
					return fault
				}
				return rehearsal.Works
			}
			what := fmt.Sprintf("fault %d at call %d of %d, %v", fault, at, len(calls), calls[at-1])
			if _, err := w.lead("eu-west-1"); err == nil {
				t.Fatalf("%s: nothing was noticed", what)
			}
			w.cloud.Fault = nil
			w.open()
			w.neverTwo()
			if _, err := w.walk(goal(4)); err != nil { // it may delete the old leader, once another leads
				t.Fatalf("%s: %v", what, err)
			}
			if w.databases()["db-use1-g1"] == "" && w.databases()["db-euw1-g1"] != "" { // nothing had been promoted: it was taken back
				if _, err := w.lead("eu-west-1"); err != nil {
					t.Fatalf("%s: again: %v", what, err)
				}
			}
			if got := w.names(); !slices.Equal(got, wanted) {
				t.Fatalf("%s: then there stand %v, not %v", what, got, wanted)
			}
		}
	}
	if verbs != 2 {
		t.Errorf("a failover asked for %d verbs", verbs)
	}
}
