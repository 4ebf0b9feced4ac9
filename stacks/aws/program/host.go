package program

import (
	"cmp"
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
	h.runs = append(h.runs, map[string]any{"service": n.Backend.Service, "image": n.Backend.Image, "command": n.Backend.Command, "migrate": n.Backend.Migrate, "instances": n.Backend.Instances,
		"health": n.Backend.Health, "environment": p.environment(n), "secret": w.secret.Arn, "keys": p.connections(n)})
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
		Value: pulumi.JSONMarshal(map[string]any{"domain": p.s.Domain, "services": h.runs, "caddyfile": p.caddyfile(h.region.name), "releases": p.releasesOf(h.region.name), "release": p.release(h.region.name)})}, h.in()...)
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

// caddyfile is how the machine answers: by path, the longest first, as long as it
// stands and wherever the name leads meanwhile; or with the maintenance page.
func (p *program) caddyfile(region string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s {\n", p.s.Domain)
	if m := p.closed(region); m != nil {
		fmt.Fprintf(&b, "\theader Retry-After %d\n\trespond \"Back in a moment\" 503\n}\n", m.RetryAfter)
		return b.String()
	}
	to := map[string]string{}
	for _, n := range p.t.Nodes {
		if n.Region != region || !onHost(n) {
			continue
		}
		if n.Static != nil {
			to[n.Static.Prefix] = fmt.Sprintf("\thandle_path %s/* {\n\t\troot * /srv/files/%s\n\t\tencode gzip\n\t\tfile_server\n\t}\n", trim(n.Static.Prefix), n.Static.Release)
			continue
		}
		for _, path := range n.Backend.Routes {
			to[path] = fmt.Sprintf("\thandle %s* {\n\t\treverse_proxy %s:%d\n\t}\n", path, n.Backend.Service, port)
		}
	}
	paths := slices.SortedFunc(maps.Keys(to), func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	for _, path := range paths {
		b.WriteString(to[path])
	}
	b.WriteString("}\n")
	return b.String()
}

// closed is the maintenance that a region's machine answers with; nil where a load
// balancer stands before its entry, or nothing is closed.
func (p *program) closed(region string) *topology.Maintenance {
	for _, e := range p.t.OfKind(topology.Entry) {
		if e.Region == region && p.fronts[region] == nil {
			return e.Entry.Maintenance
		}
	}
	return nil
}

// releasesOf is the bucket that a region's machine fetches files from, once they are there.
func (p *program) releasesOf(region string) pulumi.StringOutput {
	for _, n := range p.t.OfKind(topology.Static) {
		if n.Region == region {
			return p.published(*n.Static)
		}
	}
	return p.zone.releases.Bucket
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
