package program

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/rds"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// watch is one thing that a person should hear of.
type watch struct {
	name, metric, statistic string
	above                   bool
	threshold               float64
	minutes                 int
}

// alarm tells a region's topic when a metric stays beyond its threshold.
func (p *program) alarm(c *node, id, namespace string, dimensions pulumi.StringMap, ws ...watch) error {
	for _, w := range ws {
		than := "LessThanThreshold"
		if w.above {
			than = "GreaterThanThreshold"
		}
		if _, err := cloudwatch.NewMetricAlarm(p.ctx, id+"-"+w.name, &cloudwatch.MetricAlarmArgs{Name: str(p.name(id+"-"+w.name, 255)), Namespace: str(namespace), MetricName: str(w.metric),
			Statistic: str(w.statistic), ComparisonOperator: str(than), Threshold: pulumi.Float64(w.threshold), Period: num(60), EvaluationPeriods: num(w.minutes), Dimensions: dimensions,
			AlarmActions: pulumi.Array{c.topic.Arn}, OkActions: pulumi.Array{c.topic.Arn}, TreatMissingData: str("missing")}, c.in()...); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) databaseAlarms(n topology.Node, c *node, db *rds.Instance) error {
	ws := []watch{
		{"cpu", "CPUUtilization", "Average", true, 80, 10},
		{"storage", "FreeStorageSpace", "Minimum", false, 4 << 30, 5},
		{"connections", "DatabaseConnections", "Maximum", true, 80, 5},
	}
	if n.Replica() {
		ws = append(ws, watch{"lag", "ReplicaLag", "Maximum", true, 30, 5})
	}
	return p.alarm(c, n.ID, "AWS/RDS", pulumi.StringMap{"DBInstanceIdentifier": db.Identifier}, ws...)
}

func (p *program) balancerAlarms(n topology.Node, c *node, b *lb.LoadBalancer) error {
	return p.alarm(c, n.ID, "AWS/ApplicationELB", pulumi.StringMap{"LoadBalancer": b.ArnSuffix},
		watch{"5xx", "HTTPCode_Target_5XX_Count", "Sum", true, 10, 5},
		watch{"rejected", "RejectedConnectionCount", "Sum", true, 0, 5})
}

func (p *program) machineAlarms(h *host, m *ec2.Instance) error {
	return p.alarm(h.node, h.id, "AWS/EC2", pulumi.StringMap{"InstanceId": m.ID().ToStringOutput()},
		watch{"status", "StatusCheckFailed", "Maximum", true, 0, 2},
		watch{"cpu", "CPUUtilization", "Average", true, 80, 10},
		watch{"credits", "CPUCreditBalance", "Minimum", false, 20, 10})
}
