package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
)

// Target stands where a target is asked for: its topologies become resources of a
// simulated cloud, one for each part that a person would count. Its gates look at
// that cloud. It is how walks are tried by the hundred.
type Target struct{ Cloud *Cloud }

// The resource types of the simulated target.
const (
	typeData  = "simulated:index:Data"  // what a database or store keeps
	typePart  = "simulated:index:Part"  // one server, instance or process
	typeFront = "simulated:index:Front" // an entry or a load balancer, with where it leads
)

// simulated is what planning must know of the simulated target's types.
var simulated = plan.Table{
	typeData:  {HoldsData: true, Required: []string{"node"}, State: []string{"present"}, Create: 500 * time.Millisecond, Source: "made up"},
	typePart:  {Required: []string{"node", "spec"}, State: []string{"running"}, Create: 100 * time.Millisecond, Update: 100 * time.Millisecond, Source: "made up"},
	typeFront: {Required: []string{"node", "to"}, State: []string{"running"}, Create: 10 * time.Millisecond, Update: 10 * time.Millisecond, Source: "made up"},
}

// NewTarget is a simulated target on a cloud of its own; a file, when one is
// named, keeps what stands there from one process to the next.
func NewTarget(file string) (*Target, error) {
	c := New(simulated)
	if file != "" {
		if err := c.Keep(file); err != nil {
			return nil, err
		}
	}
	return &Target{c}, nil
}

// Name is what scale.yaml would call the target.
func (t *Target) Name() string { return "simulated" }

// Table is what planning must know of its types.
func (t *Target) Table() plan.Table { return simulated }

// Explain knows no more than the error.
func (t *Target) Explain(err error) error { return err }

// Live is the program: there is nothing else to do.
func (t *Target) Live(_ context.Context, top topology.Topology, pins map[string]string, _ func(string)) pulumi.RunFunc {
	return t.Program(top, pins)
}

// Where is nowhere that has a name.
func (t *Target) Where(topology.Topology, map[string]string) string { return "" }

// Cost is nothing.
func (t *Target) Cost([]engine.Request) ([]plan.CostLine, []string) { return nil, nil }

// Prices are none.
func (t *Target) Prices() string { return "" }

// Unknown is nothing.
func (t *Target) Unknown() []string { return nil }

// Model is none: the table says all there is to say.
func (t *Target) Model() Model { return nil }

// Providers serve its types from the cloud.
func (t *Target) Providers() map[string]engine.ProviderFactory { return t.Cloud.Providers(t.Name()) }

// URL is the public address.
func (t *Target) URL(top topology.Topology, _ map[string]string) string {
	for _, n := range top.OfKind(topology.Entry) {
		return "simulated://" + n.ID
	}
	return ""
}

// Program makes a resource of each part of a topology, what is depended on first.
func (t *Target) Program(top topology.Topology, _ map[string]string) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		made := map[string][]pulumi.Resource{}
		order := []topology.Kind{topology.Database, topology.Files, topology.Sessions, topology.Queue, topology.Static, topology.Backend, topology.Worker, topology.Job, topology.LoadBalancer, topology.Entry}
		for _, kind := range order {
			for _, n := range top.OfKind(kind) {
				var after []pulumi.Resource
				for _, id := range top.Behind(n.ID) {
					after = append(after, made[id]...)
				}
				rs, err := resources(ctx, n, after)
				if err != nil {
					return err
				}
				made[n.ID] = rs
			}
		}
		return nil
	}
}

func resources(ctx *pulumi.Context, n topology.Node, after []pulumi.Resource) ([]pulumi.Resource, error) {
	var rs []pulumi.Resource
	add := func(typ, name string, in pulumi.Map, o ...pulumi.ResourceOption) error {
		in["node"] = pulumi.String(n.ID)
		r := &pulumi.CustomResourceState{}
		rs = append(rs, r)
		return ctx.RegisterResource(typ, name, in, r, append(o, pulumi.DependsOn(after))...)
	}
	switch {
	case n.HoldsData():
		if err := add(typeData, n.ID+"-data", pulumi.Map{}, pulumi.Protect(true)); err != nil || n.Stopped() {
			return rs, err
		}
		return rs, add(typePart, n.ID, pulumi.Map{"spec": pulumi.String("")})
	case n.Runs() != nil:
		spec := *n.Runs()
		spec.Instances = 0
		for i := range n.Runs().Instances {
			if err := add(typePart, fmt.Sprintf("%s-%d", n.ID, i+1), pulumi.Map{"spec": pulumi.String(plan.Digest(spec))}); err != nil {
				return rs, err
			}
		}
	case n.Static != nil:
		for i := range n.Static.Servers {
			if err := add(typePart, fmt.Sprintf("%s-%d", n.ID, i+1), pulumi.Map{"spec": pulumi.String(n.Static.Release)}); err != nil {
				return rs, err
			}
		}
	default:
		return rs, add(typeFront, n.ID, pulumi.Map{"to": pulumi.ToStringArray(leads(n))})
	}
	return rs, nil
}

// leads are the nodes that an entry or a load balancer sends requests to.
func leads(n topology.Node) []string {
	var to []string
	if n.Entry != nil {
		for _, r := range n.Entry.Routes {
			to = append(to, r.To)
		}
	}
	if n.LoadBalancer != nil {
		for _, r := range n.LoadBalancer.Rules {
			for _, s := range r.Pools {
				if s.Weight > 0 {
					to = append(to, s.To)
				}
			}
		}
	}
	slices.Sort(to)
	return slices.Compact(to)
}

// Use implements stacks.Keeper.
func (t *Target) Use(map[string]string, func() error) {}

// Preflight implements stacks.Keeper.
func (t *Target) Preflight(topology.Topology) error { return nil }

// Pin implements stacks.Keeper: nothing needs to be chosen.
func (t *Target) Pin(topology.Topology, map[string]string, int) ([]string, error) { return nil, nil }

// Secrets implements stacks.Keeper.
func (t *Target) Secrets(string, []string, map[string]string) (bool, error) { return false, nil }

// Renew implements stacks.Keeper.
func (t *Target) Renew(context.Context) error { return nil }

// Snapshot implements stacks.Keeper: there is nothing to go back to.
func (t *Target) Snapshot(context.Context, []plan.Change, topology.Topology, string, func(string)) error {
	return nil
}

// Clean implements stacks.Keeper.
func (t *Target) Clean(context.Context) error { return nil }

// Observe implements stacks.Watcher.
func (t *Target) Observe(context.Context) error { return nil }

// Gate holds when what the topology says stands in the cloud, and nothing that
// takes requests leads nowhere.
func (t *Target) Gate(_ context.Context, gate string, top topology.Topology, _ map[string]string, _ func(string)) error {
	if gate == "stopped" || gate == "empty" {
		for _, name := range t.Cloud.Names() {
			if !strings.HasPrefix(name, typeData) || gate == "empty" {
				return errors.New(name + " still stands")
			}
		}
		return nil
	}
	for _, n := range top.OfKind(topology.Backend) {
		for i := range n.Backend.Instances {
			if name := fmt.Sprintf("%s %s-%d", typePart, n.ID, i+1); !slices.Contains(t.Cloud.Names(), name) {
				return errors.New(name + " does not stand")
			}
		}
	}
	return t.Served()
}

// Served reports what an entry or a load balancer in the cloud leads to and does
// not stand: a request that got there would be dropped.
func (t *Target) Served() error {
	t.Cloud.mu.Lock()
	defer t.Cloud.mu.Unlock()
	stands := map[string]bool{}
	made := map[string]resource.PropertyMap{}
	for key, r := range t.Cloud.world.things {
		made[key], stands[r.Out["node"].StringValue()] = r.Out, true
	}
	reached := map[string]bool{}
	for key, m := range made {
		if strings.HasPrefix(key, typeFront) && strings.Contains(key, " entry-") {
			reached[m["node"].StringValue()] = true
		}
	}
	for range made { // far enough for any chain
		for key, m := range made {
			if !strings.HasPrefix(key, typeFront) || !reached[m["node"].StringValue()] {
				continue
			}
			for _, to := range m["to"].ArrayValue() {
				if reached[to.StringValue()] = true; !stands[to.StringValue()] {
					return fmt.Errorf("%s leads to %s, which does not stand", key, to.StringValue())
				}
			}
		}
	}
	return nil
}

// Components implements stacks.Watcher: the cloud's parts are not looked at one by one.
func (t *Target) Components(topology.Topology, map[string]string) []plan.Component { return nil }

// Data implements stacks.Watcher.
func (t *Target) Data(top topology.Topology) []plan.DataPlace {
	var ps []plan.DataPlace
	for _, n := range top.Nodes {
		if n.HoldsData() {
			ps = append(ps, plan.DataPlace{Name: n.ID + "-data", Place: "the simulated cloud"})
		}
	}
	return ps
}

// Supervisor implements stacks.Watcher.
func (t *Target) Supervisor() string { return "a simulated cloud" }

// Logs implements stacks.Watcher.
func (t *Target) Logs() []string { return nil }

// Log implements stacks.Watcher.
func (t *Target) Log(string) string { return "" }
