package levels

import (
	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/topology"
)

// builder puts together what levels have in common.
type builder struct {
	topology.Topology
	app config.App
}

func newBuilder(app config.App, level int) *builder {
	return &builder{topology.Topology{App: app.Name, Env: app.Env, Level: level, Regions: []topology.Region{{Name: app.Regions[0]}},
		Maintenance: topology.Maintenance{Page: app.Page, RetryAfter: app.RetryAfter}}, app}
}

// id is the name of a node in the home region, of the first generation.
func (b *builder) id(name string) string {
	return name + "-" + config.RegionCode(b.Home()) + "-g1"
}

// add puts a node into the home region, with links to what it talks to.
func (b *builder) add(name string, n topology.Node, behind ...string) string {
	n.ID, n.Region, n.Generation = b.id(name), b.Home(), 1
	if n.Exposure == "" {
		n.Exposure = topology.Private
	}
	b.Put(n, behind)
	return n.ID
}

// stores are what holds the application's state, by the ids that backends link to.
func (b *builder) stores() []string {
	var ids []string
	if db := b.app.Database; db != nil {
		ids = append(ids, b.add("db", topology.Node{Kind: topology.Database, Database: &topology.DatabaseSpec{Engine: db.Engine, Size: db.Size}}))
	}
	if b.app.Files != nil && *b.app.Files {
		ids = append(ids, b.add("files", topology.Node{Kind: topology.Files, Files: &topology.StoreSpec{}}))
	}
	if b.app.Sessions {
		ids = append(ids, b.add("sessions", topology.Node{Kind: topology.Sessions, Sessions: &topology.StoreSpec{}}))
	}
	return ids
}

// static is the static servers' id, "" when the application has no static files.
func (b *builder) static(servers int) string {
	s := b.app.Static
	if s == nil {
		return ""
	}
	return b.add("static", topology.Node{Kind: topology.Static, Static: &topology.StaticSpec{Dir: s.Dir, Release: s.Release, Prefix: s.Route, Servers: servers}})
}

// backend is what runs of a service.
func (b *builder) backend(svc config.AppService, color string, instances int) *topology.BackendSpec {
	spec := &topology.BackendSpec{
		Service: svc.Name, Level: b.Level, Command: svc.Command, Dir: svc.Dir, Migrate: svc.Migrate, Release: svc.Release, Color: color,
		Instances: instances, Env: svc.Env, Secrets: svc.Secrets, SecretsVersion: svc.SecretsVersion, Health: svc.Health,
		StartTimeout: svc.StartTimeout, StopTimeout: svc.StopTimeout,
	}
	if b.app.Static != nil {
		spec.StaticURL = b.app.Static.Route
	}
	return spec
}
