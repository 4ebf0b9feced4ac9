// Package aws makes a topology real in an AWS account, or in the rehearsal of one:
// what is known of the resource types, how AWS answers, what a step must have
// reached before the next. The resources themselves are in package program.
//
// It knows topologies and the engine's provider interface; it knows nothing of
// levels, walks or records. It is, with program, the only importer of pulumi-aws.
package aws

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/aws/program"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// Config says where an environment stands.
type Config struct {
	Domain   string
	Account  string  // the only one that it may stand in; empty: that of the credentials
	Profile  string  // of the shared AWS configuration; empty: the standard chain
	Endpoint string  // an emulator's; empty: AWS
	Usage    *Usage  // what traffic is assumed; nil: LightUse
	Fetched  *Prices // from AWS; nil: the table
	// Rehearsal, when not nil, stands for the account: no credentials, no network.
	Rehearsal *rehearsal.Cloud
}

// AWS is the target of one environment.
type AWS struct {
	Config
	verbs Verbs
	every time.Duration // between two looks at whether something has come about
	pins  map[string]string
	// lookup finds the variables that the application's secrets are taken from.
	lookup func(string) (string, bool)
	// servers are the name servers of a domain.
	servers func(ctx context.Context, domain string) ([]*net.NS, error)
}

// RehearsedAccount is the account of a rehearsal: one that AWS's documentation uses.
const RehearsedAccount = "123456789012"

// rehearsedImage stands for a machine image.
const rehearsedImage = "ami-0123456789abcdef0"

// New is the AWS target of an environment; nothing is asked yet.
func New(c Config) *AWS {
	a := &AWS{Config: c, every: lookEvery, lookup: os.LookupEnv, servers: net.DefaultResolver.LookupNS}
	if c.Rehearsal != nil {
		c.Rehearsal.Model, c.Rehearsal.Whole = a.Model(), true
		a.verbs = &rehearsed{c.Rehearsal, RehearsedAccount}
		// A rehearsal is kept in the open, and connects to nothing.
		a.lookup = func(name string) (string, bool) { return "rehearsed-" + strings.ToLower(name), true }
	} else {
		a.verbs = &account{profile: c.Profile, endpoint: c.Endpoint, every: lookEvery}
	}
	return a
}

// NewRehearsal is an empty account that a rehearsal stands in.
func NewRehearsal() *rehearsal.Cloud { return rehearsal.New(Table()) }

// Name is what scale.yaml calls the target.
func (a *AWS) Name() string { return "aws" }

// Table is what planning must know of the target's types.
func (a *AWS) Table() plan.Table { return Table() }

// Model is how AWS answers, for what is rehearsed.
func (a *AWS) Model() rehearsal.Model {
	if a.pins[pinAccount] != "" {
		return &model{a.pins[pinAccount]}
	}
	return &model{or(a.Account, RehearsedAccount)}
}

// Providers serve the target's types where they are rehearsed; the real plugin
// serves them otherwise.
func (a *AWS) Providers() map[string]engine.ProviderFactory {
	if a.Rehearsal == nil {
		return nil
	}
	return a.Rehearsal.Providers(a.Name())
}

// The pins: what was chosen once.
const (
	pinAccount  = "account"
	pinLife     = "life"
	pinReleases = "releases"    // the region and the bucket, by a slash
	pinImages   = "repository:" // and a service: it has one
	pinNetwork  = "network:"    // and a region: the number of its network
	pinPlace    = "place:"      // and a path or a pool: its number in the order of rules
	pinImage    = "image:"      // and a region: its machine image
	pinPassword = "secret:password:"
	pinSecret   = "secret:env:"
)

// Program is that of a topology.
func (a *AWS) Program(t topology.Topology, pins map[string]string) pulumi.RunFunc {
	return program.Run(t, a.settings(pins))
}

func (a *AWS) settings(pins map[string]string) program.Settings {
	s := program.Settings{Account: pins[pinAccount], Domain: a.Domain, Endpoint: a.Endpoint, Life: pins[pinLife], Networks: map[string]int{}, Places: map[string]int{}, Images: map[string]string{},
		Passwords: map[string]string{}, Secrets: map[string]map[string]string{}}
	for k, v := range pins {
		switch {
		case strings.HasPrefix(k, pinNetwork):
			s.Networks[k[len(pinNetwork):]], _ = strconv.Atoi(v) // written by Pin
		case strings.HasPrefix(k, pinPlace):
			s.Places[k[len(pinPlace):]], _ = strconv.Atoi(v) // written by Pin
		case strings.HasPrefix(k, pinImages):
			s.Repositories = append(s.Repositories, k[len(pinImages):])
		case strings.HasPrefix(k, pinImage):
			s.Images[k[len(pinImage):]] = v
		case strings.HasPrefix(k, pinPassword):
			s.Passwords[k[len(pinPassword):]] = v
		case strings.HasPrefix(k, pinSecret):
			service, name, _ := strings.Cut(k[len(pinSecret):], ":")
			if s.Secrets[service] == nil {
				s.Secrets[service] = map[string]string{}
			}
			s.Secrets[service][name] = v
		}
	}
	slices.Sort(s.Repositories)
	return s
}

// URL is the public address.
func (a *AWS) URL(t topology.Topology, _ map[string]string) string {
	if len(t.OfKind(topology.Entry)) == 0 {
		return ""
	}
	return "https://" + a.Domain
}

// Use implements stacks.Keeper.
func (a *AWS) Use(pins map[string]string, _ func() error) {
	a.pins = pins
	if r, ok := a.verbs.(*rehearsed); ok {
		r.cloud.Model, r.account = a.Model(), or(pins[pinAccount], RehearsedAccount) // a copy is one of its own account
	}
}

// networks are the numbers that a region's network may have: 10.(16·i).0.0/16.
const networks = 16

// Pin chooses the account, the regions' networks and images, and passwords. The
// program never does: what it chose would change from run to run.
func (a *AWS) Pin(t topology.Topology, pins map[string]string, _ int) ([]string, error) {
	ctx := context.Background()
	if pins[pinAccount] == "" {
		id, _, err := a.verbs.Identity(ctx)
		if err != nil {
			return nil, err
		}
		pins[pinAccount] = id
	}
	if pins[pinLife] == "" {
		pins[pinLife] = strings.ToLower(rand.Text()[:6])
		if a.Rehearsal != nil { // names that are the same from run to run
			pins[pinLife] = fmt.Sprintf("r%d", len(a.Rehearsal.Things()))
		}
	}
	if t.Home() != "" {
		pins[pinReleases] = t.Home() + "/" + program.Releases(t, a.settings(pins))
	}
	for _, n := range t.OfKind(topology.Backend) {
		pins[pinImages+n.Backend.Service] = "yes"
	}
	if err := pinPlaces(t, pins); err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for k, v := range pins {
		if strings.HasPrefix(k, pinNetwork) {
			taken[v] = true
		}
	}
	for _, r := range t.Regions {
		if pins[pinNetwork+r.Name] == "" {
			i := 0
			for taken[strconv.Itoa(i)] {
				i++
			}
			if i == networks {
				return nil, &Error{What: "every network of 10.0.0.0/8 has been given to a region", Hint: "an environment can have stood in at most 16 regions"}
			}
			taken[strconv.Itoa(i)], pins[pinNetwork+r.Name] = true, strconv.Itoa(i)
		}
		if pins[pinImage+r.Name] == "" {
			image, err := a.verbs.Image(ctx, r.Name)
			if err != nil {
				return nil, err
			}
			pins[pinImage+r.Name] = image
		}
	}
	for _, n := range t.Nodes {
		if k := pinPassword + n.ID; pins[k] == "" && (n.Database != nil && !n.Replica() || n.Sessions != nil || n.Cache != nil) {
			pins[k] = rand.Text() + rand.Text()[:6]
		}
	}
	return nil, nil
}

// pinPlaces gives the paths and pools of load balancers numbers that they keep.
func pinPlaces(t topology.Topology, pins map[string]string) error {
	give := func(name string, most int, alike func(string) bool) error {
		if pins[pinPlace+name] != "" {
			return nil
		}
		taken := map[string]bool{}
		for k, v := range pins {
			if other, ok := strings.CutPrefix(k, pinPlace); ok && alike(other) {
				taken[v] = true
			}
		}
		i := 0
		for taken[strconv.Itoa(i)] {
			i++
		}
		if i >= most {
			return &Error{What: fmt.Sprintf("a load balancer has no place left for %s: there have been %d like it", name, most), Hint: "give it a path of another length, or another name"}
		}
		pins[pinPlace+name] = strconv.Itoa(i)
		return nil
	}
	path := func(s string) bool { return strings.HasPrefix(s, "/") }
	for _, n := range t.OfKind(topology.LoadBalancer) {
		for _, r := range n.LoadBalancer.Rules {
			if err := give(r.Path, program.PathsOfALength, func(o string) bool { return path(o) && len(o) == len(r.Path) }); err != nil {
				return err
			}
		}
	}
	for _, n := range slices.Concat(t.OfKind(topology.Backend), t.OfKind(topology.Static)) {
		if err := give(n.ID, program.Pools, func(o string) bool { return !path(o) }); err != nil {
			return err
		}
	}
	return nil
}

// Secrets implements stacks.Keeper.
func (a *AWS) Secrets(service string, names []string, pins map[string]string) (changed bool, err error) {
	for _, name := range slices.Sorted(slices.Values(names)) {
		k := pinSecret + service + ":" + name
		if v, ok := a.lookup(name); ok {
			was, had := pins[k]
			changed = changed || had && was != v
			pins[k] = v
		}
		if _, ok := pins[k]; !ok {
			return changed, &Error{What: fmt.Sprintf("the secret %s of service %s has no value", name, service), Hint: "set it in the environment of this command: " + name + "=… scale up"}
		}
	}
	return changed, nil
}

// Snapshot implements stacks.Keeper, for databases: before one is changed, what it
// holds is copied. Snapshots stay until somebody deletes them.
func (a *AWS) Snapshot(ctx context.Context, changed []plan.Change, t topology.Topology, name string, waiting func(string)) error {
	for _, c := range changed {
		n, ok := t.Node(c.Name)
		if c.Type != databaseType || !ok {
			continue
		}
		waiting("a snapshot of " + c.Name)
		if err := a.verbs.Snapshot(ctx, n, program.Name(t, n.ID, 63), name); err != nil {
			return err
		}
	}
	return nil
}

// databaseType is that of databases.
const databaseType = "aws:rds/instance:Instance"

// Renew implements stacks.Keeper: AWS keeps its components running itself.
func (a *AWS) Renew(context.Context) error { return nil }

// Clean implements stacks.Keeper: nothing is left of what had no resources; a
// rehearsed account ends with its environment.
func (a *AWS) Clean(context.Context) error {
	if a.Rehearsal != nil {
		return a.Rehearsal.Forget()
	}
	return nil
}

// Where names the account and the regions, for whoever is asked.
func (a *AWS) Where(t topology.Topology, pins map[string]string) string {
	var rs []string
	for _, r := range t.Regions {
		rs = append(rs, r.Name)
	}
	where := "account " + pins[pinAccount] + ", " + strings.Join(rs, ", ")
	if a.Rehearsal != nil {
		where += " (rehearsed: nothing there is real)"
	}
	return where
}

// Unknown is what no plan for AWS can know.
func (a *AWS) Unknown() []string { return Unknowable }

// Observe implements stacks.Watcher.
func (a *AWS) Observe(context.Context) error { return nil }

// Supervisor implements stacks.Watcher.
func (a *AWS) Supervisor() string {
	if a.Rehearsal != nil {
		return "a rehearsal of account " + or(a.pins[pinAccount], RehearsedAccount)
	}
	return "AWS, account " + a.pins[pinAccount]
}

// Components are the parts as they are wanted.
func (a *AWS) Components(t topology.Topology, _ map[string]string) []plan.Component {
	var cs []plan.Component
	for _, n := range t.Nodes {
		c := plan.Component{Name: n.ID, Node: n.ID, Kind: string(n.Kind), State: "running", Healthy: true, Address: n.Region}
		switch {
		case n.Stopped():
			c.State, c.Healthy = "stopped", false
		case n.Replica():
			c.Detail = "follows " + n.Database.Of
		case n.Database != nil:
			c.Detail = "leads"
		case n.Backend != nil:
			c.Detail = fmt.Sprintf("%d tasks", n.Backend.Instances)
			if n.Backend.Instances == 0 {
				c.State, c.Healthy = "stopped", true
			}
		}
		cs = append(cs, c)
	}
	return cs
}

// Data are the resources that hold data, by their names. The zone and the key of
// the home region are among them: without them the data cannot be reached or read.
func (a *AWS) Data(t topology.Topology) []plan.DataPlace {
	var ps []plan.DataPlace
	for _, n := range t.Nodes {
		if n.HoldsData() {
			ps = append(ps, plan.DataPlace{Name: n.ID, Place: string(n.Kind) + " in " + n.Region})
		}
	}
	if len(ps) > 0 {
		ps = append(ps, plan.DataPlace{Name: t.App, Place: "zone " + a.Domain}, plan.DataPlace{Name: program.RegionCode(t.Home()), Place: "key in " + t.Home()})
	}
	return ps
}

// Logs implements stacks.Watcher: they are in CloudWatch.
func (a *AWS) Logs() []string { return nil }

// Log implements stacks.Watcher.
func (a *AWS) Log(string) string { return "" }

// Error is something that a person can set right.
type Error = plan.Error

func or(v, def string) string {
	if v == "" {
		return def
	}
	return v
}
