package plan

import "time"

// Facts is what a target knows about one of its resource types. Targets fill a
// table of them; the guard, the rehearsal and the target's own provider read it,
// so that what is planned, rehearsed and done follow the same rules.
type Facts struct {
	// HoldsData: deleting or replacing a resource of the type loses data.
	HoldsData bool
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

// Impact is what a change does to the data that the resource holds.
func (t Table) Impact(c Change) Impact {
	if !t[c.Type].HoldsData {
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
