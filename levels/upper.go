package levels

// The levels above 2 are described here so that a person sees where the ladder
// leads. They cannot be built yet; each moves to a file of its own when it can.

func cdnCaching() Level {
	return Level{
		Number:  3,
		Name:    "regions, CDN and cache",
		Summary: "Load balancers in several regions, a CDN in front and an in-memory cache beside the backends.",
		Adds:    []string{"regional load balancers", "CDN edges", "an in-memory cache a region", "latency-routed DNS"},
	}
}

func replicas() Level {
	return Level{
		Number:  4,
		Name:    "database replication",
		Summary: "One leader that is written to, and a replica to read from in every other region.",
		Adds:    []string{"a database replica a region", "failover"},
	}
}

func microservices() Level {
	return Level{
		Number:  5,
		Name:    "microservices",
		Summary: "Services with databases and release cycles of their own, behind one gateway.",
		Adds:    []string{"a gateway", "service discovery", "a database a service"},
	}
}
