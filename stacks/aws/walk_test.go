package aws_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/contract"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// world is an environment in a rehearsed account.
type world struct {
	testing.TB
	cloud  *rehearsal.Cloud
	target *aws.AWS
	env    *stacks.Environment
	home   string
	app    config.App
	ends   []int // the calls at which the steps of the last walk had ended
}

func app(t testing.TB, regions, services int) config.App { return appWith(t, regions, services, "") }

// appWith is one of which the services but the first have something more.
func appWith(t testing.TB, regions, services int, own string) config.App {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "name: shop\ndomain: shop.example.com\nstatic: {dir: public, route: /static}\ndatabase: {}\nfiles: true\nsessions: true\nregions: [%s]\nservices:\n",
		strings.Join([]string{"us-east-1", "eu-west-1", "ap-southeast-2"}[:regions], ", "))
	for i := range services {
		name, more := fmt.Sprintf("s%d", i), ""
		if i > 0 {
			more = ", database: own, calls: [s0]" + own
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
	a.Target, a.Static.Dir = config.AWS, t.TempDir()
	if err := a.Fit(); err != nil {
		t.Fatal(err)
	}
	return a
}

func newWorld(t testing.TB, regions, services int) *world {
	t.Helper()
	w := &world{TB: t, cloud: aws.NewRehearsal(), home: t.TempDir(), app: app(t, regions, services)}
	w.open()
	return w
}

// open is the environment as another process would see it.
func (w *world) open() {
	w.Helper()
	w.target = aws.New(aws.Config{Domain: w.app.Domain, Rehearsal: w.cloud})
	var err error
	if w.env, err = stacks.Open(stacks.Home(w.home), w.app, w.target, stacks.Passphrase{Value: "x"}, "test"); err != nil {
		w.Fatal(err)
	}
}

// goal is to stand at a level; 0 stops everything, below that its data is deleted.
func goal(level int) stacks.Goal {
	if level <= 0 {
		return stacks.Goal{Verb: "down", DeleteData: level < 0}
	}
	return stacks.Goal{Verb: "up", Level: level}
}

// to walks to a level, and checks that no data is touched on the way.
func (w *world) to(level int) plan.Plan {
	w.Helper()
	p, err := w.try(level)
	if err != nil {
		w.Fatalf("to level %d: %v", level, err)
	}
	return p
}

func (w *world) try(level int) (plan.Plan, error) {
	w.Helper()
	ctx, g := context.Background(), goal(level)
	p, err := w.env.Plan(ctx, g, nil)
	if err != nil {
		return p, err
	}
	for _, v := range p.Violations {
		if v.Rule != "G5" { // the data that a service's move would leave behind: there is none here
			return p, fmt.Errorf("refused: %s: %s", v.Rule, v.What)
		}
		g.AllowDataLoss = append(g.AllowDataLoss, v.Resource)
	}
	if len(p.Violations) > 0 {
		if p, err = w.env.Plan(ctx, g, nil); err != nil {
			return p, err
		}
	}
	for _, c := range p.Changes() {
		if c.Holds && (c.Op == plan.Delete || c.Op == plan.Replace) && !g.DeleteData {
			return p, fmt.Errorf("the plan would %s %s", c.Op, c.Name)
		}
	}
	w.ends = nil
	return p, w.env.Walk(ctx, ctx, g, p, func(e plan.Event) {
		if e.Kind == plan.StepDone {
			w.ends = append(w.ends, len(w.cloud.Calls()))
		}
	})
}

// middles are a call in the middle of each step of the last walk, or of every other.
func (w *world) middles(all bool) (calls []int) {
	begun := 0
	for i, end := range w.ends {
		if all || i%2 == len(w.ends)%2 {
			calls = append(calls, begun+(end-begun+1)/2)
		}
		begun = end
	}
	return calls
}

// holding are the ids of what holds data, by type and name.
func (w *world) holding() map[string]string {
	ids := map[string]string{}
	for _, t := range w.cloud.Things() {
		if aws.Holds(t) {
			ids[t.Type+" "+t.Name] = t.ID
		}
	}
	return ids
}

// tour takes every ordered pair of levels once: an Eulerian circuit.
var tour = []int{1, 2, 1, 3, 1, 4, 1, 5, 2, 3, 2, 4, 2, 5, 3, 4, 3, 5, 4, 5, 1}

func TestEveryPairOfLevels(t *testing.T) {
	pairs := map[[2]int]bool{}
	for i := range tour[1:] {
		pairs[[2]int{tour[i], tour[i+1]}] = true
	}
	if len(pairs) != 20 {
		t.Fatalf("the tour has %d pairs", len(pairs))
	}
	for _, c := range []struct{ regions, services int }{{1, 1}, {3, 1}, {1, 5}, {3, 5}} {
		t.Run(fmt.Sprintf("%d regions, %d services", c.regions, c.services), func(t *testing.T) {
			if testing.Short() && c.regions*c.services > 1 {
				t.Skip("the larger ones take minutes")
			}
			if os.Getenv(byItself) == "" {
				alone(t)
				return
			}
			w := newWorld(t, c.regions, c.services)
			w.to(tour[0])
			held := w.holding()
			for _, level := range tour[1:] {
				w.to(level)
				now := w.holding()
				for what, id := range held {
					if now[what] != id {
						t.Fatalf("level %d: %s was %s and is %q", level, what, id, now[what])
					}
				}
				held = now
				if p, err := w.env.Plan(context.Background(), goal(level), nil); err != nil || !p.Empty() {
					t.Fatalf("a second walk to level %d would change %v (%v)", level, p.Changes(), err)
				}
			}
			w.to(0)
			w.to(-1)
			for _, left := range w.cloud.Things() {
				if !aws.Kept(left) {
					t.Errorf("%s %s is left", left.Type, left.Name)
				}
			}
		})
	}
}

const byItself = "SCALE_TEST_ALONE"

// alone runs the test in a process of its own, and returns what it said: the engine
// never gives back all that an operation took, and a tour has hundreds of them.
func alone(t *testing.T, env ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.timeout", "40m")
	c.Env = append(append(os.Environ(), byItself+"=1"), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// Where all calls are tried, or one of each kind, a process has a part of them.
const (
	partOfCalls = "SCALE_TEST_CALLS"
	callsAPart  = 15
	noMoreCalls = "there are no more calls"
)

func inParts(t *testing.T) {
	t.Helper()
	for from := 1; !strings.Contains(alone(t, fmt.Sprintf("%s=%d", partOfCalls, from)), noMoreCalls); from += callsAPart {
	}
}

// At every call of the walk from nothing over 1 to 5 and back to 1, whatever goes wrong with it: the
// next run converges, nothing is made twice, users are always led to what answers. By default one
// call in the middle of every other step on the way up, and a few on the way down, with one of two faults in turn;
// with SCALE_TEST_EVERY=step both in the middle of each step on the way up.
func TestFaultsAtEveryCall(t *testing.T) {
	walks := [][2]int{{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 4}, {4, 3}, {3, 2}, {2, 1}}
	every := 97
	if os.Getenv("SCALE_TEST_EVERY") == "1" {
		every = 1
	}
	kinds := os.Getenv("SCALE_TEST_EVERY") == "kind" // the first of each operation on each type
	for _, walk := range walks {
		t.Run(fmt.Sprintf("%d to %d", walk[0], walk[1]), func(t *testing.T) {
			t.Parallel()
			from, until := 1, math.MaxInt
			switch part := os.Getenv(partOfCalls); {
			case os.Getenv(byItself) == "" && (kinds || every == 1):
				inParts(t)
				return
			case os.Getenv(byItself) == "":
				alone(t)
				return
			case part != "":
				if _, err := fmt.Sscan(part, &from); err != nil {
					t.Fatal(err)
				}
				until = from + callsAPart
			}
			base := newWorld(t, 2, 1)
			if walk[0] > 0 {
				base.to(walk[0])
			}
			whole := base.fork()
			whole.to(walk[1])
			wanted, middles := whole.names(), whole.middles(os.Getenv("SCALE_TEST_EVERY") != "")
			calls, up := len(whole.cloud.Calls()), walk[1] > walk[0]
			seen, tried := map[string]bool{}, 0
			if until > calls {
				fmt.Println(noMoreCalls)
			}
			for at := 1; at <= min(calls, until-1); at++ {
				o := whole.cloud.Calls()[at-1]
				kind := string(o.Op) + " " + o.Type
				switch first := !seen[kind]; {
				case kinds && !first, !kinds && up && every > 1 && !slices.Contains(middles, at), !kinds && (!up || every == 1) && (at-1-walk[0])%every != 0:
					continue
				}
				seen[kind] = true
				if at < from {
					continue
				}
				tried++
				for i, fault := range []rehearsal.Fault{rehearsal.Fails, rehearsal.Lost} {
					if os.Getenv("SCALE_TEST_EVERY") == "" && tried%2 != i {
						continue // one of the two at each step
					}
					w := base.fork()
					w.cloud.Fault = func(n int, _ rehearsal.Operation) rehearsal.Fault {
						if n == at {
							return fault
						}
						return rehearsal.Works
					}
					what := fmt.Sprintf("fault %d at call %d of %d", fault, at, calls)
					if _, err := w.try(walk[1]); err == nil {
						t.Fatalf("%s: nothing was noticed", what)
					} else if !strings.Contains(err.Error(), rehearsal.ErrFailed.Error()) && !strings.Contains(err.Error(), rehearsal.ErrLost.Error()) {
						t.Fatalf("%s: %v", what, err)
					}
					w.cloud.Fault = nil
					if err := w.target.Served(); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					w.open()
					w.to(walk[1])
					if got := w.names(); !slices.Equal(got, wanted) {
						t.Fatalf("%s: then there stand %v", what, contract.Difference(got, wanted))
					}
				}
			}
		})
	}
}

// fork is a copy of an environment with its account.
func (w *world) fork() *world {
	w.Helper()
	f := &world{TB: w.TB, cloud: aws.NewRehearsal(), home: w.TempDir(), app: w.app}
	if err := os.CopyFS(f.home, os.DirFS(w.home)); err != nil {
		w.Fatal(err)
	}
	f.cloud.Take(w.cloud)
	f.open()
	return f
}

// names are what stands but for snapshots, which carry the time of their walk.
func (w *world) names() []string {
	return slices.Compact(slices.DeleteFunc(w.cloud.Names(), func(n string) bool { return strings.Contains(n, "snapshot:") }))
}
