package program

import (
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/acm"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecr"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// zone is what the whole application has once, whatever stands: its name and
// certificates, the files of its releases, its images.
type zone struct {
	*node
	zone      *route53.Zone
	releases  *s3.BucketV2
	proof     *route53.Record
	forGlobal pulumi.StringOutput // the certificate that CloudFront takes
}

// foundation makes the zone, its certificates, and what joins the regions.
func (p *program) foundation() error {
	c, err := p.component("scale:aws:application", p.t.App, p.t.Home())
	if err != nil {
		return err
	}
	z := &zone{node: c}
	p.zone = z
	if z.zone, err = route53.NewZone(p.ctx, p.t.App, &route53.ZoneArgs{Name: str(p.s.Domain), Comment: str(p.t.App + "/" + p.t.Env)}, c.in(pulumi.Protect(p.t.Level > 0 && !p.t.Undone))...); err != nil {
		return err
	}
	if z.releases, err = p.bucket(c, releases(p.t.Home()), bucketOptions{forceDestroy: true, keyed: true, after: p.cdnReads}); err != nil {
		return err
	}
	if err := p.images(c); err != nil {
		return err
	}
	for _, r := range p.t.Regions {
		in, err := p.certificate(c, p.regions[r.Name])
		if err != nil {
			return err
		}
		p.regions[r.Name].certificate = in
	}
	if len(p.t.OfKind(topology.CDN)) > 0 {
		if err := p.forCloudFront(c); err != nil {
			return err
		}
	}
	return p.peerings()
}

// certificate is one for the name and the names below it, proved by a record that
// is the same for every region's.
func (p *program) certificate(c *node, r *region) (pulumi.StringOutput, error) {
	opts := []pulumi.ResourceOption{pulumi.Parent(c), pulumi.Provider(r.provider)}
	cert, err := acm.NewCertificate(p.ctx, "cert-"+r.code, &acm.CertificateArgs{DomainName: str(p.s.Domain), SubjectAlternativeNames: strs{str("*." + p.s.Domain)},
		ValidationMethod: str("DNS"), Tags: p.tags(p.name("cert-"+r.code, 255))}, opts...)
	if err != nil {
		return pulumi.StringOutput{}, err
	}
	if p.zone.proof == nil {
		o := cert.DomainValidationOptions.ApplyT(func(options []acm.CertificateDomainValidationOption) acm.CertificateDomainValidationOption {
			if len(options) == 0 { // of a certificate that the update leaves alone or could not make
				return acm.CertificateDomainValidationOption{}
			}
			return options[0]
		}).(acm.CertificateDomainValidationOptionOutput)
		if p.zone.proof, err = route53.NewRecord(p.ctx, "proof", &route53.RecordArgs{ZoneId: p.zone.zone.ZoneId, Name: o.ResourceRecordName().Elem(), Type: o.ResourceRecordType().Elem(),
			Ttl: num(300), Records: strs{o.ResourceRecordValue().Elem()}}, c.in()...); err != nil {
			return pulumi.StringOutput{}, err
		}
	}
	if !p.presents(r) {
		return cert.Arn, nil // issued meanwhile, once the domain is delegated
	}
	valid, err := acm.NewCertificateValidation(p.ctx, "cert-"+r.code, &acm.CertificateValidationArgs{CertificateArn: cert.Arn, ValidationRecordFqdns: strs{p.zone.proof.Fqdn}}, opts...)
	if err != nil {
		return pulumi.StringOutput{}, err
	}
	return valid.CertificateArn, nil
}

// presents reports whether something answers with a region's certificate: from then on
// it must have been issued.
func (p *program) presents(r *region) bool {
	if r.name == global && len(p.t.OfKind(topology.CDN)) > 0 {
		return true
	}
	return slices.ContainsFunc(p.t.OfKind(topology.LoadBalancer), func(n topology.Node) bool { return n.Region == r.name })
}

// forCloudFront is the certificate in the region where CloudFront looks for it.
func (p *program) forCloudFront(c *node) (err error) {
	if r, ok := p.regions[global]; ok && r.certificate.OutputState != nil {
		p.zone.forGlobal = r.certificate
		return nil
	}
	r, err := p.globally()
	if err != nil {
		return err
	}
	p.zone.forGlobal, err = p.certificate(c, r)
	return err
}

// globally is the region of what is global, of which the application may stand in
// none of its own.
func (p *program) globally() (*region, error) {
	if r, ok := p.regions[global]; ok {
		return r, nil
	}
	provider, err := p.provider(global, "global")
	if err != nil {
		return nil, err
	}
	r := &region{name: global, code: "global", provider: provider}
	p.regions[global] = r
	return r, nil
}

// images make a repository for each service's images. It goes with the environment's
// data, not before: what is down comes back by its images.
func (p *program) images(c *node) error {
	for _, name := range p.s.Repositories {
		id := "images-" + name
		repo, err := ecr.NewRepository(p.ctx, id, &ecr.RepositoryArgs{Name: str(p.name(name, 256)), ImageTagMutability: str("IMMUTABLE"), ForceDelete: yes(true),
			ImageScanningConfiguration: &ecr.RepositoryImageScanningConfigurationArgs{ScanOnPush: yes(true)},
			EncryptionConfigurations:   ecr.RepositoryEncryptionConfigurationArray{ecr.RepositoryEncryptionConfigurationArgs{EncryptionType: str("KMS"), KmsKey: c.key.Arn}}}, c.in()...)
		if err != nil {
			return err
		}
		if _, err := ecr.NewLifecyclePolicy(p.ctx, id, &ecr.LifecyclePolicyArgs{Repository: repo.Name, Policy: pulumi.JSONMarshal(map[string]any{"rules": []any{map[string]any{
			"rulePriority": 1, "description": "the last 50", "selection": map[string]any{"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 50},
			"action": map[string]any{"type": "expire"}}}})}, c.in()...); err != nil {
			return err
		}
	}
	return nil
}
