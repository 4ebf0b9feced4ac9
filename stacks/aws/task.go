package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/scale-levels/scale/stacks/aws/program"
)

// longestTask is how long a command may run: a migration of a large table takes hours,
// and should then be one that runs beside the application.
const longestTask = time.Hour

// Run implements Verbs: a task of the release's own definition with another command, in
// the network of its service. That it has run is noted in the bucket of releases.
func (a *account) Run(ctx context.Context, t program.Task, waiting func(string)) error {
	c, err := a.load(ctx, t.Region)
	if err != nil {
		return err
	}
	store := storeOf(c)
	note := noteOf(t)
	if done, err := noted(ctx, store, t.Bucket, note); err != nil || done {
		return err
	}
	arn, err := a.task(ctx, c, t, longestTask, waiting)
	if err != nil {
		return err
	}
	return put(ctx, store, t.Bucket, note, []byte(arn))
}

func storeOf(c sdk.Config) *s3.Client {
	return s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
}

// task runs one to its end. One of it that runs already, since its answer was lost, is the one.
func (a *account) task(ctx context.Context, c sdk.Config, t program.Task, longest time.Duration, waiting func(string)) (arn string, err error) {
	client := ecs.NewFromConfig(c)
	by := token(t)
	running, err := client.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &t.Cluster, StartedBy: &by})
	if err != nil {
		return "", explain(err, "ecs:ListTasks")
	}
	if len(running.TaskArns) > 0 {
		arn = running.TaskArns[0]
	} else if arn, err = startTask(ctx, client, t, by); err != nil {
		return "", err
	}
	waiting(strings.Join(t.Command, " ") + " runs as " + arn)
	wait := ecs.NewTasksStoppedWaiter(client)
	ended, err := wait.WaitForOutput(ctx, &ecs.DescribeTasksInput{Cluster: &t.Cluster, Tasks: []string{arn}}, longest)
	if err != nil {
		return "", explain(err, "ecs:DescribeTasks")
	}
	return arn, endedWell(ended, t.Container)
}

func startTask(ctx context.Context, client *ecs.Client, t program.Task, by string) (arn string, err error) {
	in := &ecs.RunTaskInput{Cluster: &t.Cluster, TaskDefinition: &t.Definition, Count: sdk.Int32(1), LaunchType: types.LaunchTypeFargate, StartedBy: &by,
		NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: t.Subnets, SecurityGroups: []string{t.Group}, AssignPublicIp: types.AssignPublicIpDisabled}},
		Overrides:            &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: &t.Container, Command: t.Command}}}}
	if t.Once != "" {
		in.ClientToken = &by // asked for again within a day it is the same task, even when that has ended
	}
	out, err := client.RunTask(ctx, in)
	if err != nil {
		return "", explain(err, "ecs:RunTask")
	}
	if len(out.Tasks) == 0 {
		why := "no reason was given"
		if len(out.Failures) > 0 {
			why = sdk.ToString(out.Failures[0].Reason)
		}
		return "", &Error{What: "the task did not start: " + why, Hint: "the next 'scale up' tries again"}
	}
	return sdk.ToString(out.Tasks[0].TaskArn), nil
}

// exitError is how a container ended that did run.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("it ended with code %d", e.code) }

// Hints returns what to do about it.
func (e *exitError) Hints() string {
	return "its log is in CloudWatch, beside the service's, and says why; what served goes on serving"
}

// endedWell reports a container that did not exit with 0.
func endedWell(out *ecs.DescribeTasksOutput, container string) error {
	for _, task := range out.Tasks {
		for _, c := range task.Containers {
			if sdk.ToString(c.Name) != container {
				continue
			}
			if c.ExitCode != nil && *c.ExitCode == 0 {
				return nil
			}
			if c.ExitCode != nil {
				return &exitError{int(*c.ExitCode)}
			}
		}
		return &Error{What: "it did not run: " + sdk.ToString(task.StoppedReason), Hint: "what served goes on serving; the next 'scale up' tries again"}
	}
	return &Error{What: "its task is gone", Hint: "the next 'scale up' tries again"}
}

// noteOf is where it is noted that a command was run for a release.
func noteOf(t program.Task) string {
	h := sha256.Sum256([]byte(t.Once + "\x00" + strings.Join(t.Command, "\x00")))
	return "migrations/" + hex.EncodeToString(h[:16])
}

// token tells tries of one task from another's; at most 64 characters.
func token(t program.Task) string {
	h := sha256.Sum256([]byte(noteOf(t) + t.Definition))
	return hex.EncodeToString(h[:16])
}
