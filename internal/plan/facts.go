package plan

import (
	"strings"
	"time"
)

// Facts is what a target knows about one of its resource types. Targets fill a
// table of them; the guard, the rehearsal and the target's own provider read it,
// so that what is planned, rehearsed and done follow the same rules.
type Facts struct {
	// HoldsData: deleting or replacing a resource of the type loses data. DataIf, where
	// it is not empty, names the input that tells which of them do: "a" when it is set,
	// "!a" when it is not, or false; "a=b" when it is b.
	HoldsData bool
	DataIf    string
	// Armour are inputs that keep a resource from being deleted, or its data from
	// going with it; to lay one down is a change of its own.
	Armour []string
	// Fixed are inputs that a change of its own kind may touch and no walk does: a
	// replica's leader, the snapshot that a database was made from.
	Fixed []string
	// Grows are inputs of numbers that can grow and not shrink; Major those of
	// versions whose first number changes only when it is asked for.
	Grows, Major []string
	// Required inputs; Optional ones may be missing. An input in neither is refused.
	Required, Optional []string
	// Replaces are the inputs whose change makes a new resource.
	Replaces []string
	// Unwatched inputs are handed to the provider but a change of them alone is no change.
	Unwatched []string
	// Outputs are properties that only exist once the resource does, with the
	// value that a rehearsal gives them.
	Outputs map[string]string
	// State is an output that says what was found there ("running", "stopped",
	// "missing"); a value other than the first is a change to repair. Empty: none.
	State []string
	// Create, Update and Delete are how long each usually takes.
	Create, Update, Delete time.Duration
	// Source says where the durations were measured or read.
	Source string
}

// Table maps resource types to what is known of them.
type Table map[string]Facts

// Duration is how long a change usually takes; zero when the type is unknown.
func (t Table) Duration(c Change) time.Duration {
	f := t[c.Type]
	switch c.Op {
	case Create:
		return f.Create
	case Update:
		return f.Update
	case Delete:
		return f.Delete
	case Replace:
		return f.Create + f.Delete
	default:
		return 0
	}
}

// Holds reports whether a resource with these inputs holds data.
func (f Facts) Holds(input func(string) (value string, set bool)) bool {
	if !f.HoldsData || f.DataIf == "" {
		return f.HoldsData
	}
	key, not := strings.CutPrefix(f.DataIf, "!")
	key, want, exact := strings.Cut(key, "=")
	value, set := input(key)
	switch {
	case not:
		return !set || value == "false"
	case exact:
		return value == want
	default:
		return set
	}
}

// Impact is what a change does to the data that the resource holds.
func (c Change) Impact() Impact {
	if !c.Holds {
		return NoData
	}
	switch c.Op {
	case Delete:
		return Destroys
	case Replace:
		return Replaces
	default:
		return Keeps
	}
}
