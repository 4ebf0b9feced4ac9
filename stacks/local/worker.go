//go:build unix

package local

import (
	"context"
	"maps"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
)

// worker is a process an instance, started once the migrations of its release have run. Its
// predecessor has ended by then: the queue waits.
func (p *program) worker(n topology.Node, c pulumi.Resource) error {
	for i := range n.Worker.Instances {
		if err := p.runs(typeWorker, instance(n.ID, i+1), n, c, nil); err != nil {
			return err
		}
	}
	return nil
}

// job is a command that the agent runs at its times.
func (p *program) job(n topology.Node, c pulumi.Resource) error {
	return p.runs(typeJob, n.ID, n, c, pulumi.Map{"at": pulumi.String(n.Job.At)})
}

func (p *program) runs(typ, name string, n topology.Node, c pulumi.Resource, more pulumi.Map) error {
	in := pulumi.Map{
		"node": pulumi.String(n.ID), "command": pulumi.ToStringArray(n.Runs().Command), "dir": pulumi.String(n.Runs().Dir), "env": p.environment(n, 0),
		"release": pulumi.String(n.Runs().Release), "stopTimeout": pulumi.Int(n.Runs().StopTimeout),
	}
	maps.Copy(in, more)
	r, err := p.resource(typ, name, in, c, append(p.behind(n.ID), p.tasks...))
	p.made[n.ID] = append(p.made[n.ID], r)
	return err
}

func (l *Local) putWorker(ctx context.Context, r engine.Request) error {
	p, err := process(r)
	if err != nil {
		return err
	}
	// What it is a release of is part of what it is.
	p.Env = append(p.Env, "SCALE_RELEASE="+r.Inputs["release"].StringValue())
	if at := r.Inputs["at"]; at.IsString() {
		p.Kind, p.At = "job", at.StringValue()
	} else {
		p.Kind, p.Health.Stays = "worker", stays
	}
	p.StartTimeout, p.StopTimeout, p.Stop = time.Minute, seconds(r.Inputs["stopTimeout"]), "TERM"
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	return c.PutProcess(ctx, p, r.Waiting)
}
