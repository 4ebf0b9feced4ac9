// Package levels holds what each scaling level is, one file each, and the walk
// from one topology to another.
//
// It is pure: it knows no target and no engine, and does no I/O.
package levels

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/topology"
)

// Level is one shape of an application's architecture.
type Level struct {
	Number        int         `json:"number"`
	Name          string      `json:"name"`
	Summary       string      `json:"summary"` // one line
	Adds          []string    `json:"adds"`    // what it adds to the level before
	Components    []Component `json:"components,omitempty"`
	Advantages    []string    `json:"advantages,omitempty"`
	Disadvantages []string    `json:"disadvantages,omitempty"`
	Decisions     []Decision  `json:"decisions,omitempty"`
	Promises      []Promise   `json:"promises,omitempty"`

	// Targets are those on which this version can stand it.
	Targets []string `json:"targets"`

	// build turns the intent into a topology, given the one that stands.
	build func(app config.App, now topology.Topology) (topology.Topology, error)
}

// Component is a part of a level, in words.
type Component struct {
	Name     string            `json:"name"`
	Count    string            `json:"count"`
	Exposure topology.Exposure `json:"exposure"`
	What     string            `json:"what"`
}

// Decision is a question that a team answers at this level.
type Decision struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
}

// Promise is what a level is for, as it was measured on the target local.
type Promise struct {
	What   string `json:"what"`
	Figure string `json:"figure"`
	Repeat string `json:"repeat"` // the command that measures it again
}

// measure is the command that runs a test which measures.
func measure(test string) string { return "go test -tags faults ./cmd -run " + test + " -v" }

// On reports whether this version can stand the level on a target.
func (l Level) On(target string) bool { return slices.Contains(l.Targets, target) }

// All is the ladder, from the bottom.
func All() []Level {
	return []Level{singleNode(), loadBalancer(), cdnCaching(), replicas(), microservices()}
}

// UnknownError says that a level does not exist, or not on a target.
type UnknownError struct {
	Level int
	Why   string
}

func (e *UnknownError) Error() string { return fmt.Sprintf("level %d %s", e.Level, e.Why) }

// Hints returns what to do about it.
func (e *UnknownError) Hints() string {
	var can []string
	for _, l := range All() {
		can = append(can, fmt.Sprintf("%d (%s) on %s", l.Number, l.Name, strings.Join(l.Targets, " and ")))
	}
	return "this version builds level " + strings.Join(can, ", ") + "; 'scale levels' describes the ladder"
}

// AppError says what of an application does not go with a level.
type AppError struct{ What, Hint string }

func (e *AppError) Error() string { return e.What }

// Hints returns what to do about it.
func (e *AppError) Hints() string { return e.Hint }

// Get returns a level by its number.
func Get(n int) (Level, error) {
	for _, l := range All() {
		if l.Number == n {
			return l, nil
		}
	}
	return Level{}, &UnknownError{n, "does not exist"}
}

// Build is the topology that an application has at a level, given the one that
// stands now: what holds data there stays the same node.
func Build(app config.App, level int, now topology.Topology) (topology.Topology, error) {
	if level == 0 {
		return Down(now), nil
	}
	l, err := Get(level)
	if err != nil {
		return topology.Topology{}, err
	}
	if app.Target != "" && !l.On(app.Target) {
		return topology.Topology{}, &UnknownError{level, fmt.Sprintf("(%s) cannot be built on %s by this version", l.Name, app.Target)}
	}
	t, err := l.build(app.At(level), now)
	if err != nil {
		return t, err
	}
	t = withTables(Keep(t, now), app)
	t.Sort()
	return t, t.Validate()
}

// Keep is t with the nodes of now that hold data and that t does not mention, which
// nothing serves: a walk never drops them.
func Keep(t, now topology.Topology) topology.Topology {
	t = t.Clone()
	for _, n := range Down(now).Nodes {
		if _, ok := t.Node(n.ID); ok || n.Fenced() && n.Generation < t.Generations[n.Name()] {
			continue // another leads instead of it, and has what it had
		}
		if t.Level > 0 && n.Database != nil && n.Database.Service != "" {
			n.Database.Stale = true
		}
		t.Put(n, nil)
		if !slices.ContainsFunc(t.Regions, func(r topology.Region) bool { return r.Name == n.Region }) {
			t.Regions = append(t.Regions, topology.Region{Name: n.Region})
		}
	}
	return t
}

// Down is level 0 of a topology: only what holds data stays, and nothing serves it.
func Down(now topology.Topology) topology.Topology {
	t := now.Clone()
	t.Level, t.Nodes, t.Links = 0, nil, nil
	for _, n := range now.Clone().Nodes {
		if !n.HoldsData() {
			continue
		}
		n.Stop()
		t.Nodes = append(t.Nodes, n)
	}
	return t
}

// Gone is an environment of which nothing is left.
func Gone(now topology.Topology) topology.Topology {
	t := now.Clone()
	t.Level, t.Nodes, t.Links = 0, nil, nil
	return t
}
