package levels

import (
	"fmt"
	"maps"
	"slices"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/topology"
)

// builder puts together what levels have in common, region by region.
type builder struct {
	topology.Topology
	app config.App
	now topology.Topology // what stands
}

// newBuilder begins a topology in the home region, or in all regions of the
// application.
func newBuilder(app config.App, level int, now topology.Topology, regions ...string) *builder {
	b := &builder{topology.Topology{App: app.Name, Env: app.Env, Level: level,
		Maintenance: topology.Maintenance{Page: app.Page, RetryAfter: app.RetryAfter}, Generations: maps.Clone(now.Generations)}, app, now}
	if len(regions) == 0 {
		regions = app.Regions[:1]
	}
	for _, r := range regions {
		b.Regions = append(b.Regions, topology.Region{Name: r})
	}
	return b
}

// id is that of a node in a region, of the first generation.
func id(name, region string) string { return nameIn(name, region) + "-g1" }

// nameIn is an id without its generation.
func nameIn(name, region string) string { return name + "-" + config.RegionCode(region) }

// add puts a node into a region, with links to what it talks to.
func (b *builder) add(region, name string, n topology.Node, behind ...string) string {
	n.ID, n.Generation = b.ID(nameIn(name, region))
	n.Region, n.Exposure = region, topology.Private
	if n.Faces() {
		n.Exposure = topology.Public
	}
	b.Put(n, behind)
	return n.ID
}

// The names of stores: the shared database, and a service's own.
const sharedDB = "db"

func ownDB(service string) string { return service + "-db" }

// stores are what holds the application's state: one of each, at home, except
// that a database's leader stays where it leads.
func (b *builder) stores() error {
	if b.app.Database != nil {
		if err := b.database(sharedDB, ""); err != nil {
			return err
		}
	}
	if b.app.Files != nil && *b.app.Files {
		b.add(b.Home(), "files", topology.Node{Kind: topology.Files, Files: &topology.StoreSpec{}})
	}
	if b.app.Sessions {
		b.add(b.Home(), "sessions", topology.Node{Kind: topology.Sessions, Sessions: &topology.StoreSpec{}})
	}
	if b.app.Queue {
		b.add(b.Home(), "queue", topology.Node{Kind: topology.Queue, Queue: &topology.StoreSpec{}})
	}
	return nil
}

// database adds a leader, where it leads already or at home.
func (b *builder) database(name, service string) error {
	region := b.Home()
	if r, ok := b.leads(name); ok {
		region = r
	}
	if !slices.ContainsFunc(b.Regions, func(r topology.Region) bool { return r.Name == region }) {
		return &AppError{fmt.Sprintf("the database %s is led from %s, where level %d has nothing", name, region, b.Level),
			fmt.Sprintf("put %s first under regions, or go to level 4 and bring the leader home: scale failover --to %s", region, b.Home())}
	}
	b.add(region, name, topology.Node{Kind: topology.Database, Database: &topology.DatabaseSpec{Engine: b.app.Database.Engine, Size: b.app.Database.Size, Standby: b.Level >= standbyFrom, Service: service}})
	return nil
}

// standbyFrom is the level from which on the loss of one zone is no downtime.
const standbyFrom = 2

// pooler adds a region's pool of connections, where one is asked for.
func (b *builder) pooler(region string) {
	db := b.app.Database
	if db == nil || db.Pool == "" {
		return
	}
	var behind []string
	for _, n := range b.OfKind(topology.Database) {
		if !n.Replica() || n.Region == region {
			behind = append(behind, n.ID)
		}
	}
	// Another mode is another pooler: who was made for the one may not do with the other.
	b.add(region, "pooler-"+db.Pool, topology.Node{Kind: topology.Pooler, Pooler: &topology.PoolerSpec{Mode: db.Pool, Size: db.Size}}, behind...)
}

// leads is the region in which a database's leader stands now.
func (b *builder) leads(name string) (region string, ok bool) {
	for _, n := range b.now.OfKind(topology.Database) {
		if n.Name() == nameIn(name, n.Region) && !n.Replica() && !n.Fenced() {
			return n.Region, true
		}
	}
	return "", false
}

// behind are the ids of what a service's backends in a region talk to.
func (b *builder) behind(svc config.AppService, region string) []string {
	var ids []string
	for _, n := range b.Nodes {
		switch n.Kind {
		case topology.Database:
			own := b.Level >= ownFrom && svc.Database == config.DatabaseOwn
			if n.Replica() && n.Region != region || own != (n.Database.Service == svc.Name) || !own && n.Database.Service != "" {
				continue
			}
		case topology.Cache, topology.Pooler:
			if n.Region != region {
				continue
			}
		case topology.Files, topology.Sessions, topology.Queue:
		default:
			continue
		}
		ids = append(ids, n.ID)
	}
	return ids
}

// workers add what takes jobs from the queue, and what runs at times: at home, where the
// queue is.
func (b *builder) workers() {
	for _, w := range b.app.Workers {
		b.add(b.Home(), w.Name, topology.Node{Kind: topology.Worker, Worker: b.backend(w, "", w.Instances)}, b.behind(w, b.Home())...)
	}
	for _, j := range b.app.Schedule {
		spec := b.backend(j, "", 1)
		spec.At = j.At
		b.add(b.Home(), j.Name, topology.Node{Kind: topology.Job, Job: spec}, b.behind(j, b.Home())...)
	}
}

// static is a region's static servers' id, "" when the application has no static files.
func (b *builder) static(region string, servers int) string {
	s := b.app.Static
	if s == nil {
		return ""
	}
	return b.add(region, "static", topology.Node{Kind: topology.Static, Static: &topology.StaticSpec{Dir: s.Dir, Release: s.Release, Prefix: s.Route, Servers: servers}})
}

// backend is what runs of a service.
func (b *builder) backend(svc config.AppService, color string, instances int) *topology.BackendSpec {
	spec := &topology.BackendSpec{
		Service: svc.Name, Level: b.Level, Command: svc.Command, Image: svc.Image, Dir: svc.Dir, Migrate: svc.Migrate, Release: svc.Release, Color: color,
		Instances: instances, Env: svc.Env, Secrets: svc.Secrets, SecretsVersion: svc.SecretsVersion, Health: svc.Health,
		StartTimeout: svc.StartTimeout, StopTimeout: svc.StopTimeout, Calls: svc.Calls,
	}
	spec.Called = slices.ContainsFunc(b.app.Services, func(s config.AppService) bool { return slices.Contains(s.Calls, svc.Name) })
	if b.app.Static != nil {
		spec.StaticURL = b.app.Static.Route
	}
	return spec
}
