package levels

import (
	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/topology"
)

// microservices is level 5: services that are released and stored separately.
func microservices() Level {
	return Level{
		Number:  5,
		Name:    "microservices",
		Summary: "Services with databases and release cycles of their own, behind one gateway.",
		Adds:    []string{"a gateway", "service discovery", "a database a service"},
		Components: []Component{
			{"gateway", "1 a region", topology.Public, "the load balancer, by path and host; timeouts, retries and circuit breaking for each service"},
			{"service pools", "2 colours each", topology.Private, "a service and region: each with its own release, settings and number of instances"},
			{"database", "own or shared", topology.Private, "with credentials that open that service's data and no other's"},
			{"discovery", "1 a region", topology.Private, "SERVICE_<NAME>_URL, through a name that survives moves"},
			{"identity", "1 a link", topology.Private, "a short-lived signed token on every call between services, checked by the receiver"},
		},
		Advantages: []string{
			"A team releases when it is ready, and a bad release is one service's.",
			"Each service scales, and fails, by itself.",
			"A service's data can be kept in the way that suits it.",
		},
		Disadvantages: []string{
			"A call that was a function is a request: it can be slow, fail, or have happened when no answer came.",
			"What was one transaction is several: consistency is the application's work.",
			"Everything is there once for each service: pools, databases, alarms, people who know it.",
		},
		Decisions: []Decision{
			{"Where is the cut?", "Along data that is written together. Two services that write the same table are one service."},
			{"Own database, or shared?", "Shared first: the service moves, its tables stay. Then its own: copied, kept in step, counted, switched; the old tables stay until they are told to go."},
			{"What does a service do while another is down?", "Answer with less. A timeout on every call, a retry only for what may happen twice, and a circuit that opens before the queue does."},
			{"Who may call whom?", "What is linked, and nothing else: the link carries the credentials."},
		},
		Promises: []Promise{
			{"a release is one service's", "its instances are replaced under load, nobody else's; 0 of 35,954 requests failed on the way 4 → 5 → release → 4", measure("TestLevel5IsReachedAndLeftUnderLoad")},
			{"and so are its failures", "a service that hangs: three requests wait for its time limit, then callers hear 503 at once and answer with less", measure("TestServicesCallEachOther")},
			{"a service's data is its own", "with its own credentials neither it nor the others open the other's database", measure("TestAServiceHasItsOwnDatabase")},
			{"a service's tables move to its own database, and back", "4 → 5 → 4 under load from two regions: 30,457 requests, 11,110 acknowledged writes, 4,121 likes: 0 failed, 0 lost; requests to the service wait 0.1 to 0.2 s", measure("TestTablesMoveUnderLoad")},
			{"writes are shared out among leaders", "1,000 writes, half of them likes: 1,888 transactions of one leader at level 4, 1,476 and 511 of two at level 5 with a database of their own (medians of 3)", "scale bench 'POST /api/entries {\"name\":\"a\",\"message\":\"b\"}' 'POST /api/likes/1' --from us-east-1 --rate 100 --for 10s"},
			{"who calls is known", "no call without a token for that link, ten minutes old at most", measure("TestServicesCallEachOther")},
		},
		Targets: []string{"local", "aws"},
		build:   buildMicroservices,
	}
}

// ownFrom is the level from which on a service may have a database of its own.
const ownFrom = 5

func buildMicroservices(app config.App, now topology.Topology) (topology.Topology, error) {
	b := newBuilder(app, 5, now, app.Regions...)
	if app.Target == config.DefaultTarget && len(app.Services) < 2 {
		return b.Topology, &AppError{"level 5 is for several services, and the application has one: " + app.Services[0].Name,
			"name another one under services, or stay at level 4"}
	}
	if err := b.stores(); err != nil {
		return b.Topology, err
	}
	for _, svc := range app.Services {
		if svc.Database == config.DatabaseOwn {
			if err := b.database(ownDB(svc.Name), svc.Name); err != nil {
				return b.Topology, err
			}
		}
	}
	b.replicas()
	return b.Topology, b.regional()
}
