// Package program turns a topology into AWS resources, a file a component kind.
//
// It is a pure function of the topology and the settings, and imports nothing but
// the Pulumi SDKs and the topology: 'scale eject' writes it out as it is.
package program

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// Settings are the facts of an environment that its topology does not hold. Each
// was chosen once: another value would make other resources.
type Settings struct {
	Account string `json:"account"` // 12 digits; nothing is made in another one
	Domain  string `json:"domain"`  // the application's name, which has a zone of its own
	// Life tells this environment from earlier and later ones of its name, in the names of
	// what outlives it: buckets, final snapshots, secrets. Letters and digits, at most 6.
	Life string `json:"life"`
	// Networks are the regions' numbers i, whose networks are 10.(16·i).0.0/16.
	Networks map[string]int `json:"networks"`
	// Places are the numbers of paths, among those of one length, and of pools, in the order
	// of a listener's rules: another path or pool must not move them.
	Places map[string]int `json:"places"`
	// Repositories are the services that there have been: their images stay while the
	// environment is down.
	Repositories []string `json:"repositories"`
	// Images are the machine image of a node, by region.
	Images map[string]string `json:"images"`
	// Endpoint is where an emulator answers for every service; empty: AWS.
	Endpoint string `json:"endpoint,omitempty"`
	// Passwords are those of databases, caches and session stores, by node.
	Passwords map[string]string `json:"-"`
	// Secrets are the applications' own, by service and name.
	Secrets map[string]map[string]string `json:"-"`
	// Verbs are done while the program runs; a preview, a rehearsal of a later step and
	// an ejected project have none.
	Verbs Verbs `json:"-"`
}

// Verbs are what is done between resources and is none. Each may be asked for again,
// and does then what is still to do.
type Verbs struct {
	// Publish puts the files of a release into the bucket that they are fetched from.
	Publish func(bucket string, s topology.StaticSpec) error
	// Run runs a command in a task, to its end, once for each release.
	Run func(Task) error
	// Move brings a service's tables as far as is asked for.
	Move func(Task, topology.MoveSpec) error
}

// Task is a command to run before a release takes requests.
type Task struct {
	Region, Cluster, Definition string // the latter two ARNs
	Container                   string // of the definition, whose command it is instead
	Command                     []string
	Subnets                     []string
	Group                       string // the security group
	Home, Bucket                string // where it is noted that it was run: the bucket, and its region
	Once                        string // the release that it belongs to; empty: it is run each time
}

type (
	str  = pulumi.String
	strs = pulumi.StringArray
	num  = pulumi.Int
	yes  = pulumi.Bool
)

// program builds the resources of one topology.
type program struct {
	ctx     *pulumi.Context
	t       topology.Topology
	s       Settings
	regions map[string]*region
	nodes   map[string]*node
	zone    *zone
	pools   map[string]*pool     // target groups, by node
	fronts  map[string]*front    // load balancers, by region
	stores  map[string]*store    // what backends link to, by node
	hosts   map[string]*host     // single nodes, by region
	edges   map[string]*edge     // CDNs, by node
	apps    map[string]*workload // what runs a service in a region, by both
	moved   []any                // known once tables are where they are to be
}

// Run is the program of a topology.
func Run(t topology.Topology, s Settings) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		p := &program{ctx: ctx, t: t, s: s, regions: map[string]*region{}, nodes: map[string]*node{}, pools: map[string]*pool{}, fronts: map[string]*front{},
			stores: map[string]*store{}, hosts: map[string]*host{}, edges: map[string]*edge{}, apps: map[string]*workload{}}
		return p.run()
	}
}

// order is that of the kinds: what is depended on first.
var order = []struct {
	kind topology.Kind
	make func(*program, topology.Node, *node) error
}{
	{topology.Database, (*program).database},
	{topology.Files, (*program).files},
	{topology.Sessions, (*program).sessions},
	{topology.Cache, (*program).cache},
	{topology.Move, (*program).move},
	{topology.Static, (*program).targets},
	{topology.Backend, (*program).targets},
	{topology.LoadBalancer, (*program).loadBalancer},
	{topology.Backend, (*program).single},
	{topology.Static, (*program).static},
	{topology.Backend, (*program).backend},
	{topology.CDN, (*program).cdn},
}

func (p *program) run() error {
	for _, r := range p.t.Regions {
		if err := p.region(r.Name); err != nil {
			return err
		}
	}
	if len(p.t.Nodes) == 0 {
		return nil
	}
	if err := p.foundation(); err != nil {
		return err
	}
	for _, k := range order {
		for _, n := range leadersFirst(p.t.OfKind(k.kind)) {
			c, err := p.node(n)
			if err != nil {
				return err
			}
			if err := k.make(p, n, c); err != nil {
				return fmt.Errorf("%s: %w", n.ID, err)
			}
		}
	}
	if err := p.machines(); err != nil {
		return err
	}
	for _, n := range p.t.OfKind(topology.Entry) {
		c, err := p.node(n)
		if err != nil {
			return err
		}
		if err := p.entry(n, c); err != nil {
			return err
		}
	}
	p.ctx.Export("url", str("https://"+p.s.Domain))
	return p.links()
}

// leadersFirst puts the databases that others follow before those.
func leadersFirst(ns []topology.Node) []topology.Node {
	slices.SortStableFunc(ns, func(a, b topology.Node) int { return cmp.Compare(follows(a), follows(b)) })
	return ns
}

func follows(n topology.Node) int {
	if n.Replica() {
		return 1
	}
	return 0
}

// node is the component of a topology's node, under which its resources stand. Its
// type is part of their names in the state, and is the same at every level.
type node struct {
	pulumi.ResourceState
	id string
	*region
}

func (p *program) node(n topology.Node) (*node, error) {
	if c, ok := p.nodes[n.ID]; ok {
		return c, nil
	}
	c, err := p.component("scale:node:"+string(n.Kind), n.ID, n.Region)
	p.nodes[n.ID] = c
	return c, err
}

func (p *program) component(typ, id, region string) (*node, error) {
	c := &node{id: id, region: p.regions[region]}
	return c, p.ctx.RegisterComponentResource(typ, id, c)
}

// in are the options of a resource of a node: under its component, by its region's
// provider.
func (n *node) in(more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return append([]pulumi.ResourceOption{pulumi.Parent(n), pulumi.Provider(n.provider)}, more...)
}

// tags are those by which a resource is found again, beside the provider's own.
func (p *program) tags(name string) pulumi.StringMap { return pulumi.StringMap{"Name": str(name)} }

// name is a physical name of at most most characters, which no other environment
// of the account has: too long ones end in a digest instead.
func (p *program) name(id string, most int) string { return Name(p.t, id, most) }

// lasting is the physical name of something that outlives the environment, or whose name
// is not free again for days.
func (p *program) lasting(id string, most int) string { return p.name(id+"-"+p.s.Life, most) }

// Name is the physical name of what a node of a topology is made into.
func Name(t topology.Topology, id string, most int) string {
	full := t.App + "-" + t.Env + "-" + id
	if len(full) <= most {
		return full
	}
	h := sha256.Sum256([]byte(full))
	return strings.TrimRight(full[:most-9], "-") + "-" + hex.EncodeToString(h[:4])
}

// Releases is the name of the bucket of releases, in the home region.
func Releases(t topology.Topology, s Settings) string {
	return (&program{t: t, s: s}).bucketName(releases(t.Home()))
}

func releases(home string) string { return "releases-" + RegionCode(home) }

func (p *program) bucketName(id string) string { return p.lasting(id+"-"+p.s.Account, 63) }

// path is a physical name in services that take a path.
func (p *program) path(id string) string { return "/scale/" + p.t.App + "/" + p.t.Env + "/" + id }

// global is the region in which CloudFront looks for certificates and web ACLs.
const global = "us-east-1"

// provider is the region's own, with nothing in it that may change: a change of a
// provider's region replaces all that it made.
func (p *program) provider(region, code string) (*aws.Provider, error) {
	args := &aws.ProviderArgs{
		Region: str(region),
		DefaultTags: &aws.ProviderDefaultTagsArgs{Tags: pulumi.StringMap{
			"scale:app": str(p.t.App), "scale:env": str(p.t.Env), "scale:managed": str("true")}},
	}
	if p.s.Account != "" {
		args.AllowedAccountIds = strs{str(p.s.Account)}
	}
	if p.s.Endpoint != "" {
		args.AccessKey, args.SecretKey = str("test"), str("test")
		args.SkipCredentialsValidation, args.SkipMetadataApiCheck, args.SkipRegionValidation = yes(true), yes(true), yes(true)
		args.S3UsePathStyle = yes(true)
		args.Endpoints = endpoints(p.s.Endpoint)
	}
	return aws.NewProvider(p.ctx, code, args)
}

// endpoints send every service that the programs use to an emulator.
func endpoints(url string) aws.ProviderEndpointArray {
	at := pulumi.StringPtr(url)
	return aws.ProviderEndpointArray{aws.ProviderEndpointArgs{
		Acm: at, Cloudfront: at, Cloudwatch: at, Ec2: at, Ecr: at, Ecs: at, Elasticache: at, Elbv2: at, Iam: at, Kms: at, Cloudwatchlogs: at,
		Rds: at, Route53: at, S3: at, Secretsmanager: at, Servicediscovery: at, Sns: at, Ssm: at, Sts: at, Wafv2: at,
	}}
}
