//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// static is the servers of the release's files, which are copied: what is edited
// in the project goes live with the next 'up', not before.
func (p *program) static(n topology.Node, c pulumi.Resource) error {
	for i := range n.Static.Servers {
		name := staticServer(n.ID, i+1)
		s, err := p.resource(typeStatic, name, pulumi.Map{
			"node": pulumi.String(n.ID), "dir": pulumi.String(n.Static.Dir), "prefix": pulumi.String(n.Static.Prefix),
			"release": pulumi.String(n.Static.Release), "port": pulumi.Int(portOf(p.pins, name)),
		}, c, nil)
		if err != nil {
			return err
		}
		p.made[n.ID] = append(p.made[n.ID], s)
	}
	return nil
}

// staticServer is the name of the i-th server of a node, from 1. The first keeps
// the node's own name, which it has where it is the only one.
func staticServer(node string, i int) string {
	if i == 1 {
		return node
	}
	return instance(node, i)
}

func (l *Local) staticDir(node string) string { return filepath.Join(l.Root, "static", node) }

// putStatic copies the release beside the ones before it and switches to it in
// one moment.
func (l *Local) putStatic(ctx context.Context, r engine.Request) error {
	in := r.Inputs
	base, release := l.staticDir(r.Name), in["release"].StringValue()
	if err := os.MkdirAll(base, 0o700); err != nil {
		return err
	}
	if err := l.copyRelease(in["dir"].StringValue(), filepath.Join(base, release)); err != nil {
		return fmt.Errorf("copy the static files: %w", err)
	}
	if err := switchLink(filepath.Join(base, "current"), release); err != nil {
		return err
	}
	if err := prune(base, release); err != nil {
		return err
	}
	return l.putEdge(ctx, agent.Edge{Name: r.Name, Node: in["node"].StringValue(), Kind: "static", Port: int(in["port"].NumberValue()), Tag: tag(r),
		Root: filepath.Join(base, "current"), Prefix: in["prefix"].StringValue()})
}

func (l *Local) copyRelease(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	src := l.Example
	if from != "" {
		src = os.DirFS(from)
	}
	tmp := to + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := copyTree(tmp, src); err != nil {
		return err
	}
	return os.Rename(tmp, to)
}

// copyTree copies plain files and directories, and leaves links and the like out.
func copyTree(to string, src fs.FS) error {
	return fs.WalkDir(src, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dst := filepath.Join(to, p)
		if d.IsDir() {
			return os.MkdirAll(dst, 0o700)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		in, err := src.Open(p)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

// switchLink makes a link point elsewhere in one moment.
func switchLink(link, to string) error {
	tmp := link + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(to, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, link)
}

// keepReleases is how many old releases stay: a page that was loaded before a
// release asks for its files after it.
const keepReleases = 2

func prune(base, current string) error {
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	type old struct {
		name string
		at   int64
	}
	var olds []old
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && e.Name() != current {
			olds = append(olds, old{e.Name(), info.ModTime().UnixNano()})
		}
	}
	var errs []error
	for len(olds) > keepReleases {
		first := 0
		for i, o := range olds {
			if o.at < olds[first].at {
				first = i
			}
		}
		errs = append(errs, os.RemoveAll(filepath.Join(base, olds[first].name)))
		olds = append(olds[:first], olds[first+1:]...)
	}
	return errors.Join(errs...)
}

func (l *Local) deleteStatic(ctx context.Context, name string) error {
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	return errors.Join(c.DeleteEdge(ctx, name), os.RemoveAll(l.staticDir(name)))
}
