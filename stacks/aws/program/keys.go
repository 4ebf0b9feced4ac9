package program

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// statement is one of a policy; its values may be outputs.
type statement map[string]any

// policy is the JSON of a policy document.
func policy(ss ...statement) pulumi.StringOutput {
	all := make([]any, len(ss))
	for i, s := range ss {
		all[i] = map[string]any(s)
	}
	return pulumi.JSONMarshal(map[string]any{"Version": "2012-10-17", "Statement": all})
}

// keys make the one key of a region, by which everything there is encrypted. That
// of the home region stays when the environment goes: what stays with it, snapshots
// and files, could not be read without.
func (p *program) keys(c *node) (err error) {
	r := c.region
	window := 7
	if r.name == p.t.Home() {
		window = 30 // data lies there
	}
	in := map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": p.s.Account}}
	if r.key, err = kms.NewKey(p.ctx, r.code, &kms.KeyArgs{Description: str(p.t.App + "/" + p.t.Env + " in " + r.name), EnableKeyRotation: yes(true), DeletionWindowInDays: num(window),
		Policy: policy(
			statement{"Sid": "Account", "Effect": "Allow", "Principal": map[string]any{"AWS": "arn:aws:iam::" + p.s.Account + ":root"}, "Action": "kms:*", "Resource": "*"},
			statement{"Sid": "Logs", "Effect": "Allow", "Principal": map[string]any{"Service": "logs." + r.name + ".amazonaws.com"},
				"Action": []string{"kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"}, "Resource": "*"},
			statement{"Sid": "Alarms", "Effect": "Allow", "Principal": map[string]any{"Service": "cloudwatch.amazonaws.com"},
				"Action": []string{"kms:Decrypt", "kms:GenerateDataKey*"}, "Resource": "*", "Condition": in},
			statement{"Sid": "CDN", "Effect": "Allow", "Principal": map[string]any{"Service": "cloudfront.amazonaws.com"},
				"Action": []string{"kms:Decrypt"}, "Resource": "*", "Condition": in},
		), Tags: p.tags(p.name(r.code, 255))}, c.in(pulumi.Protect(p.t.Level > 0 && r.name == p.t.Home() && !p.t.Undone), pulumi.RetainOnDelete(r.name == p.t.Home() && !p.t.Undone))...); err != nil {
		return err
	}
	_, err = kms.NewAlias(p.ctx, r.code, &kms.AliasArgs{Name: str("alias/" + p.name(r.code, 200)), TargetKeyId: r.key.KeyId}, c.in()...)
	return err
}

// alerts make the topic that alarms are told to.
func (p *program) alerts(c *node) (err error) {
	r := c.region
	r.topic, err = sns.NewTopic(p.ctx, "alarms-"+r.code, &sns.TopicArgs{Name: str(p.name("alarms-"+r.code, 256)), KmsMasterKeyId: r.key.Arn}, c.in()...)
	return err
}

// accessLogs make the region's bucket of access logs. Load balancers can only
// write to buckets that S3 encrypts with its own key.
func (p *program) accessLogs(c *node) (err error) {
	r := c.region
	if r.records, err = p.bucket(c, "logs-"+r.code, bucketOptions{kept: 90, forceDestroy: true, writers: true}); err != nil {
		return err
	}
	return nil
}

// bucketOptions say what is particular to a bucket.
type bucketOptions struct {
	kept         int  // days until its objects are deleted; 0: they are kept
	forceDestroy bool // it may be deleted with what is in it
	writers      bool // load balancers and the CDN write logs to it
	keyed        bool // encrypted with the region's key, not S3's own
	protect      bool
	keeps        bool                           // it stays when the environment goes
	after        func(*s3.BucketV2) []statement // more of its policy
}

// bucket makes a bucket that nobody outside reaches, with all that belongs to it.
func (p *program) bucket(c *node, id string, o bucketOptions) (*s3.BucketV2, error) {
	// What users put there is never deleted, and neither is what keeps others from it.
	in := func(more ...pulumi.ResourceOption) []pulumi.ResourceOption {
		return c.in(append(more, pulumi.RetainOnDelete(o.keeps && !p.t.Undone))...)
	}
	b, err := s3.NewBucketV2(p.ctx, id, &s3.BucketV2Args{Bucket: str(p.bucketName(id)), ForceDestroy: yes(o.forceDestroy)},
		in(pulumi.Protect(o.protect))...)
	if err != nil {
		return nil, err
	}
	closed, err := s3.NewBucketPublicAccessBlock(p.ctx, id, &s3.BucketPublicAccessBlockArgs{Bucket: b.ID(), BlockPublicAcls: yes(true), BlockPublicPolicy: yes(true),
		IgnorePublicAcls: yes(true), RestrictPublicBuckets: yes(true)}, in()...)
	if err != nil {
		return nil, err
	}
	owner := "BucketOwnerEnforced"
	if o.writers {
		owner = "BucketOwnerPreferred" // CloudFront's standard logs are written by ACL
	}
	if _, err := s3.NewBucketOwnershipControls(p.ctx, id, &s3.BucketOwnershipControlsArgs{Bucket: b.ID(), Rule: &s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: str(owner)}}, in()...); err != nil {
		return nil, err
	}
	if _, err := s3.NewBucketVersioningV2(p.ctx, id, &s3.BucketVersioningV2Args{Bucket: b.ID(),
		VersioningConfiguration: &s3.BucketVersioningV2VersioningConfigurationArgs{Status: str("Enabled")}}, in()...); err != nil {
		return nil, err
	}
	by := s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs{SseAlgorithm: str("AES256")}
	if o.keyed {
		by.SseAlgorithm, by.KmsMasterKeyId = str("aws:kms"), c.key.Arn
	}
	if _, err := s3.NewBucketServerSideEncryptionConfigurationV2(p.ctx, id, &s3.BucketServerSideEncryptionConfigurationV2Args{Bucket: b.ID(),
		Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{s3.BucketServerSideEncryptionConfigurationV2RuleArgs{ApplyServerSideEncryptionByDefault: by, BucketKeyEnabled: yes(o.keyed)}}}, in()...); err != nil {
		return nil, err
	}
	rule := s3.BucketLifecycleConfigurationV2RuleArgs{Id: str("old"), Status: str("Enabled"), Filter: &s3.BucketLifecycleConfigurationV2RuleFilterArgs{Prefix: str("")},
		NoncurrentVersionExpiration:    &s3.BucketLifecycleConfigurationV2RuleNoncurrentVersionExpirationArgs{NoncurrentDays: num(90)},
		AbortIncompleteMultipartUpload: &s3.BucketLifecycleConfigurationV2RuleAbortIncompleteMultipartUploadArgs{DaysAfterInitiation: num(7)}}
	if o.kept > 0 {
		rule.Expiration = &s3.BucketLifecycleConfigurationV2RuleExpirationArgs{Days: num(o.kept)}
	}
	if _, err := s3.NewBucketLifecycleConfigurationV2(p.ctx, id, &s3.BucketLifecycleConfigurationV2Args{Bucket: b.ID(), Rules: s3.BucketLifecycleConfigurationV2RuleArray{rule}}, in()...); err != nil {
		return nil, err
	}
	may := []statement{{"Sid": "OnlyTLS", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": []any{b.Arn, pulumi.Sprintf("%s/*", b.Arn)},
		"Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}}}}
	if o.after != nil {
		may = append(may, o.after(b)...)
	}
	if o.writers {
		may = append(may, statement{"Sid": "LoadBalancers", "Effect": "Allow", "Principal": map[string]any{"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
			"Action": "s3:PutObject", "Resource": pulumi.Sprintf("%s/*", b.Arn)})
	}
	_, err = s3.NewBucketPolicy(p.ctx, id, &s3.BucketPolicyArgs{Bucket: b.ID(), Policy: policy(may...)}, in(pulumi.DependsOn([]pulumi.Resource{closed}))...)
	return b, err
}
