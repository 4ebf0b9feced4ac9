package stacks

import (
	"context"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// Target makes a topology real. Pins are the facts of the record that a target
// chose once: ports, passwords.
type Target interface {
	Shaper
	Keeper
	Watcher
}

// Shaper turns a topology into resources.
type Shaper interface {
	Name() string
	Table() plan.Table
	Program(t topology.Topology, pins map[string]string) pulumi.RunFunc
	// Live is the program that also does what is no resource, where there is such a
	// thing: it is run for real, and never by a preview or a rehearsal of later steps.
	Live(ctx context.Context, t topology.Topology, pins map[string]string, waiting func(string)) pulumi.RunFunc
	Providers() map[string]engine.ProviderFactory
	// Model is how what stands answers when it is rehearsed; nil where the table says
	// all there is to say.
	Model() rehearsal.Model
	URL(t topology.Topology, pins map[string]string) string
	// Where names the place, for whoever is asked whether to go on; empty: here.
	Where(t topology.Topology, pins map[string]string) string
	// Cost is what resources cost a month, and what that assumes; nothing where
	// nobody asks for money.
	Cost(standing []engine.Request) (lines []plan.CostLine, assumes []string)
	Prices() string // where and when its prices are from
	// Unknown is what no plan for the target can know.
	Unknown() []string
}

// Keeper settles what must be known before a change, and cleans up after the last.
type Keeper interface {
	// Use hands the pins over before anything else is asked; the secret ones are
	// in them once unlock has been called.
	Use(pins map[string]string, unlock func() error)
	// Preflight reports what would make a change fail, before anything changes.
	Preflight(t topology.Topology) error
	// Pin fills in what the topology needs and the pins lack; port, when not 0,
	// is that of the public address.
	Pin(t topology.Topology, pins map[string]string, port int) (moved []string, err error)
	// Secrets fills in a service's own secrets, by their names, and reports whether a
	// value is another than before.
	Secrets(service string, names []string, pins map[string]string) (changed bool, err error)
	// Renew replaces what keeps the components running, where a newer scale is at hand.
	Renew(ctx context.Context) error
	// Snapshot makes copies of what the changed resources hold, to which one can go
	// back, where that is a matter of the target; name tells this time from others.
	Snapshot(ctx context.Context, changed []plan.Change, t topology.Topology, name string, waiting func(string)) error
	// Explain words what the error of a change means and what to do about it, where the
	// target knows more than the error says.
	Explain(err error) error
	// Clean removes what is left of an environment that has no resources any more.
	Clean(ctx context.Context) error
}

// Watcher sees what is really there.
type Watcher interface {
	Observe(ctx context.Context) error
	// Gate returns when a gate of levels holds, or why it does not.
	Gate(ctx context.Context, gate string, t topology.Topology, pins map[string]string, waiting func(string)) error
	Components(t topology.Topology, pins map[string]string) []plan.Component
	Data(t topology.Topology) []plan.DataPlace
	Supervisor() string
	// Logs are the names of components that have a log, and Log the file of one.
	Logs() []string
	Log(component string) string
}
