// Package contract is what every target must pass: a walk that is killed after
// any journal entry, around any write of state and record, and before any gate,
// is finished by the next run, or taken back by asking for what stood before, and
// ends in one of the two topologies, never between.
//
// It knows commands and what they leave standing; how they are run and looked at
// is the target's.
package contract

import (
	"slices"
	"strings"
	"testing"
)

// World is one environment in which commands can be run and killed.
type World interface {
	// Run runs scale with these arguments to its end, and returns its exit code, what
	// it said, and the marks that it passed. A fault, "mark:n", kills it there; the
	// code is then -1.
	Run(fault string, args ...string) (code int, said string, marks []string)
	// Settings changes the settings of the application's service.
	Settings(value string)
	// Standing names everything that stands, as it is found and not as it is recorded.
	Standing() []string
}

// Target is what a target brings to the suite.
type Target struct {
	// New is a world in which nothing stands.
	New func(t *testing.T) World
	// Copy is another world like one in which nothing runs; nil where there is no
	// such thing, and each world is then brought to where a walk starts.
	Copy func(t *testing.T, w World) World
	// Every is how many marks go by for one that is tried: 1 tries them all.
	Every int
}

// Walk is a way from what stands to what is wanted, and back.
type Walk struct {
	Name    string
	Prepare func(w World, must func(args ...string)) // ends in the topology that the walk starts from
	Change  func(w World)                            // before the walk
	Restore func(w World)                            // before it is taken back
	There   []string                                 // the command of the walk
	Back    []string                                 // the command that takes it back
}

// walks are the ones that the suite kills.
func walks() []Walk {
	up := func(level string) []string { return []string{"up", "--level", level, "--yes"} }
	at := func(level string) func(World, func(...string)) {
		return func(_ World, must func(...string)) { must(up(level)...) }
	}
	return []Walk{
		{Name: "from level 1 to 2", Prepare: at("1"), There: up("2"), Back: up("1")},
		{Name: "from level 2 to 1", Prepare: at("2"), There: up("1"), Back: up("2")},
		{Name: "from level 2 to 0", Prepare: at("2"), There: []string{"down", "--yes"}, Back: up("2")},
		{Name: "from level 0 back to 2", Prepare: func(_ World, must func(...string)) {
			must(up("2")...)
			must("down", "--yes")
		}, There: up("2"), Back: []string{"down", "--yes"}},
		{Name: "a rolling change", Prepare: at("2"), There: up("2"), Back: up("2"),
			Change: func(w World) { w.Settings("new") }, Restore: func(w World) { w.Settings("old") }},
	}
}

// Run runs the suite.
func Run(t *testing.T, target Target) {
	for _, walk := range walks() {
		t.Run(walk.Name, func(t *testing.T) {
			t.Parallel()
			first := begin(t, target, walk)
			before := first.Standing()
			code, said, marks := first.Run("", walk.There...)
			after := first.Standing()
			if code != 0 || len(marks) < 5 || slices.Equal(before, after) && walk.Change == nil {
				t.Fatalf("uninterrupted: exit code %d, marks %v, from %v to %v: %s", code, marks, before, after, said)
			}
			var ready World
			if target.Copy != nil {
				ready = begin(t, target, walk)
			}
			tried := 0
			for i, mark := range marks {
				if i%target.Every != 0 && !strings.HasPrefix(mark, "gate") && !testing.Verbose() {
					continue
				}
				tried++
				// One mark is followed by going on, the next by going back; with -v both.
				if tried%2 == 0 || testing.Verbose() {
					t.Run(mark+", then on", func(t *testing.T) {
						t.Parallel()
						settled(t, killed(t, target, walk, ready, mark), walk.There, after)
					})
				}
				if tried%2 == 1 || testing.Verbose() {
					t.Run(mark+", then back", func(t *testing.T) {
						t.Parallel()
						w := killed(t, target, walk, ready, mark)
						if walk.Restore != nil {
							walk.Restore(w)
						}
						settled(t, w, walk.Back, before)
					})
				}
			}
		})
	}
}

// begin is a world in which the walk can start.
func begin(t *testing.T, target Target, walk Walk) World {
	t.Helper()
	w := target.New(t)
	w.Settings("old")
	walk.Prepare(w, func(args ...string) {
		t.Helper()
		if code, said, _ := w.Run("", args...); code != 0 {
			t.Fatalf("scale %s: exit code %d: %s", strings.Join(args, " "), code, said)
		}
	})
	if walk.Change != nil {
		walk.Change(w)
	}
	return w
}

// killed is a world in which the walk was killed at a mark.
func killed(t *testing.T, target Target, walk Walk, ready World, mark string) World {
	t.Helper()
	var w World
	if ready != nil {
		w = target.Copy(t, ready)
	} else {
		w = begin(t, target, walk)
	}
	if code, said, _ := w.Run(mark, walk.There...); code != -1 {
		t.Fatalf("it was to be killed at %s and ended with %d: %s", mark, code, said)
	}
	return w
}

// settled runs a command and checks that exactly what is wanted stands, and that a
// further run would change nothing.
func settled(t *testing.T, w World, command, want []string) {
	t.Helper()
	code, said, _ := w.Run("", command...)
	if code != 0 {
		t.Fatalf("scale %s: exit code %d: %s", strings.Join(command, " "), code, said)
	}
	// Colours may be exchanged: both are one of the two topologies.
	if got := w.Standing(); !slices.Equal(colourless(got), colourless(want)) {
		t.Fatalf("scale %s left %v, want %v: %s", strings.Join(command, " "), got, want, said)
	}
	if command[0] != "up" {
		return
	}
	if code, said, _ := w.Run("", "preview", "--detailed-exitcode"); code != 0 {
		t.Fatalf("a further run would change something: exit code %d: %s", code, said)
	}
}

func colourless(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, strings.NewReplacer("-blue", "", "-green", "").Replace(n))
	}
	slices.Sort(out)
	return out
}

// Difference is what got has and want lacks, and the other way round.
func Difference(got, want []string) (d []string) {
	for _, g := range got {
		if !slices.Contains(want, g) {
			d = append(d, "+"+g)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			d = append(d, "-"+w)
		}
	}
	return d
}
