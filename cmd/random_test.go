//go:build unix

package cmd_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/scale-levels/scale/internal/plan"
)

// Whatever is done in whatever order (levels, failovers, components that die, runs that
// are killed), then everything that was written is read in every region, exactly one
// database leads, the name leads to who answers, and the plan finds nothing to do.
// SCALE_TEST_STEPS is how many steps that are, SCALE_TEST_SEED which.
func TestRandomWalks(t *testing.T) {
	number := func(name string, def int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return def
	}
	seed, steps := number("SCALE_TEST_SEED", 4), number("SCALE_TEST_STEPS", 8)
	t.Logf("SCALE_TEST_SEED=%d SCALE_TEST_STEPS=%d", seed, steps)
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	w := newWorld(t)
	w.project(own + "regions: [us-east-1, eu-west-1]\n")
	w.write("public/index.html", "<h1>hello</h1>")
	url := strings.TrimSpace(w.must(0, "up", "--level", "4", "--yes").out)
	var signed wrote
	for step := range steps {
		level := w.status().Level
		var did string
		switch what := random.IntN(10); {
		case what < 3: // another level; from a leader that is not at home, the lower ones are refused
			to := 1 + (level+random.IntN(4))%5 // never the same
			did = fmt.Sprint("to level ", to)
			if r := w.scale("up", "--level", fmt.Sprint(to), "--yes"); r.code != 0 && !(to < 3 && strings.Contains(r.err, "is led from")) {
				t.Fatalf("step %d, %s from %d: %s", step, did, level, r)
			}
		case what < 6 && level >= 4:
			to := []string{"us-east-1", "eu-west-1"}[random.IntN(2)]
			did = "failover to " + to
			eventually(t, did, func() bool {
				r := w.scale("failover", "--to", to, "--yes")
				return r.code == 0 || strings.Contains(r.err, "already")
			})
		case what < 7: // somebody dies, and comes back by itself
			cs := slices.DeleteFunc(w.status().Components, func(c plan.Component) bool {
				return c.PID == 0 || c.Kind != "backend" && c.Kind != "database" && c.Kind != "cache"
			})
			c := cs[random.IntN(len(cs))]
			did = "kill " + c.Name
			_ = syscall.Kill(-c.PID, syscall.SIGKILL)
			eventually(t, c.Name+" runs again", func() bool {
				now := component(w.status(), c.Name)
				return now.Healthy && now.PID != c.PID
			})
		default: // a run is killed, and the next one goes on
			to, at := 2+random.IntN(4), 1+random.IntN(120)
			did = fmt.Sprintf("to level %d, killed at journal entry %d", to, at)
			c := w.command("up", "--level", fmt.Sprint(to), "--yes")
			c.Env = append(c.Env, fmt.Sprintf("SCALE_FAULT=journal:%d", at))
			finish(t, c)
			if r := w.scale("up", "--yes"); r.code != 0 && !strings.Contains(r.err, "is led from") {
				t.Fatalf("step %d, %s from %d: then %s", step, did, level, r)
			}
		}
		t.Logf("step %d: level %d, %s", step, level, did)
		w.agrees(url, &signed)
		if t.Failed() {
			return
		}
	}
}

// wrote is what was written: who signed, how often was liked, and how often that was tried.
type wrote struct {
	names        []string
	liked, tried int
}

// agrees holds data, routing and the state against each other.
func (w *world) agrees(url string, did *wrote) {
	w.t.Helper()
	signed := &did.names
	// A write may be refused while connections to a database that died are given up; it
	// is then not known whether it was done, and none that was acknowledged may be missing.
	attempt := 0
	eventually(w.t, "a write is taken", func() bool {
		attempt++
		name := fmt.Sprintf("guest %d.%d", len(*signed), attempt)
		code, _ := post(w.t, url+"/api/entries", fmt.Sprintf(`{"name":%q,"message":"hello"}`, name))
		if code == http.StatusCreated {
			*signed = append(*signed, name)
		}
		return code == http.StatusCreated
	})
	eventually(w.t, "a like is taken, and all that were", func() bool {
		var n struct{ Likes int }
		did.tried++
		code, body := post(w.t, url+"/api/likes/1", "")
		if code != http.StatusCreated {
			return false
		}
		did.liked++
		if err := json.Unmarshal([]byte(body), &n); err != nil || n.Likes < did.liked || n.Likes > did.tried {
			w.t.Fatalf("%d likes were acknowledged of %d, and the answer is %s", did.liked, did.tried, body)
		}
		return true
	})
	wanted := slices.Clone(*signed)
	slices.Reverse(wanted)
	st := w.status()
	hosts := []string{"127.0.0.1"}
	if st.Level >= 3 {
		hosts = append(hosts, "127.0.0.2", "127.0.1.1", "127.0.1.2")
		for _, users := range []string{"127.0.0.0/24", "127.0.1.0/24"} {
			a, _ := w.lookup(users)
			if !slices.Contains(hosts, a) {
				w.t.Errorf("users in %s are led to %s", users, a)
			}
		}
	}
	for _, h := range hosts {
		var got []string
		eventually(w.t, "everything that was written is read at "+h, func() bool {
			got = slices.DeleteFunc(names(w.t, at(w.t, url, h)), func(n string) bool { return !slices.Contains(wanted, n) })
			return slices.Equal(got, wanted)
		})
	}
	eventually(w.t, "likes are told", func() bool { return likesOf(w.t, url) != nil })
	leads := map[bool]int{} // of the shared one, and of the likes'
	for _, d := range st.Data {
		leads[strings.HasPrefix(d.Name, "likes-")]++
	}
	if leads[false] != 1 || leads[true] > 1 || st.Level == 5 && leads[true] != 1 {
		w.t.Errorf("these places hold data: %v", st.Data)
	}
	for _, c := range st.Components {
		if c.State != "running" {
			w.t.Errorf("%s is %s", c.Name, c.State)
		}
	}
	if p := w.plan(); !p.Empty() {
		w.t.Errorf("the plan would change %v", p.Changes())
	}
}
