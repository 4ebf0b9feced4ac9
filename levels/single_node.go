package levels

import (
	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/topology"
)

// singleNode is level 1: everything on one machine, behind one address.
func singleNode() Level {
	return Level{
		Number:  1,
		Name:    "single node",
		Summary: "One machine runs the backend, its database and its static files behind one address.",
		Adds:    []string{"an entry (the public address)", "a backend", "a private database", "a static server"},
		Components: []Component{
			{"entry", "1", topology.Public, "the public address; sends requests to the backend or the static server, and answers with the maintenance page while they change"},
			{"backend", "1", topology.Private, "the application's own command; 'instances' runs several of them on the same machine"},
			{"database", "1", topology.Private, "PostgreSQL, reachable by the backend alone; it keeps its place at every later level"},
			{"static server", "1", topology.Private, "the release's files; a release is switched in one moment"},
		},
		Advantages: []string{
			"The least there is to pay for, to understand and to go wrong.",
			"No network between the parts: the lowest latency that the application can have.",
			"Nothing in the application has to know about other instances: files and sessions may live on the node.",
		},
		Disadvantages: []string{
			"Every update of the backend or the database is downtime, and so is the loss of the machine.",
			"The machine's size is the limit, and backend and database compete for it.",
			"One region: a distant user waits for every round trip.",
		},
		Decisions: []Decision{
			{"When may the application be down for an update?", "'maintenance.window' in scale.yaml, or 'scale up --at TIME'; meanwhile the entry answers 503 with Retry-After and a page of yours ('maintenance.page')."},
			{"Where do uploaded files and sessions live?", "On the node they are the simplest. From level 2 on a second instance must see them: keep sessions in the database, in signed cookies or in the session store ('sessions: true'), and files in the file store ('files: true'), and level 2 needs no change."},
			{"Which database settings can never change in place?", "Engine, name and user are fixed at level 1; 'database.size' can change at any time, with a restart."},
			{"When is it time for level 2?", "When an update at three in the morning is no longer good enough, or when one machine is no longer enough for backend and database together."},
		},
		Targets: []string{"local", "aws"},
		build:   buildSingleNode,
	}
}

func buildSingleNode(app config.App, now topology.Topology) (topology.Topology, error) {
	b := newBuilder(app, 1, now)
	if err := b.stores(); err != nil {
		return b.Topology, err
	}
	entry, behind := &topology.EntrySpec{}, []string{}
	for _, svc := range app.Services {
		spec := b.backend(svc, "blue", max(svc.Instances, 1))
		spec.Routes = svc.Routes
		backend := b.add(b.Home(), svc.Name, topology.Node{Kind: topology.Backend, Backend: spec}, b.behind(svc, b.Home())...)
		behind = append(behind, backend)
		for _, r := range svc.Routes {
			entry.Routes = append(entry.Routes, topology.Route{Path: r, To: backend})
		}
	}
	b.workers()
	if static := b.static(b.Home(), 1); static != "" {
		entry.Routes, behind = append(entry.Routes, topology.Route{Path: app.Static.Route, To: static}), append(behind, static)
	}
	b.add(b.Home(), "entry", topology.Node{Kind: topology.Entry, Entry: entry}, behind...)
	return b.Topology, nil
}
