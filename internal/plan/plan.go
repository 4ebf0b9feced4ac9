// Package plan holds what scale says about a change before, during and after
// it: steps, changes, events and status, the guard that protects data, and the
// stable JSON of all of these.
//
// It knows nothing of targets, of the engine, or of how a plan is drawn.
package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Version is the version of every JSON document that this package describes.
// It changes when a field changes its meaning or goes away, not when one is added.
const Version = 1

// PlanKind is the kind of a plan's JSON.
const PlanKind = "scale-plan"

// FileBegins is how a file begins that 'scale preview --out' wrote.
const FileBegins = "{\n  \"kind\": \"" + PlanKind + "\""

// Op is what happens to one resource.
type Op string

// The operations, from the most harmless to the worst.
const (
	Same    Op = "same"
	Refresh Op = "refresh" // the state learns what is really there
	Create  Op = "create"
	Update  Op = "update"
	Replace Op = "replace" // deleted and made anew
	Delete  Op = "delete"
)

var opOrder = []Op{Same, Refresh, Create, Update, Replace, Delete}

// Worse reports whether o does more to a resource than p.
func (o Op) Worse(p Op) bool { return slices.Index(opOrder, o) > slices.Index(opOrder, p) }

// Symbol is the mark in front of a change: + ~ ± -, a blank for no change.
func (o Op) Symbol() string {
	switch o {
	case Create:
		return "+"
	case Update:
		return "~"
	case Replace:
		return "±"
	case Delete:
		return "-"
	case Refresh:
		return "↻"
	default:
		return " "
	}
}

// Impact is what a change does to data.
type Impact string

// The impacts, from the most harmless to the worst.
const (
	NoData   Impact = "none"     // the resource holds no data
	Keeps    Impact = "keeps"    // it holds data, and keeps it
	Copies   Impact = "copies"   // data is copied to a new place
	Replaces Impact = "replaces" // data is given up for an empty or copied place
	Destroys Impact = "destroys" // data is gone
)

var impactOrder = []Impact{NoData, Keeps, Copies, Replaces, Destroys}

// Worse reports whether i is worse for data than j.
func (i Impact) Worse(j Impact) bool {
	return slices.Index(impactOrder, i) > slices.Index(impactOrder, j)
}

// Plan is a walk from where an environment stands to where it is wanted.
// Invariant: Steps is empty exactly when nothing would change.
type Plan struct {
	Kind    string    `json:"kind"` // PlanKind; first, so that a file of it is known by its beginning
	Version int       `json:"version"`
	App     string    `json:"app"`
	Env     string    `json:"env"`
	Target  string    `json:"target"`
	Where   string    `json:"where,omitempty"` // account and regions; empty: this machine
	From    int       `json:"from"`            // level
	To      int       `json:"to"`              // level
	Made    time.Time `json:"made"`
	Steps   []Step    `json:"steps"`
	// Found says what an earlier run, a crash or somebody else left, and what becomes of it.
	Found []string `json:"found,omitempty"`
	// Unknown says what a rehearsal could not know.
	Unknown []string `json:"unknown,omitempty"`
	// Downtime is how long the public address is expected to answer with the
	// maintenance page, in seconds; 0 for none.
	Downtime float64 `json:"downtime"`
	// Starts is when an approved plan will begin, when that is not at once.
	Starts *time.Time `json:"starts,omitempty"`
	// Why is the reason for Starts.
	Why        string      `json:"why,omitempty"`
	Violations []Violation `json:"violations,omitempty"`
	// Cost before and after; nil where nothing has a price.
	Cost    *Cost   `json:"cost,omitempty"`
	Digests Digests `json:"digests"`
}

// Step is one engine update of a walk, with the gate after it.
type Step struct {
	ID       string   `json:"id"` // close, change, open, …
	Title    string   `json:"title"`
	Gate     string   `json:"gate"`                // what must hold before the next step starts
	Closed   bool     `json:"closed,omitempty"`    // the public address answers with the maintenance page meanwhile, or nobody takes writes
	Rehearse bool     `json:"rehearsed,omitempty"` // the changes come from rehearsing the steps before it
	Expect   float64  `json:"expect"`              // seconds, from the target's table of durations
	Changes  []Change `json:"changes"`
}

// Change is what a step does to one resource.
type Change struct {
	URN  string `json:"urn"`
	Type string `json:"type"`
	Name string `json:"name"`
	// Node is the topology node that the resource belongs to.
	Node string     `json:"node"`
	Op   Op         `json:"op"`
	Diff []Property `json:"diff,omitempty"`
	Data Impact     `json:"data"`
	// Holds reports whether the resource holds data, whatever becomes of it.
	Holds bool `json:"holds,omitempty"`
}

// Property is one property that a change touches. Secret values are never here.
type Property struct {
	Path     string `json:"path"`
	Before   string `json:"before,omitempty"`
	After    string `json:"after,omitempty"`
	Replaces bool   `json:"replaces,omitempty"`
}

// Digests name what a plan was made from; a plan is stale when one of them has changed.
type Digests struct {
	State  string `json:"state"`
	Record string `json:"record"`
	Config string `json:"config"`
}

// Digest is the sha256 of v's JSON, in hexadecimal.
func Digest(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // only for types that have no JSON, which none of ours lacks
		panic(fmt.Sprintf("plan: digest of %T: %v", v, err))
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// Empty reports whether nothing would change.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Changes returns the changes of all steps.
func (p Plan) Changes() []Change {
	var cs []Change
	for _, s := range p.Steps {
		cs = append(cs, s.Changes...)
	}
	return cs
}

// Worst is the change that does most to data, or failing that to resources; nil for an empty plan.
func (p Plan) Worst() *Change {
	var worst *Change
	for _, c := range p.Changes() {
		if worst == nil || c.Data.Worse(worst.Data) || c.Data == worst.Data && c.Op.Worse(worst.Op) {
			worst = &c
		}
	}
	return worst
}

// Count is how many changes of each operation the plan holds.
func (p Plan) Count() map[Op]int {
	n := map[Op]int{}
	for _, c := range p.Changes() {
		n[c.Op]++
	}
	return n
}

// Sort puts the changes of a step in a stable order: by node, then by name.
func (s *Step) Sort() {
	slices.SortStableFunc(s.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
}

// ReplaceKeys are the properties that make c a replacement, sorted.
func (c Change) ReplaceKeys() []string {
	var ks []string
	for _, d := range c.Diff {
		if d.Replaces {
			ks = append(ks, d.Path)
		}
	}
	slices.Sort(ks)
	return ks
}

// Exceeds names what the fresh changes of a step do beyond what was approved
// for it: a resource that was not to be touched, a worse operation, another
// reason to replace. Empty means that the approval covers them.
func (s Step) Exceeds(approved Step) []string {
	was := map[string]Change{}
	for _, c := range approved.Changes {
		was[c.URN] = c
	}
	var beyond []string
	for _, c := range s.Changes {
		a, ok := was[c.URN]
		switch {
		case c.Op == Same || c.Op == Refresh:
		case !ok:
			beyond = append(beyond, fmt.Sprintf("%s %s (%s) was not in the plan", c.Op, c.Name, c.Type))
		case c.Op.Worse(a.Op):
			beyond = append(beyond, fmt.Sprintf("%s %s (%s): the plan said %s", c.Op, c.Name, c.Type, a.Op))
		case c.Op == Replace && !slices.Equal(c.ReplaceKeys(), a.ReplaceKeys()):
			beyond = append(beyond, fmt.Sprintf("replace %s (%s) because of %s: the plan said %s",
				c.Name, c.Type, strings.Join(c.ReplaceKeys(), ", "), strings.Join(a.ReplaceKeys(), ", ")))
		}
	}
	return beyond
}
