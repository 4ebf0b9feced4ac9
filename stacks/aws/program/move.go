package program

import (
	_ "embed"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecs"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/secretsmanager"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// MoveScript brings tables from one database to another, as a task.
//
//go:embed move.sh
var MoveScript string

// moveImage has what the script needs: bash, psql and pg_dump, no older than the databases.
const moveImage = "public.ecr.aws/docker/library/postgres:" + DatabaseVersion

// move makes what a service's tables need on their way to another database: a task
// definition, and a way from the one to the other. What the task does is a verb.
func (p *program) move(n topology.Node, c *node) error {
	from, to := p.stores[n.Move.From], p.stores[n.Move.To]
	id, say := to.n.ID+"-to-"+from.n.ID, "the tables of "+n.Move.Service
	in := &vpc.SecurityGroupIngressRuleArgs{SecurityGroupId: from.group.ID(), Description: str(say), IpProtocol: str("tcp"), FromPort: num(databasePort), ToPort: num(databasePort)}
	out := &vpc.SecurityGroupEgressRuleArgs{SecurityGroupId: to.group.ID(), Description: str(say), IpProtocol: str("tcp"), FromPort: num(databasePort), ToPort: num(databasePort)}
	if from.n.Region == to.n.Region {
		in.ReferencedSecurityGroupId, out.ReferencedSecurityGroupId = to.group.ID(), from.group.ID()
	} else {
		in.CidrIpv4, out.CidrIpv4 = str(p.cidr(to.n.Region, -1, 0)), str(p.cidr(from.n.Region, -1, 0))
	}
	if _, err := vpc.NewSecurityGroupIngressRule(p.ctx, id, in, pulumi.Parent(c), pulumi.Provider(from.c.provider)); err != nil {
		return err
	}
	if _, err := vpc.NewSecurityGroupEgressRule(p.ctx, id, out, c.in()...); err != nil {
		return err
	}
	logs, err := p.logGroup(c, n.ID)
	if err != nil {
		return err
	}
	secret, err := secretsmanager.NewSecret(p.ctx, n.ID, &secretsmanager.SecretArgs{Name: str(p.path(n.ID)[1:]), Description: str(say + ": what they move with"),
		KmsKeyId: c.key.Arn, RecoveryWindowInDays: num(0)}, c.in()...)
	if err != nil {
		return err
	}
	version, err := secretsmanager.NewSecretVersion(p.ctx, n.ID, &secretsmanager.SecretVersionArgs{SecretId: secret.ID(),
		SecretString: pulumi.ToSecret(pulumi.JSONMarshal(map[string]any{"from": p.password(from.n.ID), "to": p.password(to.n.ID)})).(pulumi.StringOutput)}, c.in()...)
	if err != nil {
		return err
	}
	execution, err := p.role(c, n.ID+"-start", "ecs-tasks.amazonaws.com", p.mayLog(logs.Arn),
		statement{"Effect": "Allow", "Action": []string{"secretsmanager:GetSecretValue"}, "Resource": secret.Arn},
		statement{"Effect": "Allow", "Action": []string{"kms:Decrypt"}, "Resource": c.key.Arn})
	if err != nil {
		return err
	}
	key := "scale_" + strings.ReplaceAll(n.Move.Service, "-", "_")
	task, err := ecs.NewTaskDefinition(p.ctx, n.ID, &ecs.TaskDefinitionArgs{Family: str(p.name(n.ID, 255)), Cpu: str("512"), Memory: str("1024"), NetworkMode: str("awsvpc"),
		RequiresCompatibilities: strs{str("FARGATE")}, ExecutionRoleArn: execution.Arn,
		RuntimePlatform: &ecs.TaskDefinitionRuntimePlatformArgs{CpuArchitecture: str("X86_64"), OperatingSystemFamily: str("LINUX")},
		ContainerDefinitions: pulumi.JSONMarshal([]any{map[string]any{
			"name": "move", "image": moveImage, "essential": true, "entryPoint": []string{"bash", "-c", MoveScript, "move"}, "command": []string{"copy"}, "user": "postgres", "stopTimeout": 120,
			"environment": pairs(map[string]any{"KEY": key, "TABLES": strings.Join(n.Move.Tables, ","), "DATABASE": DatabaseName, "FROM_USER": DatabaseUser, "TO_USER": DatabaseUser,
				"FROM_HOST": from.from.Address, "TO_HOST": to.from.Address, "FROM_PORT": strconv.Itoa(databasePort), "TO_PORT": strconv.Itoa(databasePort)}),
			"secrets": []any{
				map[string]any{"name": "FROM_PASSWORD", "valueFrom": pulumi.Sprintf("%s:from::", secret.Arn)},
				map[string]any{"name": "TO_PASSWORD", "valueFrom": pulumi.Sprintf("%s:to::", secret.Arn)}},
			"logConfiguration": logging(logs.Name, n.Region)}})}, c.in(pulumi.DependsOn([]pulumi.Resource{version}))...)
	if err != nil {
		return err
	}
	if p.ctx.DryRun() || p.s.Verbs.Move == nil {
		return nil
	}
	// The traffic goes where the tables are, once they are there.
	p.moved = append(p.moved, p.after(c, task, func(t Task) error {
		t.Container, t.Command = "move", []string{"copy"}
		if n.Move.Switched {
			t.Command = []string{"switch"}
		}
		return p.s.Verbs.Move(t, *n.Move)
	}))
	return nil
}

// afterMoves is an ARN that is known once tables are where they are to be.
func (p *program) afterMoves(arn pulumi.StringOutput) pulumi.StringOutput {
	if len(p.moved) == 0 {
		return arn
	}
	return pulumi.All(append([]any{arn}, p.moved...)...).ApplyT(func(vs []any) string { return vs[0].(string) }).(pulumi.StringOutput)
}
