package program

import (
	"slices"
	"strconv"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecs"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/secretsmanager"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/servicediscovery"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// port is that of every target group and task. It can never change: a target
// group's port makes another one.
const port = 8080

// staticImage is what answers with the files of a release.
const staticImage = "public.ecr.aws/docker/library/caddy:2.10"

// syncImage fetches those files from the bucket of releases.
const syncImage = "public.ecr.aws/aws-cli/aws-cli:2.27.0"

// pool is a group of targets that a load balancer can send requests to.
type pool struct{ group *lb.TargetGroup }

// workload is what runs a service in a region, whatever its colour.
type workload struct {
	secret    *secretsmanager.Secret
	version   *secretsmanager.SecretVersion
	execution *iam.Role // starts tasks: images, logs, secrets
	task      *iam.Role // what the application itself may do
}

// onHost reports whether a node is part of a single node, as at level 1, rather
// than one that Fargate runs.
func onHost(n topology.Node) bool {
	return n.Backend != nil && n.Backend.Level == 1 || n.Static != nil && n.Static.Servers == 1
}

// runsTasks reports whether Fargate runs anything in a region.
func (p *program) runsTasks(region string) bool {
	return slices.ContainsFunc(p.t.Nodes, func(n topology.Node) bool {
		return n.Region == region && ((n.Backend != nil || n.Static != nil) && !onHost(n) || n.LoadBalancer != nil)
	})
}

// tasks make what the tasks of a region share: their cluster, their security
// group, and the names by which services find each other.
func (p *program) tasks(c *node) (err error) {
	r := c.region
	if r.cluster, err = ecs.NewCluster(p.ctx, r.code, &ecs.ClusterArgs{Name: str(p.name(r.code, 255)),
		Settings: ecs.ClusterSettingArray{ecs.ClusterSettingArgs{Name: str("containerInsights"), Value: str("enabled")}}}, c.in()...); err != nil {
		return err
	}
	id := "tasks-" + r.code
	if r.tasks, err = ec2.NewSecurityGroup(p.ctx, id, &ec2.SecurityGroupArgs{Name: str(p.name(id, 255)), Description: str("tasks of services"), VpcId: r.vpc.ID(), Tags: p.tags(p.name(id, 255))},
		c.in(pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: "45m"}))...); err != nil {
		return err
	}
	if err := p.out(c, id, r.tasks, "images, logs, secrets and other services of the internet", 443); err != nil {
		return err
	}
	for _, n := range p.t.OfKind(topology.Backend) {
		if n.Region == r.name && len(n.Backend.Calls) > 0 {
			return p.discovery(c)
		}
	}
	return nil
}

// discovery gives services names by which others in the region call them.
func (p *program) discovery(c *node) (err error) {
	r := c.region
	if r.namespace, err = servicediscovery.NewHttpNamespace(p.ctx, r.code, &servicediscovery.HttpNamespaceArgs{Name: str(p.name(r.code, 64)), Description: str("services that call each other")}, c.in()...); err != nil {
		return err
	}
	id := "tasks-" + r.code + "-calls"
	if _, err := vpc.NewSecurityGroupIngressRule(p.ctx, id, &vpc.SecurityGroupIngressRuleArgs{SecurityGroupId: r.tasks.ID(), ReferencedSecurityGroupId: r.tasks.ID(),
		Description: str("services that call each other"), IpProtocol: str("tcp"), FromPort: num(port), ToPort: num(port)}, c.in()...); err != nil {
		return err
	}
	_, err = vpc.NewSecurityGroupEgressRule(p.ctx, id, &vpc.SecurityGroupEgressRuleArgs{SecurityGroupId: r.tasks.ID(), ReferencedSecurityGroupId: r.tasks.ID(),
		Description: str("services that call each other"), IpProtocol: str("tcp"), FromPort: num(port), ToPort: num(port)}, c.in()...)
	return err
}

// out lets a group reach one port of the internet.
func (p *program) out(c *node, id string, g *ec2.SecurityGroup, why string, port int) error {
	_, err := vpc.NewSecurityGroupEgressRule(p.ctx, id+"-out-"+strconv.Itoa(port), &vpc.SecurityGroupEgressRuleArgs{SecurityGroupId: g.ID(), CidrIpv4: str("0.0.0.0/0"),
		Description: str(why), IpProtocol: str("tcp"), FromPort: num(port), ToPort: num(port)}, c.in()...)
	return err
}

// backend makes one colour of a service: its target group, log, task and ECS
// service. A backend that no load balancer stands before runs on the node.
func (p *program) backend(n topology.Node, c *node) error {
	w, err := p.workload(n)
	if err != nil {
		return err
	}
	if onHost(n) {
		return p.onHost(n, w)
	}
	logs, err := p.logGroup(c, n.ID)
	if err != nil {
		return err
	}
	container := map[string]any{
		"name": n.Backend.Service, "image": n.Backend.Image, "essential": true, "readonlyRootFilesystem": false,
		"portMappings": []any{map[string]any{"name": n.Backend.Service, "containerPort": port, "hostPort": port, "protocol": "tcp", "appProtocol": "http"}},
		"environment":  pairs(p.environment(n)), "secrets": p.references(n, w),
		"stopTimeout":      min(n.Backend.StopTimeout, 120),
		"logConfiguration": logging(logs.Name, n.Region),
	}
	if len(n.Backend.Command) > 0 {
		container["command"] = n.Backend.Command
	}
	return p.service(n, c, w, n.Backend.Instances, "256", "512", []any{container}, n.Backend.Service)
}

// static makes the servers of a release's files, which fetch them when they start.
func (p *program) static(n topology.Node, c *node) error {
	if onHost(n) {
		return nil // the node answers with them
	}
	logs, err := p.logGroup(c, n.ID)
	if err != nil {
		return err
	}
	w := &workload{}
	if w.execution, err = p.role(c, n.ID+"-start", "ecs-tasks.amazonaws.com", p.mayLog(logs.Arn)); err != nil {
		return err
	}
	if w.task, err = p.role(c, n.ID, "ecs-tasks.amazonaws.com", p.mayFetch()...); err != nil {
		return err
	}
	from := pulumi.Sprintf("s3://%s/releases/%s", p.published(*n.Static), n.Static.Release)
	mount := []any{map[string]any{"sourceVolume": "files", "containerPath": "/files"}}
	return p.service(n, c, w, n.Static.Servers, "256", "512", []any{
		map[string]any{"name": "fetch", "image": syncImage, "essential": false, "command": []any{"s3", "sync", "--only-show-errors", from, "/files"},
			"mountPoints": mount, "logConfiguration": logging(logs.Name, n.Region)},
		map[string]any{"name": "static", "image": staticImage, "essential": true, "mountPoints": mount,
			"command":      []string{"sh", "-c", staticServer(n.Static.Prefix)},
			"dependsOn":    []any{map[string]any{"containerName": "fetch", "condition": "SUCCESS"}},
			"portMappings": []any{map[string]any{"name": "static", "containerPort": port, "hostPort": port, "protocol": "tcp"}}, "logConfiguration": logging(logs.Name, n.Region)},
	}, "static")
}

// published is the bucket of releases, once the files of one are in it.
func (p *program) published(s topology.StaticSpec) pulumi.StringOutput {
	return p.zone.releases.Bucket.ApplyT(func(bucket string) (string, error) {
		if p.ctx.DryRun() || p.s.Verbs.Publish == nil {
			return bucket, nil
		}
		return bucket, p.s.Verbs.Publish(bucket, s)
	}).(pulumi.StringOutput)
}

// migrated is a task definition, once the migrations of its release have run: in the
// home region, where the database's leader is.
func (p *program) migrated(n topology.Node, c *node, task *ecs.TaskDefinition) pulumi.StringOutput {
	if p.ctx.DryRun() || p.s.Verbs.Run == nil || n.Backend == nil || len(n.Backend.Migrate) == 0 || n.Backend.Instances == 0 || n.Region != p.t.Home() {
		return task.Arn
	}
	return p.after(c, task, func(t Task) error {
		t.Container, t.Command, t.Once = n.Backend.Service, n.Backend.Migrate, n.Backend.Service+"/"+n.Backend.Release
		return p.s.Verbs.Run(t)
	})
}

// after is a task definition, once something has been done with tasks of it.
func (p *program) after(c *node, task *ecs.TaskDefinition, do func(Task) error) pulumi.StringOutput {
	known := []any{task.Arn, c.cluster.Arn, c.tasks.ID(), p.zone.releases.Bucket}
	for _, s := range c.app {
		known = append(known, s.ID())
	}
	return pulumi.All(known...).ApplyT(func(vs []any) (string, error) {
		t := Task{Region: c.name, Definition: vs[0].(string), Cluster: vs[1].(string), Group: string(vs[2].(pulumi.ID)), Home: p.t.Home(), Bucket: vs[3].(string)}
		for _, s := range vs[4:] {
			t.Subnets = append(t.Subnets, string(s.(pulumi.ID)))
		}
		return t.Definition, do(t)
	}).(pulumi.StringOutput)
}

// staticServer is the command that answers with the files under a prefix.
func staticServer(prefix string) string {
	return "printf ':8080\\nhandle /healthz {\\n respond ok\\n}\\nhandle_path " + trim(prefix) + "/* {\\n root * /files\\n encode gzip\\n file_server\\n}\\n' > /tmp/Caddyfile && exec caddy run --config /tmp/Caddyfile --adapter caddyfile"
}

// targets make the group that a load balancer sends requests to. Nothing of it
// changes but the path of its health check.
func (p *program) targets(n topology.Node, c *node) error {
	if onHost(n) {
		return nil
	}
	id, health := n.ID, "/healthz"
	if n.Backend != nil {
		health = n.Backend.Health
	}
	g, err := lb.NewTargetGroup(p.ctx, id, &lb.TargetGroupArgs{Name: str(p.name(id, 32)), Port: num(port), Protocol: str("HTTP"), TargetType: str("ip"), VpcId: c.vpc.ID(),
		DeregistrationDelay: num(60), Tags: p.tags(p.name(id, 255)),
		HealthCheck: &lb.TargetGroupHealthCheckArgs{Path: str(health), Matcher: str("200-399"), Interval: num(10), Timeout: num(5), HealthyThreshold: num(2), UnhealthyThreshold: num(3)}}, c.in()...)
	p.pools[id] = &pool{g}
	return err
}

// service is a task definition and the ECS service that keeps count of its tasks.
func (p *program) service(n topology.Node, c *node, w *workload, count int, cpu, memory string, containers []any, answers string) error {
	args := &ecs.TaskDefinitionArgs{Family: str(p.name(n.ID, 255)), Cpu: str(cpu), Memory: str(memory), NetworkMode: str("awsvpc"), RequiresCompatibilities: strs{str("FARGATE")},
		ExecutionRoleArn: w.execution.Arn, TaskRoleArn: w.task.Arn, ContainerDefinitions: pulumi.JSONMarshal(containers),
		RuntimePlatform: &ecs.TaskDefinitionRuntimePlatformArgs{CpuArchitecture: str("X86_64"), OperatingSystemFamily: str("LINUX")}}
	if n.Static != nil {
		args.Volumes = ecs.TaskDefinitionVolumeArray{ecs.TaskDefinitionVolumeArgs{Name: str("files")}}
	}
	task, err := ecs.NewTaskDefinition(p.ctx, n.ID, args, c.in()...)
	if err != nil {
		return err
	}
	service := &ecs.ServiceArgs{Name: str(p.name(n.ID, 255)), Cluster: c.cluster.Arn, TaskDefinition: p.migrated(n, c, task), DesiredCount: num(count), LaunchType: str("FARGATE"), PlatformVersion: str("1.4.0"),
		DeploymentMinimumHealthyPercent: num(100), DeploymentMaximumPercent: num(200), EnableEcsManagedTags: yes(true), PropagateTags: str("SERVICE"), WaitForSteadyState: yes(true),
		DeploymentCircuitBreaker: &ecs.ServiceDeploymentCircuitBreakerArgs{Enable: yes(true), Rollback: yes(true)},
		NetworkConfiguration:     &ecs.ServiceNetworkConfigurationArgs{AssignPublicIp: yes(false), SecurityGroups: strs{c.tasks.ID()}, Subnets: ids(c.app)},
		LoadBalancers:            ecs.ServiceLoadBalancerArray{ecs.ServiceLoadBalancerArgs{ContainerName: str(answers), ContainerPort: num(port), TargetGroupArn: p.pools[n.ID].group.Arn}}}
	if n.Backend != nil {
		service.HealthCheckGracePeriodSeconds = num(n.Backend.StartTimeout)
		if c.namespace != nil {
			service.ServiceConnectConfiguration = &ecs.ServiceServiceConnectConfigurationArgs{Enabled: yes(true), Namespace: c.namespace.Arn,
				Services: ecs.ServiceServiceConnectConfigurationServiceArray{ecs.ServiceServiceConnectConfigurationServiceArgs{PortName: str(answers), DiscoveryName: str(answers),
					ClientAlias: ecs.ServiceServiceConnectConfigurationServiceClientAliasArray{ecs.ServiceServiceConnectConfigurationServiceClientAliasArgs{DnsName: str(answers), Port: num(port)}}}}}
		}
	}
	// A target group takes tasks only once a load balancer leads to it.
	_, err = ecs.NewService(p.ctx, n.ID, service, c.in(pulumi.DependsOn(p.fronts[n.Region].rules), pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "30m", Update: "30m", Delete: "30m"}))...)
	return err
}

func logging(group pulumi.StringOutput, region string) map[string]any {
	return map[string]any{"logDriver": "awslogs", "options": map[string]any{"awslogs-group": group, "awslogs-region": region, "awslogs-stream-prefix": "task"}}
}
