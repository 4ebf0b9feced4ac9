//go:build unix

package local

import (
	"context"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
)

// worker is a process an instance, started once the migrations of its release have run. Its
// predecessor has ended by then: the queue waits.
func (p *program) worker(n topology.Node, c pulumi.Resource) error {
	w, after := n.Worker, append(p.behind(n.ID), p.tasks...)
	for i := range w.Instances {
		name := instance(n.ID, i+1)
		in, err := p.resource(typeWorker, name, pulumi.Map{
			"node": pulumi.String(n.ID), "command": pulumi.ToStringArray(w.Command), "dir": pulumi.String(w.Dir), "env": p.environment(n, 0),
			"release": pulumi.String(w.Release), "stopTimeout": pulumi.Int(w.StopTimeout),
		}, c, after)
		if err != nil {
			return err
		}
		p.made[n.ID] = append(p.made[n.ID], in)
	}
	return nil
}

// stays is how long a worker must have run to count as one that works: it listens nowhere,
// so that nothing can be asked of it.
const stays = time.Second

func (l *Local) putWorker(ctx context.Context, r engine.Request) error {
	p, err := process(r)
	if err != nil {
		return err
	}
	p.Kind, p.Health.Stays = "worker", stays
	p.StartTimeout, p.StopTimeout, p.Stop = time.Minute, seconds(r.Inputs["stopTimeout"]), "TERM"
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	return c.PutProcess(ctx, p, r.Waiting)
}
