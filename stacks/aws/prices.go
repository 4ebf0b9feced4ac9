package aws

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
)

// hours are those of a month, as AWS's own calculator counts them.
const hours = 730

// PricesFrom is where the table is from.
const PricesFrom = "table as of 2026-06, us-east-1 on demand, not fetched from AWS; other regions differ by up to half"

// Prices are those of machines, databases and caches by the hour, in US dollars: by far
// the most of what an environment costs.
type Prices struct {
	From   string             `json:"from"` // where and when they are from
	Hourly map[string]float64 `json:"hourly"`
}

// table is what the program carries.
var table = Prices{PricesFrom, map[string]float64{
	"db.t4g.small": 0.032, "db.m7g.large": 0.168, "db.m7g.2xlarge": 0.673,
	"cache.t4g.small": 0.0256, "cache.m7g.large": 0.126, "cache.m7g.xlarge": 0.252,
	"t3.small": 0.0208,
}}

// Prices of the rest.
const (
	perBalancer   = 0.0225  // hour
	perLCU        = 0.008   // hour
	perNAT        = 0.045   // hour
	perAddress    = 0.005   // hour, of a public IPv4 address
	perCPU        = 0.04048 // hour, of a Fargate vCPU
	perMemory     = 0.004445
	perGP3        = 0.08  // GB and month
	perDBStorage  = 0.115 // GB and month
	perKey        = 1.00
	perSecret     = 0.40
	perZone       = 0.50
	perCheck      = 1.00 // of an HTTPS endpoint, with fast intervals 2 more
	perACL        = 5.00
	perACLRule    = 1.00
	perAlarm      = 0.10
	perEgress     = 0.09  // GB
	perNATTraffic = 0.045 // GB
)

// Usage is traffic, of a month.
type Usage struct {
	EgressGB float64 // to users
	NATGB    float64 // from tasks to the internet, in each region
	LCU      float64 // of each load balancer, on average
}

// LightUse is what is assumed when nothing is said.
var LightUse = Usage{EgressGB: 10, NATGB: 5, LCU: 1}

// ParseUsage reads traffic as it is written on a command line: egress and nat in GB a
// month, lcu as the load balancers' average. What is not said is as in LightUse.
func ParseUsage(said map[string]string) (*Usage, error) {
	u := LightUse
	into := map[string]*float64{"egress": &u.EgressGB, "nat": &u.NATGB, "lcu": &u.LCU}
	for k, v := range said {
		f, err := strconv.ParseFloat(v, 64)
		if into[k] == nil || err != nil || f < 0 || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, &Error{What: fmt.Sprintf("the usage %s=%s is none", k, v), Hint: "say egress and nat in GB a month and lcu as an average, for example egress=500,nat=20,lcu=3"}
		}
		*into[k] = f
	}
	return &u, nil
}

// Prices implements stacks.Shaper.
func (a *AWS) Prices() string { return a.prices().From }

func (a *AWS) prices() Prices {
	if a.Fetched == nil {
		return table
	}
	p := Prices{a.Fetched.From, maps.Clone(table.Hourly)}
	maps.Copy(p.Hourly, a.Fetched.Hourly)
	return p
}

// Cost implements stacks.Shaper.
func (a *AWS) Cost(rs []engine.Request) ([]plan.CostLine, []string) {
	u := LightUse
	if a.Usage != nil {
		u = *a.Usage
	}
	return costOf(rs, u, a.prices().Hourly), []string{
		fmt.Sprintf("%g GB a month to users, %g GB through each NAT gateway, %g LCU on each load balancer", u.EgressGB, u.NATGB, u.LCU),
		"databases and caches at the size that they were made with; snapshots and logs of little size",
	}
}

func costOf(rs []engine.Request, u Usage, hourly map[string]float64) []plan.CostLine {
	var ls []plan.CostLine
	add := func(name, what string, quantity float64, unit string, price float64) {
		if quantity*price != 0 {
			ls = append(ls, plan.CostLine{Name: name, What: what, Quantity: quantity, Unit: unit, Price: price, Monthly: quantity * price})
		}
	}
	sizes := map[string][2]float64{} // of task definitions, by ARN: vCPU and GB
	for _, r := range rs {
		if r.Type == "aws:ecs/taskDefinition:TaskDefinition" {
			sizes[text(r.Olds["arn"])] = [2]float64{float(r.OldInputs["cpu"]) / 1024, float(r.OldInputs["memory"]) / 1024}
		}
	}
	facing := false
	for _, r := range rs {
		in := func(k string) resource.PropertyValue { return r.OldInputs[resource.PropertyKey(k)] }
		switch strings.TrimPrefix(r.Type, "aws:") {
		case "ec2/instance:Instance":
			facing = true
			add(r.Name, "machine, "+text(in("instanceType")), hours, "hours", hourly[text(in("instanceType"))])
			add(r.Name, "its disk", float(field(in("rootBlockDevice"), "volumeSize")), "GB", perGP3)
		case "ec2/eip:Eip":
			add(r.Name, "public address", hours, "hours", perAddress)
		case "ec2/natGateway:NatGateway":
			add(r.Name, "NAT gateway", hours, "hours", perNAT)
			add(r.Name, "its traffic", u.NATGB, "GB", perNATTraffic)
		case "lb/loadBalancer:LoadBalancer":
			facing = true
			add(r.Name, "load balancer", hours, "hours", perBalancer)
			add(r.Name, "its capacity", u.LCU*hours, "LCU hours", perLCU)
			add(r.Name, "its public addresses", 2*hours, "hours", perAddress)
		case "ecs/service:Service":
			size, n := sizes[text(in("taskDefinition"))], float(in("desiredCount"))
			add(r.Name, fmt.Sprintf("%g tasks of %g vCPU and %g GB", n, size[0], size[1]), n*hours, "hours", size[0]*perCPU+size[1]*perMemory)
		case "rds/instance:Instance":
			copies, what := 1.0, "database, "+text(in("instanceClass"))
			if text(in("multiAz")) == "true" {
				copies, what = 2, what+" with a standby"
			}
			add(r.Name, what, copies*hours, "hours", hourly[text(in("instanceClass"))])
			storage := float(in("allocatedStorage"))
			if storage == 0 {
				storage = 20 // a replica has its leader's
			}
			add(r.Name, "its storage", copies*storage, "GB", perDBStorage)
		case "elasticache/replicationGroup:ReplicationGroup":
			add(r.Name, "2 nodes, "+text(in("nodeType")), float(in("numCacheClusters"))*hours, "hours", hourly[text(in("nodeType"))])
		case "kms/key:Key":
			add(r.Name, "key", 1, "month", perKey)
		case "secretsmanager/secret:Secret":
			add(r.Name, "secret", 1, "month", perSecret)
		case "route53/zone:Zone":
			add(r.Name, "zone", 1, "month", perZone)
		case "route53/healthCheck:HealthCheck":
			add(r.Name, "health check", 1, "month", perCheck)
		case "wafv2/webAcl:WebAcl":
			add(r.Name, "web ACL", 1, "month", perACL+perACLRule*float64(len(list(in("rules")))))
		case "cloudwatch/metricAlarm:MetricAlarm":
			add(r.Name, "alarm", 1, "month", perAlarm)
		}
	}
	if facing {
		add("users", "traffic to users", u.EgressGB, "GB", perEgress)
	}
	plan.SortCost(ls)
	return ls
}

func float(v resource.PropertyValue) float64 {
	f, _ := strconv.ParseFloat(text(v), 64) // what is not said counts nothing
	return f
}
