//go:build unix

package local

import (
	"context"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
)

// files is the directory that an application without one of its own works in.
func (p *program) files(n topology.Node, c pulumi.Resource) error {
	dir, err := p.resource(typeFiles, n.ID, pulumi.Map{"node": pulumi.String(n.ID)}, c, nil, pulumi.Protect(true))
	p.made[n.ID] = append(p.made[n.ID], dir)
	return err
}

func (l *Local) filesDir(name string) string { return filepath.Join(l.Root, "data", name) }

func (l *Local) createFiles(_ context.Context, r engine.Request) (resource.PropertyMap, error) {
	out := r.Inputs.Copy()
	out["path"], out[engine.StateKey] = text(l.filesDir(r.Name)), text(present)
	if r.Preview {
		return out, nil
	}
	if err := os.MkdirAll(filepath.Join(l.Root, "data"), dirMode()); err != nil {
		return nil, err
	}
	return out, os.MkdirAll(l.filesDir(r.Name), 0o700)
}

func (l *Local) readFiles(r engine.Request) resource.PropertyMap {
	out := r.Olds.Copy()
	if _, err := os.Stat(l.filesDir(r.Name)); err == nil {
		out["path"], out[engine.StateKey] = text(l.filesDir(r.Name)), text(present)
		return out
	}
	if _, was := r.Olds["path"]; !was {
		return nil
	}
	out[engine.StateKey] = text(engine.Missing)
	return out
}
