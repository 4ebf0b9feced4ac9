package program

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/wafv2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// Headers that reach what takes no traffic: a colour, and a pool that no path leads to.
const (
	colorHeader = "X-Scale-Color"
	poolHeader  = "X-Scale-Pool"
)

// front is a load balancer and the rules by which it leads to target groups.
type front struct {
	lb    *lb.LoadBalancer
	rules []pulumi.Resource
}

// loadBalancer makes a region's load balancer: the only thing there that the world
// reaches, by 80, which only redirects, and 443.
func (p *program) loadBalancer(n topology.Node, c *node) error {
	group, err := p.openGroup(c, n.ID, "the load balancer")
	if err != nil {
		return err
	}
	if err := p.reachTasks(c, n.ID, group); err != nil {
		return err
	}
	f := &front{}
	p.fronts[n.Region] = f
	if f.lb, err = lb.NewLoadBalancer(p.ctx, n.ID, &lb.LoadBalancerArgs{Name: str(p.name(n.ID, 32)), LoadBalancerType: str("application"), Internal: yes(false), Subnets: ids(c.public),
		SecurityGroups: strs{group.ID()}, DropInvalidHeaderFields: yes(true), DesyncMitigationMode: str("defensive"), EnableDeletionProtection: yes(!n.Disarmed), IdleTimeout: num(60),
		AccessLogs: &lb.LoadBalancerAccessLogsArgs{Bucket: c.records.Bucket, Prefix: str(n.ID), Enabled: yes(true)}, Tags: p.tags(p.name(n.ID, 255))},
		c.in(pulumi.DependsOn([]pulumi.Resource{c.records}))...); err != nil {
		return err
	}
	if _, err := lb.NewListener(p.ctx, n.ID+"-80", &lb.ListenerArgs{LoadBalancerArn: f.lb.Arn, Port: num(80), Protocol: str("HTTP"), DefaultActions: lb.ListenerDefaultActionArray{
		lb.ListenerDefaultActionArgs{Type: str("redirect"), Redirect: &lb.ListenerDefaultActionRedirectArgs{Port: str("443"), Protocol: str("HTTPS"), StatusCode: str("HTTP_301")}}}}, c.in()...); err != nil {
		return err
	}
	listener, err := lb.NewListener(p.ctx, n.ID+"-443", &lb.ListenerArgs{LoadBalancerArn: f.lb.Arn, Port: num(443), Protocol: str("HTTPS"), SslPolicy: str("ELBSecurityPolicy-TLS13-1-2-2021-06"),
		CertificateArn: c.certificate, DefaultActions: lb.ListenerDefaultActionArray{lb.ListenerDefaultActionArgs{Type: str("fixed-response"),
			FixedResponse: &lb.ListenerDefaultActionFixedResponseArgs{ContentType: str("text/plain"), StatusCode: str("503"), MessageBody: str("nothing answers here")}}}}, c.in()...)
	if err != nil {
		return err
	}
	if err := p.rules(n, c, f, listener); err != nil {
		return err
	}
	if err := p.webACL(c, n.ID, "REGIONAL", f.lb.Arn); err != nil {
		return err
	}
	return p.balancerAlarms(n, c, f.lb)
}

// openGroup lets the world in by 80 and 443.
func (p *program) openGroup(c *node, id, of string) (*ec2.SecurityGroup, error) {
	g, err := ec2.NewSecurityGroup(p.ctx, id, &ec2.SecurityGroupArgs{Name: str(p.name(id, 255)), Description: str(of), VpcId: c.vpc.ID(), Tags: p.tags(p.name(id, 255))},
		c.in(pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: "45m"}))...)
	if err != nil {
		return nil, err
	}
	for _, port := range []int{80, 443} {
		if _, err := vpc.NewSecurityGroupIngressRule(p.ctx, fmt.Sprintf("%s-from-world-%d", id, port), &vpc.SecurityGroupIngressRuleArgs{SecurityGroupId: g.ID(), CidrIpv4: str("0.0.0.0/0"),
			Description: str("users"), IpProtocol: str("tcp"), FromPort: num(port), ToPort: num(port)}, c.in()...); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// reachTasks lets a load balancer reach tasks, and nothing else.
func (p *program) reachTasks(c *node, id string, group *ec2.SecurityGroup) error {
	if _, err := vpc.NewSecurityGroupEgressRule(p.ctx, id+"-to-tasks", &vpc.SecurityGroupEgressRuleArgs{SecurityGroupId: group.ID(), ReferencedSecurityGroupId: c.tasks.ID(),
		Description: str("to tasks"), IpProtocol: str("tcp"), FromPort: num(port), ToPort: num(port)}, c.in()...); err != nil {
		return err
	}
	_, err := vpc.NewSecurityGroupIngressRule(p.ctx, id+"-to-tasks", &vpc.SecurityGroupIngressRuleArgs{SecurityGroupId: c.tasks.ID(), ReferencedSecurityGroupId: group.ID(),
		Description: str("from the load balancer"), IpProtocol: str("tcp"), FromPort: num(port), ToPort: num(port)}, c.in()...)
	return err
}

// Priorities of rules, lowest first: the maintenance page, then a colour by its
// header, then paths, the longest first. No two rules of a listener may have the same,
// not even while one step makes rules and changes others: each follows from the path or
// the pool alone, and from the place that this was given once.
const (
	maintenancePriority = 1
	colorPriority       = 100
	pathPriority        = colorPriority + 2*(longestPath+1)*PathsOfALength
	poolPriority        = pathPriority + (longestPath+1)*PathsOfALength
	lastPriority        = 50000 // of a listener (CreateRule)

	longestPath = 128 // characters of a condition (CreateRule)
	// PathsOfALength is how many paths of one length there can be.
	PathsOfALength = 100
	// Pools is how many pools there can be in the life of an environment.
	Pools = lastPriority - poolPriority
)

// place is that of a path among all, the longest first.
func (p *program) place(path string) int {
	return (longestPath-min(len(path), longestPath))*PathsOfALength + p.s.Places[path]
}

// rules make the ways from the listener to target groups: for each path, one by
// weight and one a colour by its header.
func (p *program) rules(n topology.Node, c *node, f *front, listener *lb.Listener) error {
	arn := p.afterMoves(listener.Arn)
	rule := func(name string, priority int, action lb.ListenerRuleActionArgs, when ...lb.ListenerRuleConditionInput) error {
		r, err := lb.NewListenerRule(p.ctx, n.ID+"-"+name, &lb.ListenerRuleArgs{ListenerArn: arn, Priority: num(priority), Actions: lb.ListenerRuleActionArray{action},
			Conditions: lb.ListenerRuleConditionArray(when)}, c.in()...)
		f.rules = append(f.rules, r)
		return err
	}
	if m := p.maintenance(n); m != nil {
		if err := rule("maintenance", maintenancePriority, lb.ListenerRuleActionArgs{Type: str("fixed-response"), FixedResponse: &lb.ListenerRuleActionFixedResponseArgs{
			ContentType: str("text/html"), StatusCode: str("503"), MessageBody: str("<!doctype html><title>Maintenance</title><h1>Back in a moment</h1>")}}, path("/*")); err != nil {
			return err
		}
	}
	led := map[string]bool{}
	for _, r := range n.LoadBalancer.Rules {
		var groups lb.ListenerRuleActionForwardTargetGroupArray
		for _, s := range r.Pools {
			groups = append(groups, lb.ListenerRuleActionForwardTargetGroupArgs{Arn: p.pools[s.To].group.Arn, Weight: num(s.Weight)})
		}
		if err := rule("path-"+slug(r.Path), pathPriority+p.place(r.Path), forward(groups), paths(r.Path)); err != nil {
			return err
		}
		for j, s := range r.Pools {
			led[s.To] = true
			if s.Color == "" {
				continue
			}
			alone := p.alone(s.To)
			if err := rule(s.Color+"-"+slug(r.Path), colorPriority+2*p.place(r.Path)+j, forward(alone), paths(r.Path), lb.ListenerRuleConditionArgs{
				HttpHeader: &lb.ListenerRuleConditionHttpHeaderArgs{HttpHeaderName: str(colorHeader), Values: strs{str(s.Color)}}}); err != nil {
				return err
			}
		}
	}
	// A target group takes tasks only once a load balancer leads to it: what no rule
	// mentions yet, or any more, is reached by its name.
	for _, id := range slices.Sorted(maps.Keys(p.pools)) {
		if of, _ := p.t.Node(id); led[id] || of.Region != n.Region {
			continue
		}
		if err := rule("pool-"+id, poolPriority+p.s.Places[id], forward(p.alone(id)), lb.ListenerRuleConditionArgs{
			HttpHeader: &lb.ListenerRuleConditionHttpHeaderArgs{HttpHeaderName: str(poolHeader), Values: strs{str(id)}}}); err != nil {
			return err
		}
	}
	return nil
}

// alone is a forward to one pool.
func (p *program) alone(id string) lb.ListenerRuleActionForwardTargetGroupArray {
	return lb.ListenerRuleActionForwardTargetGroupArray{lb.ListenerRuleActionForwardTargetGroupArgs{Arn: p.pools[id].group.Arn, Weight: num(100)}}
}

func forward(groups lb.ListenerRuleActionForwardTargetGroupArray) lb.ListenerRuleActionArgs {
	if len(groups) == 1 { // one is given by itself: a forward block takes two or more
		return lb.ListenerRuleActionArgs{Type: str("forward"), TargetGroupArn: groups[0].(lb.ListenerRuleActionForwardTargetGroupArgs).Arn.ToStringOutput().ToStringPtrOutput()}
	}
	return lb.ListenerRuleActionArgs{Type: str("forward"), Forward: &lb.ListenerRuleActionForwardArgs{TargetGroups: groups}}
}

func path(patterns ...string) lb.ListenerRuleConditionArgs {
	var values strs
	for _, v := range patterns {
		values = append(values, str(v))
	}
	return lb.ListenerRuleConditionArgs{PathPattern: &lb.ListenerRuleConditionPathPatternArgs{Values: values}}
}

// paths match a prefix by whole segments.
func paths(prefix string) lb.ListenerRuleConditionArgs {
	if trim(prefix) == "" {
		return path("/*")
	}
	return path(trim(prefix), trim(prefix)+"/*")
}

// maintenance is what the entry before a load balancer answers with; nil when it
// answers as usual.
func (p *program) maintenance(n topology.Node) *topology.Maintenance {
	for _, e := range p.t.OfKind(topology.Entry) {
		if e.Region == n.Region && e.Entry.Maintenance != nil {
			return e.Entry.Maintenance
		}
	}
	return nil
}

// webACL filters what is known to be an attack.
func (p *program) webACL(c *node, id, scope string, of pulumi.StringOutput) error {
	acl, err := p.managedACL(c, id, scope, c.in())
	if err != nil {
		return err
	}
	_, err = wafv2.NewWebAclAssociation(p.ctx, id, &wafv2.WebAclAssociationArgs{ResourceArn: of, WebAclArn: acl.Arn}, c.in()...)
	return err
}

// managedRules are AWS's own rule groups that every application can stand behind.
var managedRules = []string{"AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"}

func (p *program) managedACL(c *node, id, scope string, opts []pulumi.ResourceOption) (*wafv2.WebAcl, error) {
	seen := func(name string) *wafv2.WebAclRuleVisibilityConfigArgs {
		return &wafv2.WebAclRuleVisibilityConfigArgs{CloudwatchMetricsEnabled: yes(true), SampledRequestsEnabled: yes(true), MetricName: str(name)}
	}
	var rules wafv2.WebAclRuleArray
	for i, name := range managedRules {
		rules = append(rules, wafv2.WebAclRuleArgs{Name: str(name), Priority: num(i), VisibilityConfig: seen(name),
			OverrideAction: &wafv2.WebAclRuleOverrideActionArgs{None: &wafv2.WebAclRuleOverrideActionNoneArgs{}},
			Statement: &wafv2.WebAclRuleStatementArgs{ManagedRuleGroupStatement: &wafv2.WebAclRuleStatementManagedRuleGroupStatementArgs{
				Name: str(name), VendorName: str("AWS")}}})
	}
	return wafv2.NewWebAcl(p.ctx, id, &wafv2.WebAclArgs{Name: str(p.name(id, 128)), Scope: str(scope), Rules: rules,
		DefaultAction:    &wafv2.WebAclDefaultActionArgs{Allow: &wafv2.WebAclDefaultActionAllowArgs{}},
		VisibilityConfig: &wafv2.WebAclVisibilityConfigArgs{CloudwatchMetricsEnabled: yes(true), SampledRequestsEnabled: yes(true), MetricName: str(p.name(id, 128))}}, opts...)
}

// slug is a path as part of a name.
func slug(path string) string {
	if trim(path) == "" {
		return "all"
	}
	b := []rune{}
	for _, r := range path {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			b = append(b, r)
		} else if len(b) > 0 && b[len(b)-1] != '-' {
			b = append(b, '-')
		}
	}
	return string(b)
}
