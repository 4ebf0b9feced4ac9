package aws_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/stacks/rehearsal"
)

// exceptions are the controls that do not hold everywhere, with where and why.
var exceptions = map[string]string{
	"AVD-AWS-0104": "tasks and the node reach the internet by 443: images, certificates and other companies' services have no fixed addresses",
	"AVD-AWS-0053": "load balancers are public: that is what the level is; the CDN finds them by their name",
	"AVD-AWS-0132": "buckets of access logs are encrypted with S3's own key: load balancers cannot write to a bucket with a key of ours",
	"AVD-AWS-0107": "80 and 443 of load balancers and of the single node are open to the world: 80 only redirects",
}

// control is one of AWS Foundational Security Best Practices, with the scanner's id
// where one looks for the same.
type control struct {
	id, says string
	typ      string // of the resources that it is about
	holds    func(w *account, r *rehearsal.Thing) bool
}

// account is what the engine sent, by type.
type account struct{ of map[string][]*rehearsal.Thing }

func in(r *rehearsal.Thing, path string) resource.PropertyValue {
	p, err := resource.ParsePropertyPath(path)
	if err != nil {
		panic(err)
	}
	v, _ := p.Get(resource.NewObjectProperty(r.Inputs))
	return v
}

func is(path string, want any) func(*account, *rehearsal.Thing) bool {
	return func(_ *account, r *rehearsal.Thing) bool {
		return in(r, path).DeepEquals(resource.NewPropertyValue(want))
	}
}

func set(path string) func(*account, *rehearsal.Thing) bool {
	return func(_ *account, r *rehearsal.Thing) bool { v := in(r, path); return !v.IsNull() && v.String() != "" }
}

// beside holds when a resource of a type stands for the same bucket.
func beside(typ string, more func(*account, *rehearsal.Thing) bool) func(*account, *rehearsal.Thing) bool {
	return func(w *account, r *rehearsal.Thing) bool {
		for _, o := range w.of[typ] {
			if in(o, "bucket").DeepEquals(resource.NewStringProperty(r.ID)) {
				return more(w, o)
			}
		}
		return false
	}
}

func all(fs ...func(*account, *rehearsal.Thing) bool) func(*account, *rehearsal.Thing) bool {
	return func(w *account, r *rehearsal.Thing) bool {
		for _, f := range fs {
			if !f(w, r) {
				return false
			}
		}
		return true
	}
}

const (
	bucketType = "aws:s3/bucketV2:BucketV2"
	dbType     = "aws:rds/instance:Instance"
	cacheType  = "aws:elasticache/replicationGroup:ReplicationGroup"
	lbType     = "aws:lb/loadBalancer:LoadBalancer"
	inRule     = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
	outRule    = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
	cdnType    = "aws:cloudfront/distribution:Distribution"
	vmType     = "aws:ec2/instance:Instance"
)

var controls = []control{
	{"EC2.2", "the default security group lets nothing through", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", func(_ *account, r *rehearsal.Thing) bool {
		return in(r, "ingress").IsNull() && in(r, "egress").IsNull()
	}},
	{"EC2.6", "each network keeps flow logs", "aws:ec2/vpc:Vpc", func(w *account, r *rehearsal.Thing) bool {
		for _, f := range w.of["aws:ec2/flowLog:FlowLog"] {
			if in(f, "vpcId").DeepEquals(resource.NewStringProperty(r.ID)) && in(f, "trafficType").StringValue() == "ALL" {
				return true
			}
		}
		return false
	}},
	{"AVD-AWS-0164", "subnets give no public addresses at launch (EC2.15)", "aws:ec2/subnet:Subnet", is("mapPublicIpOnLaunch", false)},
	{"AVD-AWS-0131", "disks are encrypted (EC2.3)", vmType, all(is("rootBlockDevice.encrypted", true), is("rootBlockDevice.volumeType", "gp3"), set("rootBlockDevice.kmsKeyId"))},
	{"AVD-AWS-0028", "instance metadata asks for a token (EC2.8)", vmType, all(is("metadataOptions.httpTokens", "required"), is("metadataOptions.httpPutResponseHopLimit", 1.0))},
	{"EC2.SSH", "no key opens a shell", vmType, func(_ *account, r *rehearsal.Thing) bool { return in(r, "keyName").IsNull() }},
	{"AVD-AWS-0107", "nothing but 80 and 443 is open to the world", inRule, func(_ *account, r *rehearsal.Thing) bool {
		if v := in(r, "cidrIpv4"); !v.IsString() || !strings.HasSuffix(v.StringValue(), "/0") {
			return true
		}
		from, to := in(r, "fromPort").NumberValue(), in(r, "toPort").NumberValue()
		return from == to && (from == 80 || from == 443)
	}},
	{"AVD-AWS-0104", "what goes out to the world goes by 443", outRule, func(_ *account, r *rehearsal.Thing) bool {
		v := in(r, "cidrIpv4")
		return !v.IsString() || !strings.HasSuffix(v.StringValue(), "/0") || in(r, "toPort").NumberValue() == 443
	}},
	{"AVD-AWS-0124", "each rule of a security group says why", inRule, set("description")},
	{"AVD-AWS-0124", "each rule of a security group says why", outRule, set("description")},
	{"AVD-AWS-0180", "databases are private (RDS.2)", dbType, is("publiclyAccessible", false)},
	{"AVD-AWS-0080", "databases are encrypted with a key of ours (RDS.3)", dbType, all(is("storageEncrypted", true), set("kmsKeyId"))},
	{"AVD-AWS-0177", "leaders are protected against being deleted (RDS.8)", dbType, func(w *account, r *rehearsal.Thing) bool {
		return !in(r, "replicateSourceDb").IsNull() || is("deletionProtection", true)(w, r) && is("skipFinalSnapshot", false)(w, r) && set("finalSnapshotIdentifier")(w, r)
	}},
	{"AVD-AWS-0077", "leaders keep backups (RDS.11)", dbType, func(_ *account, r *rehearsal.Thing) bool {
		return !in(r, "replicateSourceDb").IsNull() || in(r, "backupRetentionPeriod").NumberValue() >= 7
	}},
	{"RDS.TLS", "databases take TLS only", "aws:rds/parameterGroup:ParameterGroup", func(_ *account, r *rehearsal.Thing) bool {
		b, _ := json.Marshal(in(r, "parameters").V)
		return strings.Contains(string(b), "rds.force_ssl")
	}},
	{"RDS.1", "no password is kept by Secrets Manager's own rotation, which replicas do not take", dbType, func(_ *account, r *rehearsal.Thing) bool { return in(r, "manageMasterUserPassword").IsNull() }},
	{"AVD-AWS-0053", "load balancers are public, and meant to be (see exceptions)", lbType, is("internal", false)},
	{"AVD-AWS-0052", "load balancers drop what is no header (ELB.4)", lbType, all(is("dropInvalidHeaderFields", true), is("desyncMitigationMode", "defensive"))},
	{"ELB.5", "load balancers keep access logs", lbType, all(is("accessLogs.enabled", true), set("accessLogs.bucket"))},
	{"ELB.6", "load balancers are protected against being deleted", lbType, is("enableDeletionProtection", true)},
	{"AVD-AWS-0054", "80 only redirects, 443 speaks TLS 1.2 and 1.3 (ELB.1)", "aws:lb/listener:Listener", func(w *account, r *rehearsal.Thing) bool {
		if in(r, "port").NumberValue() == 80 {
			return is("defaultActions[0].type", "redirect")(w, r)
		}
		return is("protocol", "HTTPS")(w, r) && strings.HasPrefix(in(r, "sslPolicy").StringValue(), "ELBSecurityPolicy-TLS13") && set("certificateArn")(w, r)
	}},
	{"WAF", "each load balancer stands behind a web ACL", lbType, func(w *account, r *rehearsal.Thing) bool {
		for _, a := range w.of["aws:wafv2/webAclAssociation:WebAclAssociation"] {
			if in(a, "resourceArn").DeepEquals(resource.NewStringProperty(r.ID)) {
				return true
			}
		}
		return false
	}},
	{"AVD-AWS-0045", "caches are encrypted at rest", cacheType, all(is("atRestEncryptionEnabled", true), set("kmsKeyId"))},
	{"AVD-AWS-0051", "caches are encrypted on the way, and ask for a password", cacheType, all(is("transitEncryptionEnabled", true), set("authToken"))},
	{"AVD-AWS-0050", "caches keep a snapshot", cacheType, func(_ *account, r *rehearsal.Thing) bool { return in(r, "snapshotRetentionLimit").NumberValue() >= 1 }},
	{"AVD-AWS-0010", "the CDN keeps logs", cdnType, set("loggingConfig.bucket")},
	{"AVD-AWS-0011", "the CDN stands behind a web ACL", cdnType, set("webAclId")},
	{"AVD-AWS-0012", "the CDN redirects to HTTPS", cdnType, is("defaultCacheBehavior.viewerProtocolPolicy", "redirect-to-https")},
	{"AVD-AWS-0013", "the CDN speaks TLS 1.2 or newer", cdnType, is("viewerCertificate.minimumProtocolVersion", "TLSv1.2_2021")},
	{"S3.1", "buckets are closed to the public (0086, 0087, 0091, 0093)", bucketType, beside("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
		all(is("blockPublicAcls", true), is("blockPublicPolicy", true), is("ignorePublicAcls", true), is("restrictPublicBuckets", true)))},
	{"S3.5", "buckets take TLS only", bucketType, beside("aws:s3/bucketPolicy:BucketPolicy", func(_ *account, r *rehearsal.Thing) bool {
		return strings.Contains(in(r, "policy").StringValue(), `"aws:SecureTransport":"false"`)
	})},
	{"AVD-AWS-0090", "buckets keep versions", bucketType, beside("aws:s3/bucketVersioningV2:BucketVersioningV2", is("versioningConfiguration.status", "Enabled"))},
	{"AVD-AWS-0132", "buckets are encrypted with a key of ours, but those of access logs (see exceptions)", bucketType,
		beside("aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", func(w *account, r *rehearsal.Thing) bool {
			by := in(r, "rules[0].applyServerSideEncryptionByDefault.sseAlgorithm").StringValue()
			return by == "aws:kms" || strings.HasPrefix(r.Name, "logs-") && by == "AES256"
		})},
	{"AVD-AWS-0035", "tasks have no public address", "aws:ecs/service:Service", is("networkConfiguration.assignPublicIp", false)},
	{"ECS.12", "clusters tell how containers fare", "aws:ecs/cluster:Cluster", is("settings[0].value", "enabled")},
	{"AVD-AWS-0036", "no secret stands in the open in a task's environment", "aws:ecs/taskDefinition:TaskDefinition", func(_ *account, r *rehearsal.Thing) bool {
		var cs []struct {
			Environment []struct{ Name, Value string }
		}
		if err := json.Unmarshal([]byte(in(r, "containerDefinitions").StringValue()), &cs); err != nil {
			return false
		}
		for _, c := range cs {
			for _, e := range c.Environment {
				for _, word := range []string{"PASSWORD", "SECRET", "TOKEN", "DATABASE_URL", "CACHE_URL", "SESSION_URL"} {
					if strings.Contains(e.Name, word) || strings.Contains(e.Value, "://:") {
						return false
					}
				}
			}
		}
		return true
	}},
	{"AVD-AWS-0030", "images are scanned, and their tags stay what they were (0031)", "aws:ecr/repository:Repository",
		all(is("imageScanningConfiguration.scanOnPush", true), is("imageTagMutability", "IMMUTABLE"), is("encryptionConfigurations[0].encryptionType", "KMS"))},
	{"AVD-AWS-0095", "alarms are encrypted on the way (0136)", "aws:sns/topic:Topic", set("kmsMasterKeyId")},
	{"AVD-AWS-0065", "keys are rotated", "aws:kms/key:Key", is("enableKeyRotation", true)},
	{"AVD-AWS-0017", "logs are encrypted with a key of ours, and end", "aws:cloudwatch/logGroup:LogGroup", all(set("kmsKeyId"), set("retentionInDays"))},
	{"AVD-AWS-0098", "secrets are encrypted with a key of ours", "aws:secretsmanager/secret:Secret", set("kmsKeyId")},
	{"AVD-AWS-0057", "roles may do nothing to everything", "aws:iam/rolePolicy:RolePolicy", func(_ *account, r *rehearsal.Thing) bool {
		var p struct {
			Statement []struct{ Action, Resource any }
		}
		if err := json.Unmarshal([]byte(in(r, "policy").StringValue()), &p); err != nil {
			return false
		}
		for _, s := range p.Statement {
			if fmt.Sprint(s.Resource) == "*" && !strings.HasPrefix(fmt.Sprint(s.Action), "[ecr:") || strings.Contains(fmt.Sprint(s.Action), "*") {
				return false
			}
		}
		return true
	}},
	{"Tags", "whatever the provider makes carries the application and the environment", "", func(_ *account, r *rehearsal.Thing) bool {
		b, _ := json.Marshal(r.Config.Mappable()["defaultTags"])
		return strings.Contains(string(b), "scale:app") && strings.Contains(string(b), "scale:env")
	}},
}

// Every control holds at every level, over the inputs that the engine sent.
func TestSecurityBaseline(t *testing.T) {
	for level := 1; level <= 5; level++ {
		t.Run(fmt.Sprintf("level %d", level), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2, 2)
			w.to(level)
			a := &account{map[string][]*rehearsal.Thing{}}
			for _, r := range w.cloud.Things() {
				a.of[r.Type] = append(a.of[r.Type], r)
			}
			checked := 0
			for _, c := range controls {
				about := a.of[c.typ]
				if c.typ == "" {
					about = w.cloud.Things()
				}
				for _, r := range about {
					checked++
					if !c.holds(a, r) {
						t.Errorf("%s: %s: not so for %s %s", c.id, c.says, r.Type, r.Name)
					}
				}
			}
			t.Logf("level %d: %d resources, %d checks of %d controls, %d exceptions written down", level, len(w.cloud.Things()), checked, len(controls), len(exceptions))
		})
	}
}
