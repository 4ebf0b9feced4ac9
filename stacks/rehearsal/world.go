package rehearsal

import (
	"iter"
	"maps"
	"regexp"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Thing is one resource that stands in a cloud.
type Thing struct {
	Type, Name, ID      string
	Inputs, Out, Config resource.PropertyMap
	// In is the id of what it lies in, and goes with; empty: nothing.
	In string

	unique string // as the model said when it was made
}

// World is what stands, by its type and id.
type World struct {
	things map[string]*Thing
	ids    map[string][]*Thing // by id and by ARN, which references name
	unique map[string]*Thing
	users  map[string][]*Thing // by what they refer to
	made   map[string]int      // how many there have been, by type and name
}

func newWorld() World {
	return World{map[string]*Thing{}, map[string][]*Thing{}, map[string]*Thing{}, map[string][]*Thing{}, map[string]int{}}
}

// Things are all that stand, in no order.
func (w *World) Things() iter.Seq[*Thing] { return maps.Values(w.things) }

// ByID is what stands under an id or an ARN, whatever its type; nil for nothing.
func (w *World) ByID(id string) *Thing {
	if ts := w.ids[id]; len(ts) > 0 {
		return ts[0]
	}
	return nil
}

// UserOf is something that refers to t by its id or ARN; nil when nothing does.
func (w *World) UserOf(t *Thing) *Thing {
	for _, name := range t.names() {
		for _, u := range w.users[name] {
			if u != t && (u.Type != t.Type || u.ID != t.ID) {
				return u
			}
		}
	}
	return nil
}

// Users are all that refer to t.
func (w *World) Users(t *Thing) []*Thing {
	var us []*Thing
	for _, name := range t.names() {
		us = append(us, w.users[name]...)
	}
	return us
}

// names are those by which others refer to it.
func (t *Thing) names() []string {
	names := []string{t.ID}
	if arn := t.Out["arn"]; arn.IsString() && arn.StringValue() != t.ID {
		names = append(names, arn.StringValue())
	}
	return names
}

var reference = regexp.MustCompile(`^([a-z]+-[0-9a-f]{16,26}|arn:[^*]+[^:*])$`)

// References are the ids and ARNs of other resources that inputs hold, each as a
// whole value; one inside a longer text is not looked for.
func References(in resource.PropertyMap) []string {
	var refs []string
	var walk func(v resource.PropertyValue)
	walk = func(v resource.PropertyValue) {
		switch {
		case v.IsString() && reference.MatchString(v.StringValue()):
			refs = append(refs, v.StringValue())
		case v.IsArray():
			for _, e := range v.ArrayValue() {
				walk(e)
			}
		case v.IsObject():
			for _, e := range v.ObjectValue() {
				walk(e)
			}
		}
	}
	for _, v := range in {
		walk(v)
	}
	return refs
}

func (w *World) put(t *Thing) {
	if w.things[t.Type+" "+t.ID] == nil {
		w.made[t.Type+" "+t.Name]++
	}
	w.remove(t.Type, t.ID)
	w.things[t.Type+" "+t.ID] = t
	for _, name := range t.names() {
		w.ids[name] = append(w.ids[name], t)
	}
	for _, to := range References(t.Inputs) {
		w.users[to] = append(w.users[to], t)
	}
	if t.unique != "" {
		w.unique[t.unique] = t
	}
}

func (w *World) remove(typ, id string) {
	t := w.things[typ+" "+id]
	if t == nil {
		return
	}
	delete(w.things, typ+" "+id)
	out := func(m map[string][]*Thing, k string) {
		if m[k] = slices.DeleteFunc(m[k], func(o *Thing) bool { return o == t }); len(m[k]) == 0 {
			delete(m, k)
		}
	}
	for _, name := range t.names() {
		out(w.ids, name)
	}
	for _, to := range References(t.Inputs) {
		out(w.users, to)
	}
	if w.unique[t.unique] == t {
		delete(w.unique, t.unique)
	}
}

// named is the youngest of a type and name.
func (w *World) named(typ, name string) (found *Thing) {
	for _, t := range w.things {
		if t.Type == typ && t.Name == name {
			if found == nil || t.ID > found.ID {
				found = t
			}
		}
	}
	return found
}
