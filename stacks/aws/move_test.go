package aws_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// atLevel4 is an environment whose second service will have a database of its own, with a table.
func atLevel4(t *testing.T, regions int) *world {
	t.Helper()
	w := newWorld(t, regions, 2)
	w.app = appWith(t, regions, 2, ", tables: [likes]")
	w.open()
	w.to(4)
	return w
}

// did are the verbs of moves among the calls since one, each with where it leads.
func (w *world) moved(since int) []string {
	var did []string
	for _, o := range w.cloud.Calls()[since:] {
		if o.Op == "copy" || o.Op == "switch" || o.Op == "forget" {
			did = append(did, string(o.Op)+" to "+o.Name)
		}
	}
	return slices.Compact(did)
}

// nothingOfAMove is left.
func (w *world) nothingOfAMove() {
	w.Helper()
	for _, n := range w.cloud.Names() {
		if strings.Contains(n, "-move-") || strings.Contains(n, "-to-db-use1-g1") && strings.Contains(n, " s1-db") {
			w.Errorf("%s is left", n)
		}
	}
}

// A service's tables go to its own database on the way to level 5, and back: copied before
// its new colour starts, switched before that gets its traffic; nothing of the move is left.
func TestTablesMoveInTheAccount(t *testing.T) {
	if os.Getenv(byItself) == "" {
		alone(t)
		return
	}
	w := atLevel4(t, 2)
	since := len(w.cloud.Calls())
	w.to(5)
	if got := w.moved(since); !slices.Equal(got, []string{"copy to s1-db-use1-g1", "switch to s1-db-use1-g1"}) {
		t.Errorf("on the way to level 5 it did %v", got)
	}
	calls := w.cloud.Calls()
	when := func(is func(rehearsal.Operation) bool) int {
		i := slices.IndexFunc(calls[since:], is)
		if i < 0 {
			t.Fatal("something was never done")
		}
		return since + i
	}
	last := func(op plan.Op, typ, prefix string) int {
		at := -1
		for i, o := range calls {
			if o.Op == op && o.Type == typ && strings.HasPrefix(o.Name, prefix) {
				at = i
			}
		}
		return at
	}
	switched := when(func(o rehearsal.Operation) bool { return o.Op == "switch" })
	copied := when(func(o rehearsal.Operation) bool { return o.Op == "copy" })
	if at := last(plan.Create, "aws:rds/instance:Instance", "s1-db-use1"); at < 0 || at > copied {
		t.Errorf("the copy was call %d, its database %d", copied, at)
	}
	rules := 0
	for _, o := range calls[switched:] {
		if o.Op == plan.Update && o.Type == "aws:lb/listenerRule:ListenerRule" && strings.Contains(o.Name, "path-s1") {
			rules++
		}
	}
	if rules < 2 {
		t.Errorf("%d rules led to where the tables are after they were there", rules)
	}
	w.nothingOfAMove()
	if p, err := w.env.Plan(t.Context(), goal(5), nil); err != nil || !p.Empty() {
		t.Errorf("afterwards level 5 would change %v (%v)", p.Changes(), err)
	}

	since = len(w.cloud.Calls())
	w.to(4)
	if got := w.moved(since); !slices.Equal(got, []string{"copy to db-use1-g1", "switch to db-use1-g1"}) {
		t.Errorf("on the way back it did %v", got)
	}
	w.nothingOfAMove()
	w.to(5)
	w.to(0)
	w.to(-1)
}

// What fails or does not answer: a copy is given up, and the walk goes back; so it does after a
// switch, with the tables; of one that nothing is known of, the next run finds out.
func TestFaultsOfAMove(t *testing.T) {
	if os.Getenv(byItself) == "" {
		alone(t)
		return
	}
	base := atLevel4(t, 1)
	for _, c := range []struct {
		verb  plan.Op
		fault rehearsal.Fault
		back  bool
		did   []string
	}{
		{"copy", rehearsal.Fails, true, []string{"copy to s1-db-use1-g1", "forget to s1-db-use1-g1"}},
		{"copy", rehearsal.Lost, true, []string{"copy to s1-db-use1-g1", "forget to s1-db-use1-g1"}},
		{"switch", rehearsal.Lost, true, []string{"copy to s1-db-use1-g1", "switch to s1-db-use1-g1", "copy to db-use1-g1", "switch to db-use1-g1"}}, // that it was made is noted
		{"switch", rehearsal.Fails, false, []string{"copy to s1-db-use1-g1", "switch to s1-db-use1-g1"}},
	} {
		w := base.fork()
		done := false
		w.cloud.Fault = func(_ int, o rehearsal.Operation) rehearsal.Fault {
			if o.Op == c.verb && !done {
				done = true
				return c.fault
			}
			return rehearsal.Works
		}
		_, err := w.try(5)
		var back *stacks.RolledBackError
		if err == nil || errors.As(err, &back) != c.back {
			t.Fatalf("%s, fault %d: %v", c.verb, c.fault, err)
		}
		if got := w.moved(0); !slices.Equal(got, c.did) {
			t.Errorf("%s, fault %d: it did %v", c.verb, c.fault, got)
		}
		if c.back {
			w.nothingOfAMove()
		}
		w.open()
		since := len(w.cloud.Calls())
		w.to(5)
		if got := w.moved(since); len(got) == 0 || got[len(got)-1] != "switch to s1-db-use1-g1" {
			t.Errorf("%s, fault %d: the next run did %v", c.verb, c.fault, got)
		}
		w.nothingOfAMove()
	}
}
