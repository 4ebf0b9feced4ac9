package levels

import (
	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/topology"
)

// replicas is level 4: one database that is written to, and copies to read from.
func replicas() Level {
	return Level{
		Number:  4,
		Name:    "database replication",
		Summary: "One leader that is written to, and a replica to read from in every other region.",
		Adds:    []string{"a database replica a region", "failover"},
		Components: []Component{
			{"leader", "1", topology.Private, "the database as it was; all writes go there (DATABASE_URL)"},
			{"replica", "1 a region", topology.Private, "in every region but the leader's: follows it by streaming replication; reads stay in the region (DATABASE_REPLICA_URL)"},
			{"level 3", "all of it", topology.Private, "unchanged"},
		},
		Advantages: []string{
			"Reads are answered in the user's own region.",
			"The loss of the leader is a failover of seconds or minutes, no restore from a backup.",
			"Backups and reports can be taken from a replica.",
		},
		Disadvantages: []string{
			"A replica is behind by its lag: who has just written may not find it there.",
			"An unplanned failover can lose what had not been copied yet, unless every write waits for a replica.",
			"Writes still go to one region, and one machine bounds them.",
		},
		Decisions: []Decision{
			{"Which reads may be behind?", "Lists, searches and other people's pages. Whoever has just written reads from the leader for a moment."},
			{"Does a write wait for a replica?", "Not by default. With 'database.replication: sync' a write is acknowledged once a replica has it on its disk too: it costs a round trip, and while no replica runs, writes wait. Where no acknowledged write may ever be lost, it is worth it."},
			{"Who decides on a failover?", "A person, with one command, when two regions merely cannot see each other. Where there is exactly one that can tell, as on a single machine, it may: 'database.failover: automatic'."},
			{"How is a second leader prevented?", "The old one is fenced before the new one is promoted: it refuses writes even if it comes back by itself, and rejoins as a replica from a fresh copy."},
			{"When is it time for level 5?", "When teams wait for each other's releases, or one part of the data outgrows the rest."},
		},
		Promises: []Promise{
			{"a distant read at local latency", "below 60 ms in every run of the test, where the leader is 71 ms away", measure("TestLevel4IsReachedAndLeftUnderLoad")},
			{"the lead moves without loss", "there and back under load: 485 acknowledged writes, 0 lost, no read failed, at most 1.0 s without a write", measure("TestFailoverUnderLoad")},
			{"a leader that waits for its replica loses nothing, however it dies", "with database.replication: sync, killed under load: 210 acknowledged writes, 0 lost; a write waits for the replica, 77.0 ms at the median instead of 2.5", measure("TestSynchronousReplicationLosesNothing")},
			{"a dead leader is replaced", "by one command that says what may be lost; nothing was, of what the replica had", measure("TestFailoverFromADeadLeader")},
			{"and by itself, where that was asked for", "with database.failover: automatic, writes are taken again 13.1 s after the leader died for good, ten of them patience; 0 of 38 acknowledged writes lost with sync", measure("TestFailoverByItself")},
			{"no downtime on the way there and back", "24,882 requests and 9,264 acknowledged writes from two regions, 0 failed, 0 lost", measure("TestLevel4IsReachedAndLeftUnderLoad")},
		},
		Targets: []string{"local", "aws"},
		build:   buildReplicas,
	}
}

func buildReplicas(app config.App, now topology.Topology) (topology.Topology, error) {
	b := newBuilder(app, 4, now, app.Regions...)
	if err := b.stores(); err != nil {
		return b.Topology, err
	}
	b.replicas()
	return b.Topology, b.regional()
}

// replicas adds, for every database, one that follows it in each region but its own; a
// leader waits for them where that was asked for.
func (b *builder) replicas() {
	for _, leader := range b.OfKind(topology.Database) {
		name := sharedDB
		if s := leader.Database.Service; s != "" {
			name = ownDB(s)
		}
		for _, r := range b.Regions {
			if r.Name == leader.Region {
				continue
			}
			spec := *leader.Database
			spec.Of, spec.Standby, spec.Tables = leader.ID, false, nil
			b.add(r.Name, name, topology.Node{Kind: topology.Database, Database: &spec}, leader.ID)
		}
		leader.Database.Sync = b.app.Database.Replication == config.ReplicationSync && len(b.Regions) > 1
		leader.Database.Automatic = b.app.Database.Failover == config.FailoverAutomatic && len(b.Regions) > 1
		b.Put(leader, b.Behind(leader.ID))
	}
}
