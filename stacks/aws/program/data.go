package program

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/elasticache"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/rds"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// store is something that backends link to.
type store struct {
	n     topology.Node
	c     *node
	group *ec2.SecurityGroup // nil for buckets
	port  int
	url   pulumi.StringOutput // with its credentials, a secret
	from  *rds.Instance
	files *s3.BucketV2
}

// Ports that are not the usual ones tell a scanner nothing; one of a database that
// was chosen once cannot change without a restart.
const (
	databasePort = 5433
	cachePort    = 6379
)

// instanceClasses are a database's sizes.
var instanceClasses = map[string]string{"small": "db.t4g.small", "medium": "db.m7g.large", "large": "db.m7g.2xlarge"}

// The database's engine, user and name are constants: most make another database when they
// changes, so that the application's name must not reach them.
const (
	DatabaseEngine  = "postgres"
	DatabaseVersion = "16"
	DatabaseUser    = "scale"
	DatabaseName    = "app"
)

// BackupDays is for how long a leader's backups are kept.
const BackupDays = 14

// database makes a leader, or a replica of one in another region.
func (p *program) database(n topology.Node, c *node) error {
	group, err := p.dataGroup(c, n.ID, "the database "+n.ID)
	if err != nil {
		return err
	}
	subnets, err := rds.NewSubnetGroup(p.ctx, n.ID, &rds.SubnetGroupArgs{Name: str(p.name(n.ID, 255)), Description: str("the data tier"), SubnetIds: ids(c.data)}, c.in()...)
	if err != nil {
		return err
	}
	parameters, err := rds.NewParameterGroup(p.ctx, n.ID, &rds.ParameterGroupArgs{Name: str(p.name(n.ID, 255)), Family: str("postgres16"), Description: str("TLS only; logical replication"),
		Parameters: rds.ParameterGroupParameterArray{
			rds.ParameterGroupParameterArgs{Name: str("rds.force_ssl"), Value: str("1"), ApplyMethod: str("immediate")},
			rds.ParameterGroupParameterArgs{Name: str("rds.logical_replication"), Value: str("1"), ApplyMethod: str("pending-reboot")},
		}}, c.in()...)
	if err != nil {
		return err
	}
	watcher, err := p.role(c, "monitor-"+n.ID, "monitoring.rds.amazonaws.com", statement{"Effect": "Allow",
		"Action":   []string{"logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "logs:GetLogEvents"},
		"Resource": []any{"arn:aws:logs:" + n.Region + ":" + p.s.Account + ":log-group:RDS*", "arn:aws:logs:" + n.Region + ":" + p.s.Account + ":log-group:RDS*:log-stream:*"}})
	if err != nil {
		return err
	}
	protected := !n.Disarmed
	args := &rds.InstanceArgs{
		Identifier: str(p.name(n.ID, 63)), InstanceClass: str(instanceClasses[n.Database.Size]), StorageEncrypted: yes(true), KmsKeyId: c.key.Arn,
		DbSubnetGroupName: subnets.Name, ParameterGroupName: parameters.Name, VpcSecurityGroupIds: strs{group.ID()}, PubliclyAccessible: yes(false), Port: num(databasePort),
		StorageType: str("gp3"), MaxAllocatedStorage: num(200), AutoMinorVersionUpgrade: yes(true), ApplyImmediately: yes(true), CopyTagsToSnapshot: yes(true),
		MonitoringInterval: num(60), MonitoringRoleArn: watcher.Arn, PerformanceInsightsEnabled: yes(true), PerformanceInsightsKmsKeyId: c.key.Arn,
		IamDatabaseAuthenticationEnabled: yes(true), EnabledCloudwatchLogsExports: strs{str("postgresql"), str("upgrade")}, Tags: p.tags(p.name(n.ID, 255)),
	}
	s := &store{n: n, c: c, group: group, port: databasePort}
	p.stores[n.ID] = s
	opts := c.in(pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "80m", Update: "120m", Delete: "80m"}))
	if n.Replica() {
		args.ReplicateSourceDb, args.SkipFinalSnapshot = p.stores[n.Database.Of].from.Arn, yes(true)
		args.BackupRetentionPeriod, args.DeletionProtection = num(1), yes(false)
		// Which database a replica follows is told once: a promotion is a verb.
		opts = append(opts, pulumi.IgnoreChanges([]string{"replicateSourceDb"}))
	} else {
		args.Engine, args.EngineVersion, args.DbName, args.Username = str(DatabaseEngine), str(DatabaseVersion), str(DatabaseName), str(DatabaseUser)
		args.Password = p.password(n.ID)
		args.AllocatedStorage, args.MultiAz = num(20), yes(n.Database.Standby)
		args.BackupRetentionPeriod, args.DeleteAutomatedBackups, args.DeletionProtection = num(BackupDays), yes(false), yes(protected)
		args.SkipFinalSnapshot, args.FinalSnapshotIdentifier = yes(false), str(p.lasting(n.ID+"-final", 255))
		opts = append(opts, pulumi.Protect(protected))
	}
	if s.from, err = rds.NewInstance(p.ctx, n.ID, args, opts...); err != nil {
		return err
	}
	password := p.password(leader(n))
	s.url = pulumi.ToSecret(pulumi.Sprintf("postgres://%s:%s@%s:%d/%s?sslmode=require", DatabaseUser, password, s.from.Address, databasePort, DatabaseName)).(pulumi.StringOutput)
	return p.databaseAlarms(n, c, s.from)
}

// leader is the id of the node whose password a database has.
func leader(n topology.Node) string {
	if n.Replica() {
		return n.Database.Of
	}
	return n.ID
}

func (p *program) password(id string) pulumi.StringOutput {
	return pulumi.ToSecret(pulumi.String(p.s.Passwords[id])).(pulumi.StringOutput)
}

// dataGroup is a security group of the data tier: it lets in who links to it, and
// nothing out.
func (p *program) dataGroup(c *node, id, of string) (*ec2.SecurityGroup, error) {
	return ec2.NewSecurityGroup(p.ctx, id, &ec2.SecurityGroupArgs{Name: str(p.name(id, 255)), Description: str(of), VpcId: c.vpc.ID(), Tags: p.tags(p.name(id, 255))},
		c.in(pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: "45m"}))...)
}

// files make the bucket of what the application keeps.
func (p *program) files(n topology.Node, c *node) error {
	b, err := p.bucket(c, n.ID, bucketOptions{keyed: true, keeps: true, protect: !n.Disarmed})
	p.stores[n.ID] = &store{n: n, c: c, files: b}
	return err
}

// sessions make a store of sessions: it may not drop what it holds.
func (p *program) sessions(n topology.Node, c *node) error {
	return p.valkey(n, c, "cache.t4g.small", "noeviction", 7, !n.Disarmed)
}

// nodeTypes are a cache's sizes.
var nodeTypes = map[string]string{"small": "cache.t4g.small", "medium": "cache.m7g.large", "large": "cache.m7g.xlarge"}

// cache makes a region's in-memory cache.
func (p *program) cache(n topology.Node, c *node) error {
	return p.valkey(n, c, nodeTypes[n.Cache.Size], "allkeys-lru", 0, false)
}

// valkey makes a pair of Valkey nodes in two zones: a single one could not be
// given its failover later without being made anew.
func (p *program) valkey(n topology.Node, c *node, size, eviction string, snapshots int, protect bool) error {
	group, err := p.dataGroup(c, n.ID, "the "+string(n.Kind)+" "+n.ID)
	if err != nil {
		return err
	}
	subnets, err := elasticache.NewSubnetGroup(p.ctx, n.ID, &elasticache.SubnetGroupArgs{Name: str(p.name(n.ID, 255)), Description: str("the data tier"), SubnetIds: ids(c.data)}, c.in()...)
	if err != nil {
		return err
	}
	parameters, err := elasticache.NewParameterGroup(p.ctx, n.ID, &elasticache.ParameterGroupArgs{Name: str(p.name(n.ID, 255)), Family: str("valkey8"), Description: str(eviction),
		Parameters: elasticache.ParameterGroupParameterArray{elasticache.ParameterGroupParameterArgs{Name: str("maxmemory-policy"), Value: str(eviction)}}}, c.in()...)
	if err != nil {
		return err
	}
	args := &elasticache.ReplicationGroupArgs{
		ReplicationGroupId: str(p.name(n.ID, 40)), Description: str(string(n.Kind) + " of " + p.t.App + "/" + p.t.Env), Engine: str("valkey"), EngineVersion: str("8.0"), NodeType: str(size),
		NumCacheClusters: num(2), AutomaticFailoverEnabled: yes(true), MultiAzEnabled: yes(true), AtRestEncryptionEnabled: yes(true), KmsKeyId: c.key.Arn,
		TransitEncryptionEnabled: yes(true), AuthToken: p.password(n.ID), Port: num(cachePort), SubnetGroupName: subnets.Name, ParameterGroupName: parameters.Name,
		SecurityGroupIds: strs{group.ID()}, ApplyImmediately: yes(true), AutoMinorVersionUpgrade: yes(true), NotificationTopicArn: c.topic.Arn, Tags: p.tags(p.name(n.ID, 255)),
	}
	if snapshots > 0 {
		args.SnapshotRetentionLimit, args.FinalSnapshotIdentifier = num(snapshots), str(p.lasting(n.ID+"-final", 255))
	} else {
		args.SnapshotRetentionLimit = num(1)
	}
	g, err := elasticache.NewReplicationGroup(p.ctx, n.ID, args, c.in(pulumi.Protect(protect), pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "60m", Delete: "45m"}))...)
	if err != nil {
		return err
	}
	url := pulumi.ToSecret(pulumi.Sprintf("rediss://:%s@%s:%d/0", p.password(n.ID), g.PrimaryEndpointAddress, cachePort)).(pulumi.StringOutput)
	p.stores[n.ID] = &store{n: n, c: c, group: group, port: cachePort, url: url}
	return nil
}

// links let each region's backends into the stores that they link to, and out to
// nothing else: by security group in the region, by address from another.
func (p *program) links() error {
	done := map[string]bool{}
	for _, l := range p.t.Links {
		from, _ := p.t.Node(l.From)
		s, ok := p.stores[l.To]
		if !ok || s.group == nil || from.Backend == nil && from.Move == nil || s.n.Fenced() {
			continue // nobody gets into a database that was fenced, whatever it takes itself for
		}
		source, group := p.runs(from)
		id, outID := source+"-to-"+l.To, source+"-to-"+l.To
		if from.Region != s.n.Region { // by address one rule serves all stores of a port
			outID = fmt.Sprintf("%s-to-%s-%d", source, s.c.code, s.port)
		}
		if done[id] {
			continue
		}
		done[id] = true
		in := &vpc.SecurityGroupIngressRuleArgs{SecurityGroupId: s.group.ID(), Description: str("from " + source), IpProtocol: str("tcp"), FromPort: num(s.port), ToPort: num(s.port)}
		out := &vpc.SecurityGroupEgressRuleArgs{SecurityGroupId: group.ID(), Description: str("to " + outID), IpProtocol: str("tcp"), FromPort: num(s.port), ToPort: num(s.port)}
		if from.Region == s.n.Region {
			in.ReferencedSecurityGroupId, out.ReferencedSecurityGroupId = group.ID(), s.group.ID()
		} else {
			in.CidrIpv4, out.CidrIpv4 = str(p.cidr(from.Region, -1, 0)), str(p.cidr(s.n.Region, -1, 0))
		}
		if _, err := vpc.NewSecurityGroupIngressRule(p.ctx, id, in, s.c.in()...); err != nil {
			return err
		}
		if done["out "+outID] {
			continue
		}
		done["out "+outID] = true
		there := p.regions[from.Region]
		if _, err := vpc.NewSecurityGroupEgressRule(p.ctx, outID, out, pulumi.Parent(there.component), pulumi.Provider(there.provider)); err != nil {
			return err
		}
	}
	return nil
}

// runs is what a backend runs on: its name, and its security group.
func (p *program) runs(n topology.Node) (string, *ec2.SecurityGroup) {
	if h, ok := p.hosts[n.Region]; ok && onHost(n) {
		return h.id, h.group
	}
	r := p.regions[n.Region]
	return "tasks-" + r.code, r.tasks
}

func ids(subnets []*ec2.Subnet) pulumi.StringArray {
	var a pulumi.StringArray
	for _, s := range subnets {
		a = append(a, s.ID().ToStringOutput())
	}
	return a
}
