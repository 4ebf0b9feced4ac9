package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Violation is a change that the guard refuses.
type Violation struct {
	Rule     string `json:"rule"`     // G1 to G12, as docs/guard.md lists them
	Resource string `json:"resource"` // its name: what --allow-data-loss takes
	What     string `json:"what"`
}

// Allowable reports whether a person may give up what would be lost: data, and not the
// requests of users who are still sent there.
func (v Violation) Allowable() bool { return v.Rule != "G9" }

// Guard looks for changes that would lose data. allowed names the resources
// whose loss was asked for; a name allows that resource and nothing else.
//
//   - G1: replace or delete of a type that holds data, naming the property.
//   - G2: a provider's region or account changes.
//   - G3: deletion protection or backups go, together with anything else.
//   - G4: what a replica follows changes outside a promotion.
//   - G6: delete and create of the same type under another name: a rename.
//   - G7: storage shrinks, or an engine changes its major version.
//   - G10: the snapshot that a database was made from is taken away.
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
	if strings.HasPrefix(c.Type, providers) {
		return &Violation{"G2", c.Name, fmt.Sprintf("%s would work in another place: %s changes, and all that it made would be made anew there", c.Name, c.Diff[0].Path)}
	}
	if !c.Holds {
		return nil
	}
	if v := guardDiff(c, s, f); v != nil {
		return v
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

// providers is how the types of an engine's own resources begin that reach a cloud.
const providers = "pulumi:providers:"

// guardDiff looks at what an update or a replacement changes of a resource that
// holds data.
func guardDiff(c Change, s Step, f Facts) *Violation {
	for _, d := range c.Diff {
		switch {
		case slices.Contains(f.Armour, d.Path) && laidDown(d) && !disarms(s, f):
			return &Violation{"G3", c.Name, fmt.Sprintf("%s would lose its protection (%s: %s → %s) together with other changes: it must be a step of its own", c.Name, d.Path, d.Before, d.After)}
		case slices.Contains(f.Fixed, d.Path):
			return &Violation{fixedRule(d.Path), c.Name, fmt.Sprintf("%s follows from where its data came (%s: %s → %s): only a promotion or a restore changes that", c.Name, d.Path, or(d.Before, "nothing"), or(d.After, "nothing"))}
		case slices.Contains(f.Grows, d.Path) && number(d.After) < number(d.Before):
			return &Violation{"G7", c.Name, fmt.Sprintf("%s holds data, and %s would shrink from %s to %s", c.Name, d.Path, d.Before, d.After)}
		case slices.Contains(f.Major, d.Path) && major(d.Before) != major(d.After):
			return &Violation{"G7", c.Name, fmt.Sprintf("%s holds data, and %s would change from %s to %s: there is no way back from a new major version", c.Name, d.Path, d.Before, d.After)}
		}
	}
	return nil
}

// fixedRule is the number of the rule about an input that only a verb changes.
func fixedRule(path string) string {
	if path == "snapshotIdentifier" {
		return "G10"
	}
	return "G4"
}

// laidDown reports whether a piece of armour is taken off: protection that was on
// and is not, backups that were kept and are not.
func laidDown(d Property) bool {
	return d.Before == "true" && d.After != "true" || number(d.Before) > 0 && number(d.After) == 0
}

// disarms reports whether a step does nothing but lay armour down.
func disarms(s Step, f Facts) bool {
	for _, c := range s.Changes {
		if c.Op != Update {
			return false
		}
		for _, d := range c.Diff {
			if !laidDown(d) {
				return false
			}
		}
	}
	return true
}

func number(v string) float64 { n, _ := strconv.ParseFloat(v, 64); return n }

func major(version string) string { m, _, _ := strings.Cut(version, "."); return m }

func or(v, def string) string {
	if v == "" {
		return def
	}
	return v
}

// Unknown is how a value that only exists after the change is written in a plan.
const Unknown = "(known after the change)"
