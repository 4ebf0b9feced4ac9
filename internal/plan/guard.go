package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Violation is a change that the guard refuses.
type Violation struct {
	Rule     string `json:"rule"`     // G1, G6, G11
	Resource string `json:"resource"` // its name: what --allow-data-loss takes
	What     string `json:"what"`
}

// Guard looks for changes that would lose data. allowed names the resources
// whose loss was asked for; a name allows that resource and nothing else.
//
//   - G1: replace or delete of a type that holds data, naming the property.
//   - G6: delete and create of the same type under another name: a rename.
//   - G11: an unknown value in a property that forces replacement counts as replace.
func Guard(steps []Step, table Table, allowed []string) []Violation {
	var vs []Violation
	for _, s := range steps {
		for _, c := range s.Changes {
			if v := guardChange(c, s, table); v != nil && !slices.Contains(allowed, c.Name) {
				vs = append(vs, *v)
			}
		}
	}
	return vs
}

func guardChange(c Change, s Step, table Table) *Violation {
	f := table[c.Type]
	if !f.HoldsData {
		return nil
	}
	switch c.Op {
	case Replace:
		what := fmt.Sprintf("%s holds data and would be replaced", c.Name)
		if ks := c.ReplaceKeys(); len(ks) > 0 {
			what += " because of " + strings.Join(ks, ", ")
		}
		return &Violation{"G1", c.Name, what}
	case Delete:
		for _, o := range s.Changes {
			if o.Op == Create && o.Type == c.Type {
				return &Violation{"G6", c.Name, fmt.Sprintf("%s holds data and would be deleted while %s is created: a rename loses the data", c.Name, o.Name)}
			}
		}
		return &Violation{"G1", c.Name, fmt.Sprintf("%s holds data and would be deleted", c.Name)}
	case Update:
		for _, d := range c.Diff {
			if d.After == Unknown && slices.Contains(f.Replaces, d.Path) {
				return &Violation{"G11", c.Name, fmt.Sprintf("%s holds data, and whether it is replaced depends on %s, which is not known yet", c.Name, d.Path)}
			}
		}
	}
	return nil
}

// Unknown is how a value that only exists after the change is written in a plan.
const Unknown = "(known after the change)"
