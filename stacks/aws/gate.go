package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/aws/program"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// patience is how long a gate waits: tasks are started, checked and put into
// service in three to five minutes.
const patience = 15 * time.Minute

// lagBound is how far a replica may be behind before readers are sent to it.
const lagBound = 5 * time.Second

// lagWindow is how old what is known of a lag may be: it is told by the minute.
const lagWindow = 5 * time.Minute

// lookEvery is how often an account is asked whether something has come about.
const lookEvery = 10 * time.Second

// Gate returns when a gate of levels holds, or why it does not.
func (a *AWS) Gate(ctx context.Context, gate string, t topology.Topology, pins map[string]string, waiting func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if a.Rehearsal != nil {
		if err := a.rehearsedGate(gate, t); err != nil {
			return err
		}
	}
	switch gate {
	case "caught-up", "in-step": // the task of a copy ends when that is in step
		return a.until(ctx, waiting, func() error { return a.caughtUp(ctx, t) })
	case "healthy":
		return a.until(ctx, waiting, func() error { return a.healthy(ctx, t) })
	case "answers", "steady":
		if err := a.until(ctx, waiting, func() error { return a.healthy(ctx, t) }); err != nil {
			return err
		}
		return a.remembered(ctx, waiting)
	}
	return nil
}

// until asks again until it holds or patience ends.
func (a *AWS) until(ctx context.Context, waiting func(string), holds func() error) error {
	for {
		err := holds()
		if err == nil || a.Rehearsal != nil {
			return err
		}
		waiting(err.Error())
		select {
		case <-ctx.Done():
			return err
		case <-time.After(a.every):
		}
	}
}

// healthy holds when every instance of every pool answers its health path.
func (a *AWS) healthy(ctx context.Context, t topology.Topology) error {
	for _, n := range t.OfKind(topology.Backend) {
		if n.Backend.Level == 1 || n.Backend.Instances == 0 {
			continue
		}
		got, err := a.verbs.Healthy(ctx, n, program.Name(t, n.ID, 32))
		if err != nil {
			return err
		}
		if got < n.Backend.Instances {
			return fmt.Errorf("%d of %d tasks of %s answer %s", got, n.Backend.Instances, n.ID, n.Backend.Health)
		}
	}
	return nil
}

// caughtUp holds when every replica is within the bound of its leader.
func (a *AWS) caughtUp(ctx context.Context, t topology.Topology) error {
	for _, n := range t.OfKind(topology.Database) {
		if !n.Replica() {
			continue
		}
		lag, err := a.verbs.Lag(ctx, n, program.Name(t, n.ID, 63), time.Now().Add(-lagWindow))
		if err != nil {
			return err
		}
		if lag > lagBound {
			return fmt.Errorf("%s is %s behind its leader", n.ID, lag)
		}
	}
	return nil
}

// remembered waits until nobody can remember where the name led before: resolvers
// may keep an answer for its time to live, and some for twice that.
func (a *AWS) remembered(ctx context.Context, waiting func(string)) error {
	wait := time.Duration(2*program.TTL) * time.Second
	if a.Rehearsal != nil {
		wait = time.Duration(float64(wait) * a.Rehearsal.Speed)
	}
	if wait == 0 {
		return nil
	}
	waiting(fmt.Sprintf("waiting %s, for those who remember where the name led", wait))
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rehearsedGate looks at what stands in the rehearsed account.
func (a *AWS) rehearsedGate(gate string, t topology.Topology) error {
	switch gate {
	case "stopped", "empty":
		for _, r := range a.Rehearsal.Things() {
			if slices.Contains(running, r.Type) || gate == "empty" && !Kept(r) {
				return fmt.Errorf("%s %s still stands", r.Type, r.Name)
			}
		}
		return nil
	}
	return a.Served()
}

// running are the types that serve.
var running = []string{"aws:ecs/service:Service", "aws:ec2/instance:Instance", "aws:lb/loadBalancer:LoadBalancer", "aws:cloudfront/distribution:Distribution"}

// Kept reports whether a thing is meant to outlive an environment: final snapshots,
// the bucket of what users put there with what belongs to it, and the key by which
// these are encrypted.
func Kept(r *rehearsal.Thing) bool {
	return r.Type == snapshotType || Holds(r) || strings.HasPrefix(r.Type, "aws:s3/") && strings.HasPrefix(r.Name, "files-")
}

// Served reports what a user would reach in the rehearsed account and that does not
// answer: a rule whose weight leads to a pool without tasks, a name that leads to
// what does not stand.
func (a *AWS) Served() error {
	tasks := map[string]float64{}    // by target group
	stands := map[string]bool{}      // what a name may lead to
	listeners := map[string]string{} // their load balancers
	balancers := map[string]string{} // their names
	reached := map[string]bool{}     // names that users are led to
	things := a.Rehearsal.Things()
	for _, r := range things {
		switch r.Type {
		case "aws:route53/record:Record":
			for _, to := range list(r.Inputs["aliases"]) {
				reached[text(field(to, "name"))] = true
			}
		case "aws:lb/listener:Listener":
			listeners[r.ID] = text(r.Inputs["loadBalancerArn"])
		case "aws:ecs/service:Service":
			for _, lb := range list(r.Inputs["loadBalancers"]) {
				tasks[text(field(lb, "targetGroupArn"))] += r.Inputs["desiredCount"].NumberValue()
			}
		case "aws:lb/loadBalancer:LoadBalancer":
			stands[text(r.Out["dnsName"])], balancers[r.ID] = true, text(r.Out["dnsName"])
		case "aws:cloudfront/distribution:Distribution":
			stands[text(r.Out["domainName"])] = true
		case "aws:ec2/eip:Eip":
			stands[text(r.Out["publicIp"])] = true
		}
	}
	for _, r := range things {
		switch r.Type {
		case "aws:lb/listenerRule:ListenerRule":
			if !reached[balancers[listeners[text(r.Inputs["listenerArn"])]]] {
				continue // nobody is led there yet, or any more
			}
			for _, arn := range ledTo(r) {
				if tasks[arn] == 0 {
					return fmt.Errorf("%s leads to %s, where no task runs", r.Name, arn)
				}
			}
		case "aws:route53/record:Record":
			for _, to := range list(r.Inputs["aliases"]) {
				if name := text(field(to, "name")); !stands[name] {
					return fmt.Errorf("the name %s leads to %s, which does not stand", text(r.Inputs["name"]), name)
				}
			}
		}
	}
	return nil
}

// ledTo are the target groups to which a rule sends users: those of a rule by path,
// with a weight. A rule by header is followed by who asks for it.
func ledTo(rule *rehearsal.Thing) []string {
	for _, c := range list(rule.Inputs["conditions"]) {
		if field(c, "pathPattern").IsNull() {
			return nil
		}
	}
	var arns []string
	for _, action := range list(rule.Inputs["actions"]) {
		if arn := text(field(action, "targetGroupArn")); arn != "" {
			arns = append(arns, arn)
		}
		for _, g := range list(field(field(action, "forward"), "targetGroups")) {
			if text(field(g, "weight")) != "0" {
				arns = append(arns, text(field(g, "arn")))
			}
		}
	}
	return arns
}

func list(v resource.PropertyValue) []resource.PropertyValue {
	if !v.IsArray() {
		return nil
	}
	return v.ArrayValue()
}

func field(v resource.PropertyValue, name resource.PropertyKey) resource.PropertyValue {
	if !v.IsObject() {
		return resource.PropertyValue{}
	}
	return v.ObjectValue()[name]
}

// Holds reports whether a thing of a rehearsed account holds data.
func Holds(r *rehearsal.Thing) bool {
	return Table()[r.Type].Holds(func(k string) (string, bool) {
		v, ok := r.Inputs[resource.PropertyKey(k)]
		return text(v), ok
	})
}
