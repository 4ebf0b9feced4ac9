package local

import (
	"time"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
)

// The resource types of the local target.
const (
	typeDataDirectory = "local:index:DataDirectory" // a database's files
	typePostgres      = "local:index:Postgres"      // the server on them
	typeStandbys      = "local:index:Standbys"      // the replicas that a leader waits for
	typeMove          = "local:index:Move"          // tables on their way to another database
	typeDirectory     = "local:index:Directory"     // a store's files
	typeFileStore     = "local:index:FileStore"     // the S3-compatible server on them
	typeSessionStore  = "local:index:SessionStore"  // the Redis or Valkey server on them
	typeQueue         = "local:index:Queue"         // the same, of a queue
	typeWorker        = "local:index:Worker"        // one process of a worker
	typeJob           = "local:index:Job"           // a command that runs at times
	typeTask          = "local:index:Task"          // a command that runs to its end
	typeInstance      = "local:index:Instance"      // one process of a backend
	typeStatic        = "local:index:StaticServer"
	typeBalancer      = "local:index:LoadBalancer"
	typeEntry         = "local:index:Entry"
	typeLink          = "local:index:Link"    // a way into another region, as long as it is there
	typePooler        = "local:index:Pooler"  // PgBouncer before the databases of a region
	typeCache         = "local:index:Cache"   // the Redis or Valkey server of a region
	typeCDNEdge       = "local:index:CDNEdge" // in front of a region's entry
	typeCall          = "local:index:Call"    // the way of one service to another
	typeName          = "local:index:Name"    // the server of the application's name
)

const (
	measured = "read off the progress of ups and downs; 2 cores, PostgreSQL 15.18"
	running  = "running"
	stopped  = "stopped"
	present  = "present"
)

// stays is how long a worker must have run to count as one that works: it listens nowhere,
// so that nothing can be asked of it.
const stays = time.Second

// Table is what planning, guarding and rehearsing must know of the types.
var Table = plan.Table{
	typeDataDirectory: {
		// A replica's files are a copy: whoever leads has the data.
		HoldsData: true, DataIf: "!leader", Fixed: []string{"leader"},
		Required: []string{"node", "engine", "adminPassword"}, Optional: []string{"leader", "leaderPort", "via", "replication", "fenced"}, Replaces: []string{"engine"},
		Unwatched: []string{"adminPassword", "leaderPort", "via", "replication"}, Outputs: map[string]string{"path": "/data", "major": "15"},
		State: []string{present, engine.Missing}, Create: 600 * time.Millisecond, Delete: 50 * time.Millisecond, Source: measured,
	},
	typePostgres: {
		Required: []string{"node", "data", "major", "port", "size", "adminPassword", "user", "database", "password"},
		Optional: []string{"leader", "leaderPort", "via", "replication"}, Unwatched: []string{"leaderPort"},
		State: []string{running, stopped}, Create: 80 * time.Millisecond, Update: 120 * time.Millisecond, Delete: 40 * time.Millisecond, Source: measured,
	},
	typeStandbys: {
		Required: []string{"node", "port", "adminPassword", "replicas"}, Unwatched: []string{"adminPassword"}, State: []string{present},
		Create: 10 * time.Millisecond, Update: 10 * time.Millisecond, Delete: 10 * time.Millisecond, Source: measured,
	},
	typeMove: {
		Required:  []string{"node", "service", "tables", "switched", "from", "fromPort", "via", "fromPassword", "to", "toPort", "toPassword", "password", "pools"},
		Unwatched: []string{"fromPort", "via", "fromPassword", "toPort", "toPassword", "password", "pools"}, State: []string{present},
		Create: time.Second, Update: 200 * time.Millisecond, Delete: 50 * time.Millisecond, Source: "of a few rows; it grows with what is copied, and counted",
	},
	typeDirectory: {
		HoldsData: true, Required: []string{"node"}, Outputs: map[string]string{"path": "/files"},
		State: []string{present, engine.Missing}, Create: 5 * time.Millisecond, Delete: 20 * time.Millisecond, Source: measured,
	},
	typeFileStore: {
		Required: []string{"node", "data", "port", "access", "secret", "bucket"},
		State:    []string{running, stopped}, Create: 200 * time.Millisecond, Update: 250 * time.Millisecond, Delete: 40 * time.Millisecond, Source: measured,
	},
	typeSessionStore: {
		Required: []string{"node", "data", "port", "password"},
		State:    []string{running, stopped}, Create: 50 * time.Millisecond, Update: 80 * time.Millisecond, Delete: 40 * time.Millisecond, Source: measured,
	},
	typeQueue: {
		Required: []string{"node", "data", "port", "password"},
		State:    []string{running, stopped}, Create: 50 * time.Millisecond, Update: 80 * time.Millisecond, Delete: 40 * time.Millisecond, Source: measured,
	},
	typeWorker: {
		Required: []string{"node", "command", "dir", "env", "stopTimeout", "release"},
		State:    []string{running, stopped}, Create: stays, Update: stays, Delete: 50 * time.Millisecond, Source: "it must have run that long",
	},
	typeJob: {
		Required: []string{"node", "command", "dir", "env", "stopTimeout", "release", "at"},
		State:    []string{running, stopped}, Create: 10 * time.Millisecond, Update: 10 * time.Millisecond, Delete: 10 * time.Millisecond, Source: measured,
	},
	typeTask: {
		Required: []string{"node", "command", "dir", "env", "release"}, Optional: []string{"timeout"},
		Unwatched: []string{"timeout"}, Outputs: map[string]string{"done": "true"},
		Create: time.Second, Update: time.Second, Source: "a guess: it depends on the command",
	},
	typeInstance: {
		Required:  []string{"node", "command", "dir", "env", "port", "health", "startTimeout", "stopTimeout", "release"},
		Unwatched: []string{"startTimeout"},
		State:     []string{running, stopped}, Create: 150 * time.Millisecond, Update: 200 * time.Millisecond, Delete: 50 * time.Millisecond,
		Source: measured,
	},
	typeStatic: {
		Required: []string{"node", "dir", "prefix", "port", "release"},
		State:    []string{running, stopped}, Create: 20 * time.Millisecond, Update: 20 * time.Millisecond, Delete: 10 * time.Millisecond, Source: measured,
	},
	typeBalancer: {
		Required: []string{"node", "rules"},
		State:    []string{running, stopped}, Create: 5 * time.Millisecond, Update: 5 * time.Millisecond, Delete: 5 * time.Millisecond, Source: measured,
	},
	typeEntry: {
		Required: []string{"node", "port", "routes"}, Optional: []string{"host", "maintenance"},
		State: []string{running, stopped}, Create: 10 * time.Millisecond, Update: 5 * time.Millisecond, Delete: 10 * time.Millisecond, Source: measured,
	},
	typeLink: {
		Required: []string{"node", "from", "host", "port", "to", "roundTrip"},
		State:    []string{running, stopped}, Create: 5 * time.Millisecond, Update: 5 * time.Millisecond, Delete: 5 * time.Millisecond, Source: measured,
	},
	typeCache: {
		Required: []string{"node", "port", "size", "password"},
		State:    []string{running, stopped}, Create: 50 * time.Millisecond, Update: 80 * time.Millisecond, Delete: 40 * time.Millisecond, Source: measured,
	},
	typePooler: {
		Required: []string{"node", "port", "mode", "size", "databases"},
		State:    []string{running, stopped}, Create: 50 * time.Millisecond, Update: 10 * time.Millisecond, Delete: 40 * time.Millisecond, Source: measured,
	},
	typeCDNEdge: {
		Required: []string{"node", "entry", "release", "prefix"},
		State:    []string{running, stopped}, Create: 5 * time.Millisecond, Update: 5 * time.Millisecond, Delete: 5 * time.Millisecond, Source: measured,
	},
	typeCall: {
		Required: []string{"node", "from", "service", "domain", "port", "balancers", "pools"},
		State:    []string{running, stopped}, Create: 5 * time.Millisecond, Update: 5 * time.Millisecond, Delete: 5 * time.Millisecond, Source: measured,
	},
	typeName: {
		Required: []string{"node", "name", "policy", "ttl", "port", "regions"},
		State:    []string{running, stopped}, Create: 5 * time.Millisecond, Update: 5 * time.Millisecond, Delete: 5 * time.Millisecond, Source: measured,
	},
}
