package levels

import (
	"fmt"
	"slices"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/topology"
)

// loadBalancer is level 2: one load balancer in front of several backends.
func loadBalancer() Level {
	return Level{
		Number:  2,
		Name:    "load balancer",
		Summary: "A load balancer in front of several backends: updates and the death of a backend without downtime.",
		Adds:    []string{"a load balancer", "blue and green pools of backends", "a second static server"},
		Components: []Component{
			{"entry", "1", topology.Public, "the public address, the same as at level 1; hands everything to the load balancer"},
			{"load balancer", "1", topology.Public, "shares requests out among pools by weight, asks backends for their health, tries idempotent requests again elsewhere"},
			{"backend pools", "2 colours of 2 or more", topology.Private, "blue and green: one takes the traffic, the other is empty until a change starts the new release in it"},
			{"database", "1", topology.Private, "the same as at level 1, untouched by the way here"},
			{"static servers", "2", topology.Private, "the release's files, behind the same load balancer"},
		},
		Advantages: []string{
			"A new release, new settings or another number of instances without downtime: new beside old, traffic shifted, old stopped.",
			"A backend that dies costs no idempotent request: the others take over within milliseconds.",
			"A release that answers with errors is noticed at a tenth of the traffic, and the way back is a weight.",
		},
		Disadvantages: []string{
			"The application must keep nothing on the node: sessions and files need a place that all instances share.",
			"Two releases run side by side during a change, on one database: each change of its schema must suit both.",
			"The load balancer and the database are still one of each: their loss is downtime.",
		},
		Decisions: []Decision{
			{"How is the load balancer itself updated?", "On this machine a newer scale takes its listening sockets over: the successor accepts before the predecessor stops, requests in flight are answered by whoever took them, and open WebSockets and event streams stay with the predecessor until they end. Weights, pools and rules change without a reload."},
			{"How is the load balancer protected?", "It is the only part that is public; backends, static servers and stores listen where only it and its links reach them. It buffers bodies up to 64 KiB, drops a backend that fails, and never repeats a request that is not idempotent once a backend has seen it."},
			{"Where does it stand relative to what it balances?", "In front, in the same region, one hop away: a request costs one more connection inside the machine or the network. It knows backends only by health and weight, and the database not at all."},
			{"What does the shared database ask of a release?", "That old and new run on one schema: add columns and tables first, use them in the next release, remove what is unused in the one after. 'migrate' runs before the new release takes traffic, while the old one still serves."},
			{"How is an idle colour reached before it takes traffic?", "With the header X-Scale-Color: green (or blue) through the public address. Leave authentication on: the header is open to everyone."},
			{"What about a POST whose backend dies?", "It may have been done, so it is not repeated: the client gets 502. A key that makes it idempotent is the application's answer."},
			{"When is it time for level 3?", "When users far away wait for every round trip, or when the same answers are computed again and again."},
		},
		Promises: []Promise{
			{"no downtime in a change", "36 walks in 120 s: 24,942 quick requests and 9,843 acknowledged writes, 0 failed, 0 lost", measure("TestNothingIsDroppedOnTheWay")},
			{"the death of a backend costs no idempotent request", "4 kills: no read failed; 10 of 135 writes got 502, none that was acknowledged was lost", measure("TestABackendIsKilledUnderLoad")},
		},
		Targets: []string{"local", "aws"},
		build:   buildLoadBalancer,
	}
}

// colors are the pools of a service at every level with a load balancer. They
// are permanent; which of them takes traffic is not.
var colors = []string{"blue", "green"}

// leastInstances is how many a pool needs so that one can go.
const leastInstances = 2

func buildLoadBalancer(app config.App, now topology.Topology) (topology.Topology, error) {
	b := newBuilder(app, 2, now)
	if err := b.stores(); err != nil {
		return b.Topology, err
	}
	b.pooler(b.Home())
	b.workers()
	if err := b.balanced(b.Home()); err != nil || !app.HTTPCache {
		return b.Topology, err
	}
	b.cdn()
	return b.Topology, nil
}

// balanced adds what level 2 has, in a region: an entry, a load balancer, both
// pools of every service, the static servers.
func (b *builder) balanced(region string) error {
	balancer, behind := &topology.LoadBalancerSpec{}, []string{}
	for _, svc := range b.app.Services {
		if svc.Instances == 0 {
			svc.Instances = leastInstances
		}
		if svc.Instances < leastInstances {
			return &AppError{fmt.Sprintf("level %d runs at least %d instances of each service, and services.%s.instances is %d", b.Level, leastInstances, svc.Name, svc.Instances),
				fmt.Sprintf("set it to %d or more, or leave it out", leastInstances)}
		}
		live := b.pools(region, svc)
		var shares []topology.Share
		for _, c := range colors {
			s := topology.Share{To: id(svc.Name+"-"+c, region), Color: c}
			if c == live {
				s.Weight = 100
			}
			shares, behind = append(shares, s), append(behind, s.To)
		}
		for _, r := range svc.Routes {
			balancer.Rules = append(balancer.Rules, topology.Rule{Path: r, Pools: slices.Clone(shares), Limits: limits(svc)})
		}
	}
	if static := b.static(region, 2); static != "" {
		balancer.Rules = append(balancer.Rules, topology.Rule{Path: b.app.Static.Route, Pools: []topology.Share{{To: static, Weight: 100}}})
		behind = append(behind, static)
	}
	lb := b.add(region, "lb", topology.Node{Kind: topology.LoadBalancer, LoadBalancer: balancer}, behind...)
	b.add(region, "entry", topology.Node{Kind: topology.Entry, Entry: &topology.EntrySpec{Routes: []topology.Route{{Path: "/", To: lb}}}}, lb)
	return nil
}

// limits are what the gateway keeps requests for a service to.
func limits(svc config.AppService) topology.Limits {
	if svc.Gateway == nil {
		return topology.Limits{}
	}
	return topology.Limits(*svc.Gateway)
}

// pools adds both colours of a service and returns the one that is to take the
// traffic: the one that does, unless it would have to change; then the other.
func (b *builder) pools(region string, svc config.AppService) (live string) {
	node := func(color string) topology.Node {
		return topology.Node{Kind: topology.Backend, Backend: b.backend(svc, color, svc.Instances)}
	}
	pool := func(color string) string { return id(svc.Name+"-"+color, region) }
	stores := b.behind(svc, region)
	live = colors[0]
	if was, ok := liveColor(b.now, pool); ok {
		live = was
		old, _ := b.now.Node(pool(was))
		if !sameRelease(*old.Backend, *node(was).Backend) || !slices.Equal(b.now.Behind(old.ID), slices.Sorted(slices.Values(stores))) {
			live = colors[1-slices.Index(colors, was)]
		}
	}
	for _, c := range colors {
		n := node(c)
		if c != live {
			if old, ok := b.now.Node(pool(c)); ok {
				n.Backend = old.Backend // what ran in it last
			}
			idle := *n.Backend
			idle.Instances = 0
			n.Backend = &idle
		}
		b.add(region, svc.Name+"-"+c, n, stores...)
	}
	return live
}

// liveColor is the colour with the greatest weight, given the pools' ids.
func liveColor(t topology.Topology, pool func(color string) string) (string, bool) {
	best, live := 0, ""
	for _, c := range colors {
		if w := weight(t, pool(c)); w > best {
			best, live = w, c
		}
	}
	return live, live != ""
}

// weight is the greatest that a load balancer gives a pool.
func weight(t topology.Topology, pool string) int {
	w := 0
	for _, n := range t.OfKind(topology.LoadBalancer) {
		for _, r := range n.LoadBalancer.Rules {
			for _, s := range r.Pools {
				if s.To == pool {
					w = max(w, s.Weight)
				}
			}
		}
	}
	return w
}

// sameRelease reports whether two pools run the same thing, however many of it.
func sameRelease(a, b topology.BackendSpec) bool {
	a.Instances, a.Color, b.Instances, b.Color = 0, "", 0, ""
	return topology.Node{Backend: &a}.Equal(topology.Node{Backend: &b})
}
