//go:build unix

package cmd_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/scale-levels/scale/internal/plan"
)

// counting is the guestbook with a queue and workers.
const counting = web + `queue: true
workers:
  words: {command: [%BIN%, guestbook, work], instances: 2}
schedule:
  tick: {at: "* * * * *", command: sh -c 'echo at level $SCALE_LEVEL'}
`

// A job that was taken in is done, whatever dies meanwhile and whichever level is gone
// to, and however long nobody takes it.
func TestWorkersDoWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	if !installed("redis-server") && !installed("valkey-server") {
		t.Skip("neither valkey-server nor redis-server is installed: '.ci/tools redis' installs one")
	}
	w := newWorld(t)
	w.project(counting)
	w.write("public/index.html", "x")
	url := strings.TrimSpace(w.must(0, "up", "--level", "1", "--yes").out)
	asked := 0
	ask := func(n int) {
		t.Helper()
		for range n {
			asked++
			sign(t, url, fmt.Sprint(asked))
		}
	}
	done := func(after string) {
		t.Helper()
		eventually(t, "after "+after+" the words of all entries are counted", func() bool {
			_, text := get(t, url+"/api/entries")
			var es []struct{ Words *int }
			if err := json.Unmarshal([]byte(text), &es); err != nil {
				return false
			}
			n := 0
			for _, e := range es {
				if e.Words != nil {
					n++
				}
			}
			return n == asked
		})
	}
	kill := func(name string) (again func() bool) {
		t.Helper()
		old := component(w.status(), name).PID
		if err := syscall.Kill(-old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return func() bool {
			c := component(w.status(), name)
			return c.Healthy && c.PID != old
		}
	}
	ask(2)
	done("the first step")

	again := kill("words-use1-g1-1")
	ask(5)
	eventually(t, "the worker is back", again)
	done("the death of a worker")

	again = kill("queue-use1-g1")
	ask(5) // who asks waits for the queue
	eventually(t, "the queue is back", again)
	done("the death of the queue")

	before := pids(w.status())
	w.must(0, "up", "--level", "2", "--yes")
	after := pids(w.status())
	if before["queue-use1-g1"] != after["queue-use1-g1"] || before["words-use1-g1-1"] == after["words-use1-g1-1"] {
		t.Errorf("on the way to level 2 the queue stays, and workers are told of it: %v, %v", before, after)
	}
	ask(5)
	done("going to level 2")

	// Workers that hang let the queue grow, and nobody waits.
	r := w.must(0, "chaos", "stop", "words-use1-g1", `POST /api/entries {"name":"n","message":"hello"}`, "--rate", "2", "--for", "2s", "--json")
	var b plan.Bench
	if err := json.Unmarshal([]byte(r.out), &b); err != nil {
		t.Fatal(err)
	}
	for _, u := range b.Users {
		asked += u.Requests
		if u.Errors > 0 {
			t.Errorf("while workers hang: %+v", u)
		}
	}
	done("workers that hung")

	// Workers that do not work are not let in, and the ones that do come back.
	w.project(strings.Replace(counting, "guestbook, work", "guestbook, wrok", 1))
	w.write("public/index.html", "x")
	if r := w.must(7, "up", "--yes"); !strings.Contains(r.err, `unknown command "wrok"`) {
		t.Errorf("the error does not say why: %s", r)
	}
	ask(3)
	done("workers that end at once")
	w.project(counting)
	w.write("public/index.html", "x")
	w.must(0, "up", "--yes")

	// What waits in the queue is there after it was down, and after it was not wanted.
	w.project(strings.Split(counting, "workers:")[0])
	w.write("public/index.html", "x")
	w.must(0, "up", "--yes")
	ask(3)
	w.must(0, "down", "--yes")
	w.project(web)
	w.write("public/index.html", "x")
	w.must(0, "up", "--level", "1", "--yes")
	w.project(counting)
	w.write("public/index.html", "x")
	w.must(0, "up", "--yes")
	done("down, up without a queue, and with it again")
	eventually(t, "the job has run, within a minute", func() bool {
		c := component(w.status(), "tick-use1-g1")
		return c.State == "waiting" && c.Healthy && strings.Contains(c.Detail, "ran at")
	})
	if r := w.must(0, "logs", "tick-use1-g1"); !strings.Contains(r.out, "at level 1") {
		t.Errorf("the job says %s", r)
	}
	w.must(0, deleteAll...)
	w.gone()
}
