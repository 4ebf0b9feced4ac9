//go:build !unix

package local

import (
	"context"
	"io/fs"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// Config is as on the systems that have the local target.
type Config struct {
	Root    string
	Agent   []string
	Build   string
	Example fs.FS
}

// Local refuses everything: processes in groups, adoption and handed-over
// listeners are of Unix.
type Local struct{}

var errSystem = &Error{What: "the local target is not supported on this system",
	Hint: "it runs on Linux and macOS; on Windows, use WSL"}

// New is a target that refuses everything.
func New(Config) *Local { return &Local{} }

// RunAgent refuses.
func RunAgent(string, string, bool) error { return errSystem }

func (*Local) Name() string                                      { return "local" }
func (*Local) Table() plan.Table                                 { return Table }
func (*Local) Providers() map[string]engine.ProviderFactory      { return nil }
func (*Local) Where(topology.Topology, map[string]string) string { return "" }
func (*Local) Cost([]engine.Request) ([]plan.CostLine, []string) { return nil, nil }
func (*Local) Prices() string                                    { return "" }
func (*Local) Snapshot(context.Context, []plan.Change, topology.Topology, string, func(string)) error {
	return errSystem
}
func (*Local) Unknown() []string                                                { return nil }
func (*Local) Model() rehearsal.Model                                           { return nil }
func (*Local) URL(topology.Topology, map[string]string) string                  { return "" }
func (*Local) Use(map[string]string, func() error)                              {}
func (*Local) Preflight(topology.Topology) error                                { return errSystem }
func (*Local) Secrets(string, []string, map[string]string) (bool, error)        { return false, errSystem }
func (*Local) Renew(context.Context) error                                      { return nil }
func (*Local) Clean(context.Context) error                                      { return errSystem }
func (*Local) Observe(context.Context) error                                    { return errSystem }
func (*Local) Data(topology.Topology) []plan.DataPlace                          { return nil }
func (*Local) Supervisor() string                                               { return "" }
func (*Local) Logs() []string                                                   { return nil }
func (*Local) Log(string) string                                                { return "" }
func (*Local) Doctor() []Finding                                                { return nil }
func (*Local) Components(topology.Topology, map[string]string) []plan.Component { return nil }

func (*Local) Program(topology.Topology, map[string]string) pulumi.RunFunc {
	return func(*pulumi.Context) error { return errSystem }
}

func (*Local) Pin(topology.Topology, map[string]string, int) ([]string, error) { return nil, errSystem }

func (*Local) Gate(context.Context, string, topology.Topology, map[string]string, func(string)) error {
	return errSystem
}

// InspectApp refuses.
func (*Local) InspectApp(context.Context, topology.Topology, []string) ([]Finding, error) {
	return nil, errSystem
}
