package aws

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/aws/program"
)

// Live is the program with its verbs: the files of a release lie in their bucket before
// anything fetches them, and its migrations have run before it takes requests. That they
// were is noted there, in the account: whoever goes on after a kill does what is left.
func (a *AWS) Live(ctx context.Context, t topology.Topology, pins map[string]string, waiting func(string)) pulumi.RunFunc {
	s := a.settings(pins)
	s.Verbs = program.Verbs{
		Publish: func(bucket string, s topology.StaticSpec) error {
			var files fs.FS
			if s.Dir != "" {
				files = os.DirFS(s.Dir)
			}
			waiting("the files of release " + s.Release)
			over, err := a.verbs.Publish(ctx, t.Home(), bucket, s.Release, files)
			if err != nil || !over || len(t.OfKind(topology.CDN)) == 0 {
				return err
			}
			return a.verbs.Invalidate(ctx, a.Domain, s.Prefix)
		},
		Move: func(task program.Task, m topology.MoveSpec) error {
			waiting("the tables of " + m.Service)
			return a.moveTables(ctx, task, m, waiting)
		},
		Run: func(task program.Task) error {
			waiting("the migrations of " + task.Once)
			if err := a.verbs.Run(ctx, task, waiting); err != nil {
				return fmt.Errorf("migrations of %s: %w", task.Once, err)
			}
			return nil
		},
	}
	return program.Run(t, s)
}
