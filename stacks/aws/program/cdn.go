package program

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudfront"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// edge is a CDN.
type edge struct{ distribution *cloudfront.Distribution }

// Policies that AWS keeps (CloudFront documentation, "managed cache policies" and
// "managed origin request policies").
const (
	cacheByHeaders = "83da9c7e-98b4-4e11-a168-04f0df8e2c65" // UseOriginCacheControlHeaders
	cacheFiles     = "658327ea-f89d-4fab-a63d-7e88639e58f6" // CachingOptimized
	forwardAll     = "216adef6-5c7f-47e4-b989-5492eafa07d3" // AllViewer
)

// origin is the name by which the CDN finds the nearest region that is well.
func (p *program) origin() string { return "origin." + p.s.Domain }

// cdn makes the distribution, what it may fetch from, and the record that leads it
// to the nearest region.
func (p *program) cdn(n topology.Node, c *node) error {
	if err := p.origins(n, c); err != nil {
		return err
	}
	g, err := p.globally()
	if err != nil {
		return err
	}
	globally := []pulumi.ResourceOption{pulumi.Parent(c), pulumi.Provider(g.provider)}
	acl, err := p.managedACL(c, n.ID, "CLOUDFRONT", globally)
	if err != nil {
		return err
	}
	headers, err := cloudfront.NewResponseHeadersPolicy(p.ctx, n.ID, &cloudfront.ResponseHeadersPolicyArgs{Name: str(p.name(n.ID, 128)),
		SecurityHeadersConfig: &cloudfront.ResponseHeadersPolicySecurityHeadersConfigArgs{
			StrictTransportSecurity: &cloudfront.ResponseHeadersPolicySecurityHeadersConfigStrictTransportSecurityArgs{AccessControlMaxAgeSec: num(31536000), Override: yes(false)},
			ContentTypeOptions:      &cloudfront.ResponseHeadersPolicySecurityHeadersConfigContentTypeOptionsArgs{Override: yes(false)}}}, globally...)
	if err != nil {
		return err
	}
	reader, err := cloudfront.NewOriginAccessControl(p.ctx, n.ID, &cloudfront.OriginAccessControlArgs{Name: str(p.name(n.ID, 64)), OriginAccessControlOriginType: str("s3"),
		SigningBehavior: str("always"), SigningProtocol: str("sigv4")}, globally...)
	if err != nil {
		return err
	}
	everything := strs{str("GET"), str("HEAD"), str("OPTIONS"), str("PUT"), str("POST"), str("PATCH"), str("DELETE")}
	reads := strs{str("GET"), str("HEAD")}
	args := &cloudfront.DistributionArgs{Enabled: yes(true), Comment: str(p.t.App + "/" + p.t.Env), Aliases: strs{str(p.s.Domain)}, HttpVersion: str("http2and3"), IsIpv6Enabled: yes(true),
		PriceClass: str("PriceClass_All"), WaitForDeployment: yes(false), WebAclId: acl.Arn,
		ViewerCertificate: &cloudfront.DistributionViewerCertificateArgs{AcmCertificateArn: p.zone.forGlobal, MinimumProtocolVersion: str("TLSv1.2_2021"), SslSupportMethod: str("sni-only")},
		Restrictions:      &cloudfront.DistributionRestrictionsArgs{GeoRestriction: &cloudfront.DistributionRestrictionsGeoRestrictionArgs{RestrictionType: str("none")}},
		LoggingConfig:     &cloudfront.DistributionLoggingConfigArgs{Bucket: c.records.BucketRegionalDomainName, Prefix: str(n.ID + "/"), IncludeCookies: yes(false)},
		Origins: cloudfront.DistributionOriginArray{cloudfront.DistributionOriginArgs{OriginId: str("regions"), DomainName: str(p.origin()),
			CustomOriginConfig: &cloudfront.DistributionOriginCustomOriginConfigArgs{HttpPort: num(80), HttpsPort: num(443), OriginProtocolPolicy: str("https-only"), OriginSslProtocols: strs{str("TLSv1.2")}, OriginReadTimeout: num(60)}}},
		DefaultCacheBehavior: &cloudfront.DistributionDefaultCacheBehaviorArgs{TargetOriginId: str("regions"), AllowedMethods: everything, CachedMethods: reads, Compress: yes(true),
			CachePolicyId: str(cacheByHeaders), OriginRequestPolicyId: str(forwardAll), ResponseHeadersPolicyId: headers.ID(), ViewerProtocolPolicy: str("redirect-to-https")},
	}
	if n.CDN.Static != "" && trim(n.CDN.Prefix) != "" {
		args.Origins = append(args.Origins.(cloudfront.DistributionOriginArray), cloudfront.DistributionOriginArgs{OriginId: str("files"), DomainName: p.filled(n),
			OriginAccessControlId: reader.ID(), OriginPath: str("/cdn")})
		args.OrderedCacheBehaviors = cloudfront.DistributionOrderedCacheBehaviorArray{cloudfront.DistributionOrderedCacheBehaviorArgs{PathPattern: str(trim(n.CDN.Prefix) + "/*"), TargetOriginId: str("files"),
			AllowedMethods: reads, CachedMethods: reads, Compress: yes(true), CachePolicyId: str(cacheFiles), ResponseHeadersPolicyId: headers.ID(), ViewerProtocolPolicy: str("redirect-to-https")}}
	}
	d, err := cloudfront.NewDistribution(p.ctx, n.ID, args, append(globally, pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: "90m"}))...)
	p.edges[n.ID] = &edge{d}
	return err
}

// filled is where the CDN finds the files of a release, once they are there.
func (p *program) filled(n topology.Node) pulumi.StringOutput {
	for _, s := range p.t.OfKind(topology.Static) {
		if s.Static.Release == n.CDN.Static {
			return pulumi.All(p.zone.releases.BucketRegionalDomainName, p.published(*s.Static)).ApplyT(func(vs []any) string { return vs[0].(string) }).(pulumi.StringOutput)
		}
	}
	return p.zone.releases.BucketRegionalDomainName
}

// origins make the record that leads the CDN to each region, with a check of its
// health, so that a dead one is left out.
func (p *program) origins(n topology.Node, c *node) error {
	for _, id := range n.CDN.Origins {
		entry, _ := p.t.Node(id)
		r := p.regions[entry.Region]
		front := p.fronts[entry.Region]
		opts := []pulumi.ResourceOption{pulumi.Parent(c), pulumi.Provider(c.provider)}
		check, err := route53.NewHealthCheck(p.ctx, "origin-"+r.code, &route53.HealthCheckArgs{Type: str("HTTPS"), Fqdn: front.lb.DnsName, Port: num(443), ResourcePath: str(p.health(entry.Region)),
			EnableSni: yes(true), RequestInterval: num(10), FailureThreshold: num(3), Tags: p.tags(p.name("origin-"+r.code, 255))}, opts...)
		if err != nil {
			return err
		}
		if _, err := route53.NewRecord(p.ctx, "origin-"+r.code, &route53.RecordArgs{ZoneId: p.zone.zone.ZoneId, Name: str(p.origin()), Type: str("A"), SetIdentifier: str(r.code), HealthCheckId: check.ID(),
			LatencyRoutingPolicies: route53.RecordLatencyRoutingPolicyArray{route53.RecordLatencyRoutingPolicyArgs{Region: str(entry.Region)}},
			Aliases:                route53.RecordAliasArray{route53.RecordAliasArgs{Name: front.lb.DnsName, ZoneId: front.lb.ZoneId, EvaluateTargetHealth: yes(true)}}}, opts...); err != nil {
			return err
		}
	}
	return nil
}

// health is a path that a region answers when it is well.
func (p *program) health(region string) string {
	for _, n := range p.t.OfKind(topology.Backend) {
		if n.Region == region {
			return n.Backend.Health
		}
	}
	return "/"
}

// cdnReads is leave for this account's distributions to read the files of releases.
func (p *program) cdnReads(b *s3.BucketV2) []statement {
	if len(p.t.OfKind(topology.CDN)) == 0 {
		return nil
	}
	return []statement{{"Sid": "CDN", "Effect": "Allow", "Principal": map[string]any{"Service": "cloudfront.amazonaws.com"}, "Action": "s3:GetObject", "Resource": pulumi.Sprintf("%s/cdn/*", b.Arn),
		"Condition": map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": p.s.Account}}}}
}
