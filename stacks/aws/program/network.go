package program

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecs"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/servicediscovery"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// region is what all that stands in one region shares.
type region struct {
	name, code string
	provider   *aws.Provider
	component  *node
	key        *kms.Key
	topic      *sns.Topic
	records    *s3.BucketV2 // access logs

	vpc               *ec2.Vpc
	public, app, data []*ec2.Subnet
	publicTable       *ec2.RouteTable
	appTable          *ec2.RouteTable
	dataTable         *ec2.RouteTable

	tasks       *ec2.SecurityGroup // of Fargate tasks; nil where none run
	cluster     *ecs.Cluster
	namespace   *servicediscovery.HttpNamespace
	certificate pulumi.StringOutput
}

// tiers of subnets, in the order of their addresses.
const (
	tierPublic = iota
	tierApp
	tierData
)

var tierNames = []string{"public", "app", "data"}

// zones are the availability zones that are used, by their letters.
var zones = []string{"a", "b"}

// cidr is a region's network; tier and zone, when not negative, one subnet of it.
func (p *program) cidr(region string, tier, zone int) string {
	i := p.s.Networks[region]
	if tier < 0 {
		return fmt.Sprintf("10.%d.0.0/16", 16*i)
	}
	return fmt.Sprintf("10.%d.%d.0/19", 16*i, 64*tier+32*zone)
}

// region makes the network and what else every node of a region needs.
func (p *program) region(name string) error {
	code := RegionCode(name)
	provider, err := p.provider(name, code)
	if err != nil {
		return err
	}
	r := &region{name: name, code: code, provider: provider}
	p.regions[name] = r
	if len(p.t.Nodes) == 0 {
		return nil // what stood there goes; its provider must know how
	}
	c, err := p.component("scale:aws:region", code, name)
	if err != nil {
		return err
	}
	r.component = c
	steps := []func(*node) error{p.keys, p.alerts, p.accessLogs, p.vpc, p.subnets, p.routes, p.flowLogs}
	if p.runsTasks(name) {
		steps = append(steps, p.nat, p.tasks)
	}
	for _, step := range steps {
		if err := step(c); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) vpc(c *node) (err error) {
	r := c.region
	if r.vpc, err = ec2.NewVpc(p.ctx, r.code, &ec2.VpcArgs{CidrBlock: str(p.cidr(r.name, -1, 0)), EnableDnsSupport: yes(true), EnableDnsHostnames: yes(true),
		Tags: p.tags(p.name(r.code, 255))}, c.in()...); err != nil {
		return err
	}
	// The group that everything gets which names none lets nothing through.
	_, err = ec2.NewDefaultSecurityGroup(p.ctx, r.code, &ec2.DefaultSecurityGroupArgs{VpcId: r.vpc.ID()}, c.in()...)
	return err
}

func (p *program) subnets(c *node) error {
	r := c.region
	for tier, name := range tierNames {
		for i, z := range zones {
			id := r.code + "-" + name + "-" + z
			s, err := ec2.NewSubnet(p.ctx, id, &ec2.SubnetArgs{VpcId: r.vpc.ID(), CidrBlock: str(p.cidr(r.name, tier, i)), AvailabilityZone: str(r.name + z),
				MapPublicIpOnLaunch: yes(false), Tags: p.tags(p.name(id, 255))}, c.in()...)
			if err != nil {
				return err
			}
			switch tier {
			case tierPublic:
				r.public = append(r.public, s)
			case tierApp:
				r.app = append(r.app, s)
			case tierData:
				r.data = append(r.data, s)
			}
		}
	}
	return nil
}

// routes make a table a tier: public to the internet, app through the NAT gateway
// where there is one, data nowhere.
func (p *program) routes(c *node) error {
	r := c.region
	gateway, err := ec2.NewInternetGateway(p.ctx, r.code, &ec2.InternetGatewayArgs{VpcId: r.vpc.ID(), Tags: p.tags(p.name(r.code, 255))}, c.in()...)
	if err != nil {
		return err
	}
	var tables pulumi.StringArray
	for tier, subnets := range [][]*ec2.Subnet{r.public, r.app, r.data} {
		id := r.code + "-" + tierNames[tier]
		t, err := ec2.NewRouteTable(p.ctx, id, &ec2.RouteTableArgs{VpcId: r.vpc.ID(), Tags: p.tags(p.name(id, 255))}, c.in()...)
		if err != nil {
			return err
		}
		tables = append(tables, t.ID().ToStringOutput())
		for i, s := range subnets {
			if _, err := ec2.NewRouteTableAssociation(p.ctx, id+"-"+zones[i], &ec2.RouteTableAssociationArgs{RouteTableId: t.ID(), SubnetId: s.ID()}, c.in()...); err != nil {
				return err
			}
		}
		switch tier {
		case tierPublic:
			r.publicTable = t
		case tierApp:
			r.appTable = t
		case tierData:
			r.dataTable = t
		}
	}
	if _, err := ec2.NewRoute(p.ctx, r.code+"-internet", &ec2.RouteArgs{RouteTableId: r.publicTable.ID(), DestinationCidrBlock: str("0.0.0.0/0"), GatewayId: gateway.ID()}, c.in()...); err != nil {
		return err
	}
	_, err = ec2.NewVpcEndpoint(p.ctx, r.code+"-s3", &ec2.VpcEndpointArgs{VpcId: r.vpc.ID(), ServiceName: str("com.amazonaws." + r.name + ".s3"), VpcEndpointType: str("Gateway"),
		RouteTableIds: tables, Tags: p.tags(p.name(r.code+"-s3", 255))}, c.in()...)
	return err
}

// flowLogs keep who talked to whom.
func (p *program) flowLogs(c *node) error {
	r := c.region
	logs, err := p.logGroup(c, "flow-"+r.code)
	if err != nil {
		return err
	}
	role, err := p.role(c, "flow-"+r.code, "vpc-flow-logs.amazonaws.com", statement{
		"Effect": "Allow", "Action": []string{"logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"}, "Resource": pulumi.Sprintf("%s:*", logs.Arn)})
	if err != nil {
		return err
	}
	_, err = ec2.NewFlowLog(p.ctx, r.code, &ec2.FlowLogArgs{VpcId: r.vpc.ID(), TrafficType: str("ALL"), IamRoleArn: role.Arn, LogDestination: logs.Arn,
		Tags: p.tags(p.name("flow-"+r.code, 255))}, c.in()...)
	return err
}

// nat lets tasks reach the internet, and nothing there reach them.
func (p *program) nat(c *node) error {
	r := c.region
	ip, err := ec2.NewEip(p.ctx, r.code+"-nat", &ec2.EipArgs{Domain: str("vpc"), Tags: p.tags(p.name(r.code+"-nat", 255))}, c.in()...)
	if err != nil {
		return err
	}
	nat, err := ec2.NewNatGateway(p.ctx, r.code, &ec2.NatGatewayArgs{AllocationId: ip.ID(), SubnetId: r.public[0].ID(), Tags: p.tags(p.name(r.code, 255))}, c.in()...)
	if err != nil {
		return err
	}
	_, err = ec2.NewRoute(p.ctx, r.code+"-nat", &ec2.RouteArgs{RouteTableId: r.appTable.ID(), DestinationCidrBlock: str("0.0.0.0/0"), NatGatewayId: nat.ID()}, c.in()...)
	return err
}

// peerings join the networks of regions in which something talks to something in the
// other, each pair by the one that has been there for longer.
func (p *program) peerings() error {
	joined := map[[2]*region]bool{}
	for _, l := range p.t.Links {
		from, _ := p.t.Node(l.From)
		to, _ := p.t.Node(l.To)
		if from.Backend == nil && from.Move == nil || to.Region == "" || to.Files != nil || from.Region == to.Region {
			continue // a bucket is reached without
		}
		pair := [2]*region{p.regions[from.Region], p.regions[to.Region]}
		if p.s.Networks[pair[1].name] < p.s.Networks[pair[0].name] {
			pair[0], pair[1] = pair[1], pair[0]
		}
		joined[pair] = true
	}
	pairs := slices.SortedFunc(maps.Keys(joined), func(a, b [2]*region) int {
		return cmp.Or(cmp.Compare(a[0].code, b[0].code), cmp.Compare(a[1].code, b[1].code))
	})
	for _, pair := range pairs {
		first, second := pair[0], pair[1]
		id := first.code + "-" + second.code
		c, err := p.component("scale:aws:peering", id, first.name)
		if err != nil {
			return err
		}
		asked, err := ec2.NewVpcPeeringConnection(p.ctx, id, &ec2.VpcPeeringConnectionArgs{VpcId: first.vpc.ID(), PeerVpcId: second.vpc.ID(), PeerRegion: str(second.name),
			Tags: p.tags(p.name(id, 255))}, c.in()...)
		if err != nil {
			return err
		}
		accepted, err := ec2.NewVpcPeeringConnectionAccepter(p.ctx, id, &ec2.VpcPeeringConnectionAccepterArgs{VpcPeeringConnectionId: asked.ID(), AutoAccept: yes(true),
			Tags: p.tags(p.name(id, 255))}, pulumi.Parent(c), pulumi.Provider(second.provider))
		if err != nil {
			return err
		}
		for _, way := range []struct{ from, to *region }{{first, second}, {second, first}} {
			if _, err := ec2.NewRoute(p.ctx, way.from.code+"-to-"+way.to.code, &ec2.RouteArgs{RouteTableId: way.from.appTable.ID(), DestinationCidrBlock: str(p.cidr(way.to.name, -1, 0)),
				VpcPeeringConnectionId: asked.ID()}, pulumi.Parent(c), pulumi.Provider(way.from.provider), pulumi.DependsOn([]pulumi.Resource{accepted})); err != nil {
				return err
			}
			// The data tier answers over the peering, and goes nowhere else.
			if _, err := ec2.NewRoute(p.ctx, way.from.code+"-data-to-"+way.to.code, &ec2.RouteArgs{RouteTableId: way.from.dataTable.ID(), DestinationCidrBlock: str(p.cidr(way.to.name, -1, 0)),
				VpcPeeringConnectionId: asked.ID()}, pulumi.Parent(c), pulumi.Provider(way.from.provider), pulumi.DependsOn([]pulumi.Resource{accepted})); err != nil {
				return err
			}
		}
	}
	return nil
}

// logGroup is a log that is kept for a year, encrypted by the region's key.
func (p *program) logGroup(c *node, id string) (*cloudwatch.LogGroup, error) {
	return cloudwatch.NewLogGroup(p.ctx, id, &cloudwatch.LogGroupArgs{Name: str(p.path(id)), RetentionInDays: num(365), KmsKeyId: c.key.Arn},
		c.in(pulumi.DependsOn([]pulumi.Resource{c.key}))...)
}

// role is what a service may assume, with exactly what it may do.
func (p *program) role(c *node, id, service string, may ...statement) (*iam.Role, error) {
	role, err := iam.NewRole(p.ctx, id, &iam.RoleArgs{Name: str(p.name(id, 64)), AssumeRolePolicy: policy(statement{
		"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": map[string]any{"Service": service}})}, c.in()...)
	if err != nil || len(may) == 0 {
		return role, err
	}
	_, err = iam.NewRolePolicy(p.ctx, id, &iam.RolePolicyArgs{Name: str(p.name(id, 128)), Role: role.ID(), Policy: policy(may...)}, c.in()...)
	return role, err
}
