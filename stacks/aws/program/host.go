package program

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ssm"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// host is the single node of level 1: one machine that runs the services and
// answers for them.
type host struct {
	*node
	id    string
	group *ec2.SecurityGroup
	ip    *ec2.Eip
	runs  []any // what it is told to run, a service each
	reads []statement
}

// cloudInit installs the container runtime and the unit that keeps the machine at
// what its description says.
//
//go:embed cloudinit.yaml
var cloudInit string

// single makes the machine of a region, where something runs on it.
func (p *program) single(n topology.Node, _ *node) error {
	if _, made := p.hosts[n.Region]; made || !onHost(n) {
		return nil
	}
	id := "host-" + RegionCode(n.Region)
	c, err := p.component("scale:node:host", id, n.Region)
	if err != nil {
		return err
	}
	h := &host{node: c, id: id}
	p.hosts[n.Region] = h
	if h.group, err = p.openGroup(c, id, "the single node"); err != nil {
		return err
	}
	return p.out(c, id, h.group, "packages, images, certificates, secrets", 443)
}

// onHost notes what the machine is to run of a backend.
func (p *program) onHost(n topology.Node, w *workload) error {
	h := p.hosts[n.Region]
	h.runs = append(h.runs, map[string]any{"service": n.Backend.Service, "image": n.Backend.Image, "command": n.Backend.Command, "instances": n.Backend.Instances,
		"health": n.Backend.Health, "environment": p.environment(n), "secret": w.secret.Arn, "keys": p.connections(n), "version": w.version.VersionId})
	h.reads = append(h.reads, statement{"Effect": "Allow", "Action": []string{"secretsmanager:GetSecretValue"}, "Resource": w.secret.Arn})
	h.reads = append(h.reads, p.mayKeepFiles(n)...)
	return nil
}

// machines make the machine of each region where something runs on one. What it
// runs is a parameter that it follows: the machine itself stays.
func (p *program) machines() error {
	for _, region := range slices.Sorted(maps.Keys(p.hosts)) {
		if err := p.machine(p.hosts[region]); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) machine(h *host) error {
	told, err := ssm.NewParameter(p.ctx, h.id, &ssm.ParameterArgs{Name: str(p.path(h.id)), Description: str("what the node runs"), Type: str("String"), Tier: str("Intelligent-Tiering"),
		Value: pulumi.JSONMarshal(map[string]any{"domain": p.s.Domain, "services": h.runs, "routes": p.routesOf(h.region.name), "releases": p.zone.releases.Bucket, "release": p.release(h.region.name)})}, h.in()...)
	if err != nil {
		return err
	}
	logs, err := p.logGroup(h.node, h.id)
	if err != nil {
		return err
	}
	may := append([]statement{
		{"Effect": "Allow", "Action": []string{"ssm:GetParameter"}, "Resource": told.Arn},
		{"Effect": "Allow", "Action": []string{"kms:Decrypt"}, "Resource": h.key.Arn}, p.mayPull(), p.mayLog(logs.Arn)}, append(h.reads, p.mayFetch()...)...)
	role, err := p.role(h.node, h.id, "ec2.amazonaws.com", may...)
	if err != nil {
		return err
	}
	// A session on the machine goes through Systems Manager; there is no SSH.
	if _, err := iam.NewRolePolicyAttachment(p.ctx, h.id, &iam.RolePolicyAttachmentArgs{Role: role.Name, PolicyArn: str("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")}, h.in()...); err != nil {
		return err
	}
	profile, err := iam.NewInstanceProfile(p.ctx, h.id, &iam.InstanceProfileArgs{Name: str(p.name(h.id, 128)), Role: role.Name}, h.in()...)
	if err != nil {
		return err
	}
	machine, err := ec2.NewInstance(p.ctx, h.id, &ec2.InstanceArgs{Ami: str(p.s.Images[h.region.name]), InstanceType: str("t3.small"), SubnetId: h.public[0].ID(),
		VpcSecurityGroupIds: strs{h.group.ID()}, IamInstanceProfile: profile.Name, Monitoring: yes(true), EbsOptimized: yes(true),
		MetadataOptions: &ec2.InstanceMetadataOptionsArgs{HttpEndpoint: str("enabled"), HttpTokens: str("required"), HttpPutResponseHopLimit: num(1)},
		RootBlockDevice: &ec2.InstanceRootBlockDeviceArgs{Encrypted: yes(true), KmsKeyId: h.key.Arn, VolumeType: str("gp3"), VolumeSize: num(30)},
		UserData:        str(strings.NewReplacer("PARAMETER", p.path(h.id), "REGION", h.region.name, "LOGS", p.path(h.id)).Replace(cloudInit)), Tags: p.tags(p.name(h.id, 255))},
		h.in(pulumi.IgnoreChanges([]string{"ami", "userData"}))...)
	if err != nil {
		return err
	}
	if h.ip, err = ec2.NewEip(p.ctx, h.id, &ec2.EipArgs{Domain: str("vpc"), Instance: machine.ID(), Tags: p.tags(p.name(h.id, 255))}, h.in()...); err != nil {
		return err
	}
	return p.machineAlarms(h, machine)
}

// routesOf are the paths that a region's entry leads to what runs on the machine.
func (p *program) routesOf(region string) []any {
	routes := []any{}
	for _, e := range p.t.OfKind(topology.Entry) {
		if e.Region != region {
			continue
		}
		for _, r := range e.Entry.Routes {
			to, _ := p.t.Node(r.To)
			switch {
			case to.Backend != nil:
				routes = append(routes, map[string]any{"path": r.Path, "service": to.Backend.Service})
			case to.Static != nil:
				routes = append(routes, map[string]any{"path": r.Path, "static": true})
			}
		}
		if m := e.Entry.Maintenance; m != nil {
			routes = []any{map[string]any{"path": "/", "maintenance": true, "retryAfter": fmt.Sprint(m.RetryAfter)}}
		}
	}
	return routes
}

// release is the digest of the static files that a region answers with.
func (p *program) release(region string) string {
	for _, n := range p.t.OfKind(topology.Static) {
		if n.Region == region {
			return n.Static.Release
		}
	}
	return ""
}
