package aws

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// form is what a service takes as a value; the message says it in words.
type form struct {
	is   func() *regexp.Regexp
	says string
}

// shape is compiled when it is first asked for: those that count to 255 take as long as
// all else that happens before a command begins.
func shape(re, says string) form {
	return form{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(re) }), says}
}

// forms are those of names, by type and input, from the services' API references.
var forms = map[string]form{
	"aws:lb/loadBalancer:LoadBalancer.name":                                 shape(`^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$`, "is 1 to 32 letters, digits and dashes"),
	"aws:lb/targetGroup:TargetGroup.name":                                   shape(`^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$`, "is 1 to 32 letters, digits and dashes"),
	"aws:rds/instance:Instance.identifier":                                  shape(`^[a-z](-?[a-z0-9]){0,62}$`, "is 1 to 63 lower case letters, digits and single dashes, and begins with a letter"),
	"aws:rds/instance:Instance.finalSnapshotIdentifier":                     shape(`^[a-zA-Z](-?[a-zA-Z0-9]){0,254}$`, "is letters, digits and single dashes, and begins with a letter"),
	"aws:rds/instance:Instance.dbName":                                      shape(`^[A-Za-z][A-Za-z0-9_]{0,62}$`, "begins with a letter, then letters, digits and underscores"),
	"aws:rds/instance:Instance.password":                                    shape(`^[!#-.0-?A-~]{8,128}$`, `is 8 to 128 printable characters other than /, ", @ and blanks`),
	"aws:elasticache/replicationGroup:ReplicationGroup.replicationGroupId":  shape(`^[a-z](-?[a-z0-9]){0,39}$`, "is 1 to 40 lower case letters, digits and single dashes"),
	"aws:elasticache/replicationGroup:ReplicationGroup.authToken":           shape(`^[A-Za-z0-9!&#$^<>-]{16,128}$`, "is 16 to 128 letters, digits and !&#$^<>-"),
	"aws:s3/bucketV2:BucketV2.bucket":                                       shape(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`, "is 3 to 63 lower case letters, digits, dots and dashes"),
	"aws:iam/role:Role.name":                                                shape(`^[\w+=,.@-]{1,64}$`, "is 1 to 64 letters, digits and +=,.@-_"),
	"aws:iam/rolePolicy:RolePolicy.name":                                    shape(`^[\w+=,.@-]{1,128}$`, "is 1 to 128 letters, digits and +=,.@-_"),
	"aws:iam/instanceProfile:InstanceProfile.name":                          shape(`^[\w+=,.@-]{1,128}$`, "is 1 to 128 letters, digits and +=,.@-_"),
	"aws:ec2/securityGroup:SecurityGroup.name":                              shape(`^[a-zA-Z0-9 ._:/()#,@\[\]+=&;{}!$*-]{1,255}$`, "is 1 to 255 of the characters that EC2 takes"),
	"aws:ec2/securityGroup:SecurityGroup.description":                       shape(`^[a-zA-Z0-9 ._:/()#,@\[\]+=&;{}!$*-]{1,255}$`, "is 1 to 255 of the characters that EC2 takes"),
	"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule.description": shape(`^[a-zA-Z0-9 ._:/()#,@\[\]+=&;{}!$*-]{1,255}$`, "is 1 to 255 of the characters that EC2 takes"),
	"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule.description":   shape(`^[a-zA-Z0-9 ._:/()#,@\[\]+=&;{}!$*-]{1,255}$`, "is 1 to 255 of the characters that EC2 takes"),
	"aws:ecr/repository:Repository.name":                                    shape(`^[a-z0-9]+([._/-][a-z0-9]+)*$`, "is lower case words joined by . _ - or /"),
	"aws:ecs/service:Service.name":                                          shape(`^[A-Za-z0-9_-]{1,255}$`, "is 1 to 255 letters, digits, dashes and underscores"),
	"aws:ecs/cluster:Cluster.name":                                          shape(`^[A-Za-z0-9_-]{1,255}$`, "is 1 to 255 letters, digits, dashes and underscores"),
	"aws:ecs/taskDefinition:TaskDefinition.family":                          shape(`^[A-Za-z0-9_-]{1,255}$`, "is 1 to 255 letters, digits, dashes and underscores"),
	"aws:kms/alias:Alias.name":                                              shape(`^alias/[a-zA-Z0-9/_-]{1,250}$`, "begins with alias/"),
	"aws:ec2/instance:Instance.ami":                                         shape(`^ami-[0-9a-f]{8,17}$`, "is the id of an image"),
	"aws:cloudwatch/logGroup:LogGroup.name":                                 shape(`^[.\-_/#A-Za-z0-9]{1,512}$`, "is 1 to 512 letters, digits and .-_/#"),
	"aws:wafv2/webAcl:WebAcl.name":                                          shape(`^[\w-]{1,128}$`, "is 1 to 128 letters, digits, dashes and underscores"),
	"aws:secretsmanager/secret:Secret.name":                                 shape(`^[A-Za-z0-9/_+=.@-]{1,512}$`, "is 1 to 512 letters, digits and /_+=.@-"),
	"aws:servicediscovery/httpNamespace:HttpNamespace.name":                 shape(`^[!-~]{1,1000}$`, "is 1 to 1000 printable characters"),
	"aws:sns/topic:Topic.name":                                              shape(`^[A-Za-z0-9_-]{1,256}$`, "is 1 to 256 letters, digits, dashes and underscores"),
}

// bounds are those of numbers, by input.
var bounds = map[string][2]float64{"port": {1, 65535}, "fromPort": {-1, 65535}, "toPort": {-1, 65535}, "priority": {1, 50000}, "weight": {0, 999},
	"backupRetentionPeriod": {0, 35}, "deletionWindowInDays": {7, 30}, "deregistrationDelay": {0, 3600}}

// Check implements rehearsal.Model.
func (m *model) Check(r engine.Request) []engine.Failure {
	var fs []engine.Failure
	bad := func(k, says string) { fs = append(fs, engine.Failure{Property: k, Reason: says}) }
	for k, v := range r.Inputs {
		name, s := string(k), text(v)
		if f, ok := forms[r.Type+"."+name]; ok && v.IsString() && !f.is().MatchString(s) {
			if name == "password" || name == "authToken" {
				s = "it"
			}
			bad(name, fmt.Sprintf("%s %s", s, f.says))
		}
		if b, ok := bounds[name]; ok && v.IsNumber() && (v.NumberValue() < b[0] || v.NumberValue() > b[1]) {
			bad(name, fmt.Sprintf("%s is not from %g to %g", s, b[0], b[1]))
		}
		if strings.HasSuffix(name, "Arn") && v.IsString() && !strings.HasPrefix(s, "arn:aws:") {
			bad(name, s+" is no ARN")
		}
		if (name == "cidrBlock" || name == "cidrIpv4" || name == "destinationCidrBlock") && v.IsString() {
			if p, err := netip.ParsePrefix(s); err != nil || p != p.Masked() {
				bad(name, s+" is no network")
			}
		}
	}
	return append(fs, m.checkPairs(r)...)
}

// fargate are the memory sizes that go with each number of CPU units (Amazon ECS
// documentation, "task CPU and memory"), from and to, in MiB.
var fargate = map[string][2]float64{"256": {512, 2048}, "512": {1024, 4096}, "1024": {2048, 8192}, "2048": {4096, 16384}, "4096": {8192, 30720}}

// checkPairs looks at inputs that go together.
func (m *model) checkPairs(r engine.Request) []engine.Failure {
	switch r.Type {
	case "aws:ecs/taskDefinition:TaskDefinition":
		sizes, ok := fargate[text(r.Inputs["cpu"])]
		var memory float64
		_, _ = fmt.Sscan(text(r.Inputs["memory"]), &memory) // what is no number fits nowhere
		if !ok || memory < sizes[0] || memory > sizes[1] {
			return []engine.Failure{{Property: "memory", Reason: fmt.Sprintf("Fargate has no size of %s CPU units and %s MiB", text(r.Inputs["cpu"]), text(r.Inputs["memory"]))}}
		}
	case "aws:rds/instance:Instance":
		if _, replica := r.Inputs["replicateSourceDb"]; replica {
			for _, k := range []resource.PropertyKey{"engine", "username", "password", "dbName"} {
				if _, said := r.Inputs[k]; said {
					return []engine.Failure{{Property: string(k), Reason: "a replica has its leader's"}}
				}
			}
		}
	}
	return nil
}

// refuseCIDR refuses networks that lie outside of theirs or overlap.
func (m *model) refuseCIDR(r engine.Request, w *rehearsal.World) error {
	switch r.Type {
	case "aws:ec2/subnet:Subnet":
		vpc := w.ByID(text(r.Inputs["vpcId"]))
		mine, err := netip.ParsePrefix(text(r.Inputs["cidrBlock"]))
		if vpc == nil || err != nil {
			return err
		}
		all, err := netip.ParsePrefix(text(vpc.Inputs["cidrBlock"]))
		if err != nil || !all.Contains(mine.Addr()) || mine.Bits() < all.Bits() {
			return refusal(r, "InvalidSubnet.Range", fmt.Sprintf("%s lies outside of %s", mine, all))
		}
		for _, other := range w.Users(vpc) {
			if p, err := netip.ParsePrefix(text(other.Inputs["cidrBlock"])); err == nil && other.Type == r.Type && other.Name != r.Name && p.Overlaps(mine) {
				return refusal(r, "InvalidSubnet.Conflict", fmt.Sprintf("%s overlaps with %s of %s", mine, p, other.Name))
			}
		}
	case "aws:ec2/vpcPeeringConnection:VpcPeeringConnection":
		a, b := w.ByID(text(r.Inputs["vpcId"])), w.ByID(text(r.Inputs["peerVpcId"]))
		if a == nil || b == nil {
			return nil
		}
		p, err := netip.ParsePrefix(text(a.Inputs["cidrBlock"]))
		q, err2 := netip.ParsePrefix(text(b.Inputs["cidrBlock"]))
		if err == nil && err2 == nil && p.Overlaps(q) {
			return refusal(r, "InvalidVpcPeeringConnection", fmt.Sprintf("the networks %s and %s overlap", p, q))
		}
	}
	return nil
}
