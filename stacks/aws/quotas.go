package aws

import (
	"context"
	"fmt"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"github.com/scale-levels/scale/internal/plan"
)

// needs are the quotas that an environment meets first, with what a region of it needs
// at level 5 with one service, and the level from which on it does (Service Quotas
// console, "quota code").
var needs = []struct {
	service, code, name string
	needed              float64
	level               int
}{
	{"vpc", "L-F678F1CE", "networks (VPCs)", 1, 1},
	{"ec2", "L-0263D0A3", "public addresses", 1, 1},
	{"elasticloadbalancing", "L-53DA6B97", "load balancers", 1, 2},
	{"fargate", "L-3032A538", "Fargate vCPUs", 2, 2},
	{"rds", "L-7B6409FD", "database instances", 1, 1},
}

// Quota implements Verbs.
func (a *account) Quota(ctx context.Context, region, service, code string) (float64, error) {
	c, err := a.load(ctx, region)
	if err != nil {
		return 0, err
	}
	out, err := servicequotas.NewFromConfig(c).GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: &service, QuotaCode: &code})
	if err != nil {
		return 0, explain(err, "servicequotas:GetServiceQuota in "+region)
	}
	if out.Quota == nil {
		return 0, fmt.Errorf("no value for %s", code)
	}
	return sdk.ToFloat64(out.Quota.Value), nil
}

// Quota is what a new account has.
func (r *rehearsed) Quota(context.Context, string, string, string) (float64, error) { return 5, nil }

// quotas looks whether each region may have what a level needs. How much of a quota is
// used already, by others in the account, it does not know.
func (a *AWS) quotas(ctx context.Context, regions []string) (fs []plan.Finding) {
	for _, region := range regions {
		for _, n := range needs {
			f := plan.Finding{Name: "quota in " + region, Level: n.level}
			most, err := a.verbs.Quota(ctx, region, n.service, n.code)
			switch {
			case err != nil:
				return append(fs, f.Bad(err)) // whoever may not ask for one may not ask for the next
			case most < n.needed:
				f.What, f.Hint = fmt.Sprintf("%g %s, and %g are needed", most, n.name, n.needed), "ask for more under Service Quotas in "+region+" ("+n.code+")"
			default:
				f.OK, f.What = true, fmt.Sprintf("%g %s", most, n.name)
			}
			fs = append(fs, f)
		}
	}
	return fs
}
