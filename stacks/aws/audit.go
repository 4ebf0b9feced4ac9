package aws

import (
	"context"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	tagging "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"

	"github.com/scale-levels/scale/internal/plan"
)

// Audit is what carries an environment's tags in its regions and in the one of what is
// global. What has just been deleted may be among it for some minutes.
func (a *AWS) Audit(ctx context.Context, app, env string, regions []string) ([]plan.Component, error) {
	var left []plan.Component
	if !slices.Contains(regions, homeOfSTS) {
		regions = append(slices.Clone(regions), homeOfSTS)
	}
	for _, region := range regions {
		arns, err := a.verbs.Tagged(ctx, region, app, env)
		if err != nil {
			return left, err
		}
		for _, arn := range arns {
			left = append(left, plan.Component{Name: arn, Kind: service(arn), State: "left", Address: region})
		}
	}
	return left, nil
}

// service is that of an ARN: arn:aws:rds:us-east-1:123456789012:db:shop is rds.
func service(arn string) string {
	parts := strings.SplitN(arn, ":", 4)
	if len(parts) < 4 {
		return ""
	}
	return parts[2]
}

// Tagged implements Verbs.
func (a *account) Tagged(ctx context.Context, region, app, env string) (arns []string, err error) {
	c, err := a.load(ctx, region)
	if err != nil {
		return nil, err
	}
	tag := func(k, v string) types.TagFilter { return types.TagFilter{Key: sdk.String(k), Values: []string{v}} }
	pages := tagging.NewGetResourcesPaginator(tagging.NewFromConfig(c), &tagging.GetResourcesInput{TagFilters: []types.TagFilter{tag("scale:app", app), tag("scale:env", env)}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explain(err, "tag:GetResources in "+region)
		}
		for _, r := range page.ResourceTagMappingList {
			arns = append(arns, sdk.ToString(r.ResourceARN))
		}
	}
	slices.Sort(arns)
	return arns, nil
}

// Tagged is what stands and has an ARN, as only such things carry tags, and snapshots.
func (r *rehearsed) Tagged(_ context.Context, region, _, _ string) (arns []string, err error) {
	for _, t := range r.cloud.Things() {
		arn := text(t.Out["arn"])
		switch in, _, _ := strings.Cut(t.ID, "/"); {
		case t.Type == snapshotType && in == region:
			arns = append(arns, "arn:aws:rds:"+region+":"+r.account+":snapshot:"+t.Name)
		case arn != "" && t.Type != snapshotType && text(t.Config["region"]) == region:
			arns = append(arns, arn)
		}
	}
	slices.Sort(arns)
	return arns, nil
}
