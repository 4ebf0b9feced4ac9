package engine

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/plan"
)

// CheckByTable refuses inputs that a type does not have and the lack of those it requires.
func CheckByTable(t plan.Table, r Request) []Failure {
	f, ok := t[r.Type]
	if !ok {
		return []Failure{{"", fmt.Sprintf("resource type %q does not exist", r.Type)}}
	}
	var failures []Failure
	for _, k := range f.Required {
		if _, ok := r.Inputs[resource.PropertyKey(k)]; !ok {
			failures = append(failures, Failure{k, "is required"})
		}
	}
	for k := range r.Inputs {
		if strings.HasPrefix(string(k), "__") { // a bridge's own notes
			continue
		}
		if !slices.Contains(f.Required, string(k)) && !slices.Contains(f.Optional, string(k)) {
			failures = append(failures, Failure{string(k), "is not an input of " + r.Type})
		}
	}
	sort.Slice(failures, func(i, j int) bool { return failures[i].Property < failures[j].Property })
	return failures
}

// DiffByTable compares old and new inputs, and what was found with what should
// be there, by the rules of the type.
func DiffByTable(t plan.Table, r Request) Diff {
	f := t[r.Type]
	var d Diff
	keys := map[resource.PropertyKey]bool{}
	for k := range r.OldInputs {
		keys[k] = true
	}
	for k := range r.Inputs {
		keys[k] = true
	}
	for k := range keys {
		if strings.HasPrefix(string(k), "__") || slices.Contains(f.Unwatched, string(k)) {
			continue
		}
		old, isOld := r.OldInputs[k]
		now, isNow := r.Inputs[k]
		if isOld == isNow && !now.ContainsUnknowns() && old.DeepEquals(now) {
			continue
		}
		d.Changed = append(d.Changed, string(k))
		if replaces(f, string(k), old, now) {
			d.Replaces = append(d.Replaces, string(k))
		}
	}
	if len(f.State) > 0 {
		if s := r.Olds[StateKey]; s.IsString() && s.StringValue() != f.State[0] {
			d.Changed = append(d.Changed, string(StateKey))
			if s.StringValue() == Missing {
				d.Replaces = append(d.Replaces, string(StateKey))
			}
		}
	}
	sort.Strings(d.Changed)
	sort.Strings(d.Replaces)
	return d
}

// replaces reports whether a changed input forces a new resource: by itself, or by
// one of the properties in it that the table names as "input.property".
func replaces(f plan.Facts, k string, old, now resource.PropertyValue) bool {
	for _, path := range f.Replaces {
		if path == k {
			return true
		}
		in, ok := strings.CutPrefix(path, k+".")
		if !ok {
			continue
		}
		before, _ := resource.PropertyPath{in}.Get(old)
		after, _ := resource.PropertyPath{in}.Get(now)
		if !before.DeepEquals(after) {
			return true
		}
	}
	return false
}

// Tag names the inputs that make a resource what it is: two requests with the same
// tag ask for the same. A provider that keeps it with what it made can tell, when it
// reads, whether that is what the state says: a run that was killed in the middle of
// an update leaves the state with the inputs from before.
func Tag(t plan.Table, typ string, inputs resource.PropertyMap) string {
	in := inputs.Copy()
	for _, k := range t[typ].Unwatched {
		delete(in, resource.PropertyKey(k))
	}
	return plan.Digest(in.Mappable())[:16]
}

// StateKey is the output that says what Read found of a resource that should be there.
const StateKey resource.PropertyKey = "state"

// Changed is the state of a resource that is not what the state says it is.
const Changed = "changed"

// Missing is the state of a resource whose data should be there and is not: to
// go on without it is to replace it.
const Missing = "missing"
