package stacks

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks/engine"
)

// strangers refuses to go near data that lies where new data would be made and
// that the record does not know: to take it over, and to clean it away when that
// fails, would both be wrong.
func (e *Environment) strangers(now, wanted topology.Topology) error {
	now = now.Clone()
	known := map[string]bool{}
	for i := range now.Nodes { // a copy that is to lead is known too
		if db := now.Nodes[i].Database; db != nil {
			db.Of = ""
		}
	}
	for _, d := range e.target.Data(now) {
		known[d.Name] = true
	}
	for _, d := range e.target.Data(wanted) {
		if !known[d.Name] && d.Bytes > 0 {
			return &Error{What: fmt.Sprintf("%s holds data that no record knows: was %s lost?", d.Place, e.files.Place(e.recordFile())),
				Hint: "restore the record and the state from a backup, or move the data away to begin anew"}
		}
	}
	return nil
}

// onTheNode looks, before level 2 is gone to, for files that the application keeps
// beside its code: several instances would each have their own.
func (e *Environment) onTheNode(now, wanted topology.Topology) (found string, err error) {
	if now.Level != 1 || wanted.Level < 2 || e.app.Files != nil && !*e.app.Files {
		return "", nil
	}
	for _, s := range e.app.Runs() {
		if s.Dir == "" {
			continue
		}
		files, err := Written(s.Dir, e.record.Made)
		if err != nil || len(files) == 0 {
			return "", err
		}
		what := fmt.Sprintf("service %s keeps %d files beside its code, the first %s", s.Name, len(files), files[0])
		if e.app.Files != nil {
			return what + "; they stay there, and are not in the store of files", nil
		}
		return "", &levels.AppError{
			What: what + ": from level 2 on its instances do not share a disk",
			Hint: "set 'files: true' in scale.yaml and keep them in the bucket FILES_BUCKET; copy these there at level 1. If they may be lost, say 'files: false'"}
	}
	return "", nil
}

// allowed are the resources that may lose their data. A down that was asked to
// delete data has named the environment, and with it everything in it.
//
// Neither has one that led and was fenced anything that its successor has not, but for
// what was told before the failover.
func (e *Environment) allowed(g Goal) []string {
	now := e.record.now()
	if !g.DeleteData {
		now.Nodes = slices.DeleteFunc(now.Nodes, func(n topology.Node) bool {
			return !n.Fenced() && !(g.Verb == "failover" && n.Database != nil && n.Region != g.Region)
		})
	}
	names := slices.Clone(g.AllowDataLoss)
	for _, d := range e.target.Data(now) {
		names = append(names, d.Name)
	}
	return names
}

// failer is a target that can bring the lead of a database to another region.
type failer interface {
	// Failover refuses where that would lose what need not be lost, and tells what may be.
	Failover(ctx context.Context, now, wanted topology.Topology, pins map[string]string) (found []string, err error)
	// Anew reports whether a database that stands cannot be made to follow another.
	Anew() bool
	// Promote does, before the update of a step, what lets databases lead that followed, where
	// the update itself does not do it. It may be asked for again.
	Promote(ctx context.Context, was, is topology.Topology, waiting func(string)) error
}

// router is a target that knows where its routes lead.
type router interface {
	// StillLed refuses changes that take away what users are still sent to.
	StillLed(standing []engine.Request, changes []plan.Change) []plan.Violation
}

// guard refuses what a step would lose: by the rules of the plan, and by where the
// target's routes lead.
func (e *Environment) guard(ctx context.Context, stands *engine.Stack, s plan.Step, allowed []string) ([]plan.Violation, error) {
	vs := plan.Guard([]plan.Step{s}, e.target.Table(), allowed)
	r, ok := e.target.(router)
	if !ok || !slices.ContainsFunc(s.Changes, func(c plan.Change) bool { return c.Op == plan.Delete || c.Op == plan.Replace }) {
		return vs, nil
	}
	standing, err := stands.Standing(ctx)
	if err != nil {
		return nil, err
	}
	return append(vs, r.StillLed(standing, s.Changes)...), nil
}

// guarded is the refusal of a step that is about to be taken.
func (e *Environment) guarded(ctx context.Context, s plan.Step, g Goal) error {
	vs, err := e.guard(ctx, e.stack, s, e.allowed(g))
	if err == nil && len(vs) > 0 {
		err = &GuardError{vs}
	}
	return err
}

// unseen are the databases whose data an application would not see after a walk, but for
// those that were given up.
func unseen(now, wanted topology.Topology, allowed []string) []plan.Violation {
	var vs []plan.Violation
	for _, u := range levels.NotSeen(now, wanted) {
		if !slices.Contains(allowed, u.Database) {
			vs = append(vs, plan.Violation{Rule: "G5", Resource: u.Database, What: u.What})
		}
	}
	return vs
}

// GuardError means that a plan would lose data that nobody gave up.
type GuardError struct{ Violations []plan.Violation }

func (e *GuardError) Error() string {
	var b strings.Builder
	b.WriteString("refused: the plan would lose data")
	for _, v := range e.Violations {
		fmt.Fprintf(&b, "\n    %s: %s", v.Rule, v.What)
	}
	return b.String()
}

// Hints returns what to do about it.
func (e *GuardError) Hints() string {
	var names []string
	for _, v := range e.Violations {
		if !v.Allowable() {
			return "nothing was changed; a plan of ours never does that: look at the routes with 'scale drift', or report it"
		}
		names = append(names, "--allow-data-loss="+v.Resource)
	}
	return "nothing was changed; if that data may go, say so for each: " + strings.Join(names, " ")
}
