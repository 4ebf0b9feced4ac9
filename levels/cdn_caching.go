package levels

import (
	"cmp"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/topology"
)

// cdnCaching is level 3: load balancers in several regions, with CDN edges in front
// and an in-memory cache beside the backends.
func cdnCaching() Level {
	return Level{
		Number:  3,
		Name:    "regions, CDN and cache",
		Summary: "Load balancers in several regions, a CDN in front and an in-memory cache beside the backends.",
		Adds:    []string{"regional load balancers", "CDN edges", "an in-memory cache a region", "latency-routed DNS"},
		Components: []Component{
			{"DNS name", "1", topology.Public, "answers with the region that suits who asks: by latency, place, weight, or the next one when a region fails"},
			{"CDN edge", "1 a region", topology.Public, "keeps what may be kept, near the user; purged by path and by release"},
			{"load balancer", "1 a region", topology.Public, "as at level 2, in each region"},
			{"backend pools", "2 colours a region", topology.Private, "as at level 2; a change goes region by region, the smallest first"},
			{"cache", "1 a region", topology.Private, "Redis or Valkey, beside the backends that fill it"},
			{"database", "1, at home", topology.Private, "the same as before: other regions reach it over the distance"},
			{"static servers", "2 a region", topology.Private, "where the CDN fetches what it does not have"},
		},
		Advantages: []string{
			"A distant user gets files and cached answers without the long way.",
			"A region can fail: DNS sends its users to the next one.",
			"The database is asked less: what is asked again and again is answered from memory.",
		},
		Disadvantages: []string{
			"What is cached can be stale, and how stale is a decision for each answer.",
			"A write from a distant region still makes the whole way to the one database.",
			"Each region costs as much as level 2 does, used or not.",
		},
		Decisions: []Decision{
			{"What may be stale, and for how long?", "A time to live is the simplest. Where that is not good enough, a write sends a notification to every region's cache; what is shown to whoever just wrote bypasses it."},
			{"Are queries cached, or objects?", "Cached queries are easy to add and hard to invalidate: one write can touch many. Cached objects are invalidated by their key, and assembled for each answer."},
			{"What may the CDN keep?", "Files of a release under names that change with them, for ever; pages for everyone, for seconds; nothing that belongs to one user, which the application says with Cache-Control."},
			{"Which region answers whom?", "The one with the least latency. By place where the law wants it, by weight to try a region out."},
			{"When is it time for level 4?", "When reads from distant regions wait for the database at home more often than the cache can help."},
		},
		Promises: []Promise{
			{"a distant user gets files from near by", "0.3 ms, against 71.6 ms from home (medians of 21)", measure("TestLevel3IsNearItsUsers")},
			{"and cached answers", "0.9 ms, against 72.5 ms from home", measure("TestLevel3IsNearItsUsers")},
			{"users of a region that does not answer are led elsewhere", "5.8 s: two health checks of 2 s, and at most 2 s for which an answer may be remembered", measure("TestNameFollowsTheRegions")},
			{"no downtime on the way there, in a release, and on the way back", "10,707 requests and 4,081 acknowledged writes from two regions, 0 failed, 0 lost", measure("TestLevel3IsReachedAndLeftUnderLoad")},
		},
		Targets: []string{"local", "aws"},
		build:   buildCDNCaching,
	}
}

func buildCDNCaching(app config.App, now topology.Topology) (topology.Topology, error) {
	b := newBuilder(app, 3, now, app.Regions...)
	if err := b.stores(); err != nil {
		return b.Topology, err
	}
	return b.Topology, b.regional()
}

// regional adds what level 3 has besides the stores: in every region a cache and
// what level 2 has, and in front of the regions the CDN and the name.
func (b *builder) regional() error {
	for _, r := range b.Regions {
		b.cache(r.Name)
		b.pooler(r.Name)
		if err := b.balanced(r.Name); err != nil {
			return err
		}
	}
	b.workers()
	b.name(b.cdn())
	return nil
}

// cache adds a region's in-memory cache.
func (b *builder) cache(region string) {
	b.add(region, "cache", topology.Node{Kind: topology.Cache, Cache: &topology.CacheSpec{Size: "small"}})
}

// cdn adds the edges in front of every region's entry.
func (b *builder) cdn() string {
	spec := &topology.CDNSpec{}
	for _, r := range b.Regions {
		spec.Origins = append(spec.Origins, id("entry", r.Name))
	}
	if s := b.app.Static; s != nil {
		spec.Static, spec.Prefix = s.Release, s.Route
	}
	return b.add(b.Home(), "cdn", topology.Node{Kind: topology.CDN, CDN: spec}, spec.Origins...)
}

// name adds the application's name, which leads to the CDN.
func (b *builder) name(cdn string) {
	b.add(b.Home(), "dns", topology.Node{Kind: topology.DNS, DNS: &topology.DNSSpec{Policy: cmp.Or(topology.Policy(b.app.Routing), topology.Latency), Weights: b.app.Weights, To: cdn}}, cdn)
}
