package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/aws/program"
)

// account is a real one, by the credentials of the standard chain, or an emulator.
type account struct {
	profile, endpoint string
	every             time.Duration
}

// load finds credentials: environment, shared files and SSO, container, instance.
func (a *account) load(ctx context.Context, region string) (sdk.Config, error) {
	opts := []func(*config.LoadOptions) error{config.WithRegion(region), config.WithSharedConfigProfile(a.profile), config.WithLogger(logging.Nop{})}
	if a.endpoint != "" {
		opts = append(opts, config.WithBaseEndpoint(a.endpoint), config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	}
	c, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return c, explain(err, "")
	}
	return c, nil
}

// Identity implements Verbs.
func (a *account) Identity(ctx context.Context) (string, string, error) {
	c, err := a.load(ctx, homeOfSTS)
	if err != nil {
		return "", "", err
	}
	out, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", "", explain(err, "sts:GetCallerIdentity")
	}
	return sdk.ToString(out.Account), sdk.ToString(out.Arn), nil
}

// homeOfSTS is a region that every account has.
const homeOfSTS = "us-east-1"

// imageParameter is where AWS publishes its current image (Systems Manager
// documentation, "public parameters").
const imageParameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"

// Image implements Verbs.
func (a *account) Image(ctx context.Context, region string) (string, error) {
	c, err := a.load(ctx, region)
	if err != nil {
		return "", err
	}
	out, err := ssm.NewFromConfig(c).GetParameter(ctx, &ssm.GetParameterInput{Name: sdk.String(imageParameter)})
	if err != nil {
		return "", explain(err, "ssm:GetParameter in "+region)
	}
	return sdk.ToString(out.Parameter.Value), nil
}

// Healthy implements Verbs.
func (a *account) Healthy(ctx context.Context, pool topology.Node, physical string) (int, error) {
	c, err := a.load(ctx, pool.Region)
	if err != nil {
		return 0, err
	}
	client := elb.NewFromConfig(c)
	groups, err := client.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{Names: []string{physical}})
	if err != nil {
		return 0, explain(err, "elasticloadbalancing:DescribeTargetGroups")
	}
	n := 0
	for _, g := range groups.TargetGroups {
		h, err := client.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn})
		if err != nil {
			return 0, explain(err, "elasticloadbalancing:DescribeTargetHealth")
		}
		for _, t := range h.TargetHealthDescriptions {
			if t.TargetHealth != nil && t.TargetHealth.State == types.TargetHealthStateEnumHealthy {
				n++
			}
		}
	}
	return n, nil
}

// Lag implements Verbs.
func (a *account) Lag(ctx context.Context, replica topology.Node, physical string, since time.Time) (time.Duration, error) {
	c, err := a.load(ctx, replica.Region)
	if err != nil {
		return 0, err
	}
	out, err := cloudwatch.NewFromConfig(c).GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: sdk.String("AWS/RDS"), MetricName: sdk.String("ReplicaLag"), StartTime: sdk.Time(since), EndTime: sdk.Time(time.Now().Add(lagWindow)), Period: sdk.Int32(60),
		Statistics: []cwtypes.Statistic{cwtypes.StatisticMaximum}, Dimensions: []cwtypes.Dimension{{Name: sdk.String("DBInstanceIdentifier"), Value: sdk.String(physical)}}})
	if err != nil {
		return 0, explain(err, "cloudwatch:GetMetricStatistics")
	}
	var latest time.Time
	lag := time.Duration(-1)
	for _, p := range out.Datapoints {
		if p.Timestamp != nil && p.Timestamp.After(latest) && !p.Timestamp.Before(since) && p.Maximum != nil {
			latest, lag = *p.Timestamp, time.Duration(*p.Maximum*float64(time.Second))
		}
	}
	if lag < 0 {
		return 0, fmt.Errorf("%s: its lag is not known yet", replica.ID)
	}
	return lag, nil
}

// Database implements Verbs.
func (a *account) Database(ctx context.Context, db topology.Node, physical string) (status, follows string, err error) {
	c, err := a.load(ctx, db.Region)
	if err != nil {
		return "", "", err
	}
	return describe(ctx, rds.NewFromConfig(c), physical)
}

func describe(ctx context.Context, client *rds.Client, physical string) (status, follows string, err error) {
	out, err := client.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &physical})
	if err != nil {
		return "", "", explain(err, "rds:DescribeDBInstances")
	}
	if len(out.DBInstances) != 1 {
		return "", "", fmt.Errorf("RDS knows %d databases called %s", len(out.DBInstances), physical)
	}
	db := out.DBInstances[0]
	return sdk.ToString(db.DBInstanceStatus), sdk.ToString(db.ReadReplicaSourceDBInstanceIdentifier), nil
}

// Cut implements Verbs: no connection outlives a restart.
func (a *account) Cut(ctx context.Context, db topology.Node, physical string) (time.Time, error) {
	c, err := a.load(ctx, db.Region)
	if err != nil {
		return time.Time{}, err
	}
	client := rds.NewFromConfig(c)
	before, err := lastRestart(ctx, client, physical)
	if err != nil {
		return time.Time{}, err
	}
	if _, err := client.RebootDBInstance(ctx, &rds.RebootDBInstanceInput{DBInstanceIdentifier: &physical}); err != nil {
		return time.Time{}, explain(err, "rds:RebootDBInstance")
	}
	for { // for a moment after it was asked to restart, a database still counts as available
		if at, err := lastRestart(ctx, client, physical); err != nil || at.After(before) {
			return at, err
		}
		if err := a.pause(ctx); err != nil {
			return time.Time{}, fmt.Errorf("%s was asked to restart, and RDS does not say that it has: %w", physical, err)
		}
	}
}

// lastRestart is when RDS noted one, in the last hour and by its own clock.
func lastRestart(ctx context.Context, client *rds.Client, physical string) (last time.Time, err error) {
	out, err := client.DescribeEvents(ctx, &rds.DescribeEventsInput{SourceIdentifier: &physical, SourceType: rdstypes.SourceTypeDbInstance,
		Duration: sdk.Int32(60), EventCategories: []string{"availability"}})
	if err != nil {
		return last, explain(err, "rds:DescribeEvents")
	}
	for _, e := range out.Events {
		if e.Date != nil && e.Date.After(last) && strings.Contains(strings.ToLower(sdk.ToString(e.Message)), "restarted") {
			last = *e.Date
		}
	}
	return last, nil
}

// pause waits between two looks.
func (a *account) pause(ctx context.Context) error {
	select {
	case <-time.After(a.every):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Promote implements Verbs.
func (a *account) Promote(ctx context.Context, replica topology.Node, physical string) error {
	c, err := a.load(ctx, replica.Region)
	if err != nil {
		return err
	}
	client := rds.NewFromConfig(c)
	if _, err := client.PromoteReadReplica(ctx, &rds.PromoteReadReplicaInput{DBInstanceIdentifier: &physical, BackupRetentionPeriod: sdk.Int32(program.BackupDays)}); err != nil {
		return explain(err, "rds:PromoteReadReplica")
	}
	for {
		status, follows, err := describe(ctx, client, physical)
		if err != nil {
			return err
		}
		if status == available && follows == "" {
			return nil
		}
		if err := a.pause(ctx); err != nil {
			return fmt.Errorf("the promotion of %s has not ended: RDS says %q: %w", physical, status, err)
		}
	}
}

// Snapshot implements Verbs.
func (a *account) Snapshot(ctx context.Context, db topology.Node, physical, name string) error {
	c, err := a.load(ctx, db.Region)
	if err != nil {
		return err
	}
	client := rds.NewFromConfig(c)
	id := physical + "-" + name
	_, err = client.CreateDBSnapshot(ctx, &rds.CreateDBSnapshotInput{DBInstanceIdentifier: sdk.String(physical), DBSnapshotIdentifier: sdk.String(id)})
	var exists *rdstypes.DBSnapshotAlreadyExistsFault
	if err != nil && !errors.As(err, &exists) {
		return explain(err, "rds:CreateDBSnapshot")
	}
	wait := rds.NewDBSnapshotAvailableWaiter(client)
	return explain(wait.Wait(ctx, &rds.DescribeDBSnapshotsInput{DBSnapshotIdentifier: sdk.String(id)}, time.Hour), "rds:DescribeDBSnapshots")
}

// explain words what AWS or the way there said, with what to do about it.
func explain(err error, action string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	var api smithy.APIError
	var network net.Error
	switch {
	case strings.Contains(text, "failed to get shared config profile"):
		return &Error{What: "the profile does not exist", Err: err, Hint: "'aws configure list-profiles' names those that do; --profile or AWS_PROFILE chooses one"}
	case strings.Contains(text, "token has expired"), strings.Contains(text, "InvalidGrantException"), strings.Contains(text, "refresh cached SSO token"), strings.Contains(text, "cached SSO token"):
		return &Error{What: "the SSO session has expired", Err: err, Hint: "log in again: aws sso login"}
	case strings.Contains(text, "failed to refresh cached credentials"), strings.Contains(text, "static credentials are empty"):
		return &Error{What: "there are no AWS credentials", Err: errors.New("neither the environment nor the shared files nor the machine has any"),
			Hint: "set AWS_PROFILE or --profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; '--rehearse' needs none"}
	case errors.As(err, &api):
		switch code := api.ErrorCode(); code {
		case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
			return &Error{What: "the credentials have expired", Err: err, Hint: "get new ones: aws sso login, or whatever issued them"}
		case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure":
			return &Error{What: "AWS does not know these credentials", Err: err, Hint: "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose another --profile; a region that is not enabled says the same"}
		case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation":
			return &Error{What: "these credentials may not " + action, Err: err, Hint: "give their user or role leave for " + action}
		case "OptInRequired":
			return &Error{What: "the region is not enabled in this account", Err: err, Hint: "enable it under 'AWS Regions' of the account's page, or take it out of regions in scale.yaml"}
		case "UnknownOperationException", "InvalidAction", "NotImplemented":
			return &Error{What: "what answers at the endpoint does not know " + action, Err: err, Hint: "an emulator may lack the service; its documentation tells"}
		}
		return &Error{What: "AWS refused " + action, Err: err}
	case errors.As(err, &network):
		return &Error{What: "AWS cannot be reached", Err: err, Hint: "check the network, the region's name and any proxy"}
	}
	return &Error{What: action, Err: err}
}
