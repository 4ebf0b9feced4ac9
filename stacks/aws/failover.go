package aws

import (
	"context"
	"fmt"
	"time"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/aws/program"
)

// available is RDS's word for a database that answers.
const available = "available"

// promotionPatience is how long a promotion may take in all: a restart of the old leader,
// what its replica lacks, and the promotion itself take some ten minutes.
const promotionPatience = time.Hour

// Anew implements stacks' failover: RDS makes no replica of what led.
func (a *AWS) Anew() bool { return true }

// Failover implements stacks' failover: with the old leader alive, the one that is to lead
// must not be far behind; with a dead one, what may be lost is told. It gets the
// password that it has, being a copy.
func (a *AWS) Failover(ctx context.Context, now, wanted topology.Topology, pins map[string]string) (found []string, err error) {
	for _, n := range now.OfKind(topology.Database) {
		if w, ok := wanted.Node(n.ID); !ok || !n.Replica() || w.Replica() {
			continue
		}
		pins[pinPassword+n.ID] = pins[pinPassword+n.Database.Of]
		status, _, err := a.verbs.Database(ctx, n, program.Name(now, n.ID, 63))
		if err != nil {
			return nil, err
		}
		if status != available {
			return nil, &Error{What: fmt.Sprintf("%s, which is to lead, is not available: RDS says %q", n.ID, status), Hint: "nothing was changed; try again when it is, or name another region"}
		}
		lag, err := a.verbs.Lag(ctx, n, program.Name(now, n.ID, 63), time.Now().Add(-lagWindow))
		leader, _ := now.Node(n.Database.Of)
		switch status, _, dead := a.verbs.Database(ctx, leader, program.Name(now, leader.ID, 63)); {
		case dead != nil || status != available:
			known := "how far it is behind is not known"
			if err == nil {
				known = fmt.Sprintf("it was %s behind when RDS last told", lag)
			}
			found = append(found, fmt.Sprintf("%s is not available: what it acknowledged and %s does not have is not taken along; %s", leader.ID, n.ID, known))
		case err != nil:
			return nil, err
		case lag > lagBound:
			return nil, &Error{What: fmt.Sprintf("%s is %s behind %s", n.ID, lag, leader.ID), Hint: "nothing was changed; try again when it has caught up"}
		}
		found = append(found, fmt.Sprintf("another replica is made in %s, since RDS lets no database follow that has led; %s goes at the end, and its last snapshot stays", leader.Region, leader.ID))
	}
	return found, nil
}

// Promote implements stacks' failover. Nobody new gets into the old leader by now; who was in
// is thrown out by a restart, and what was written until then must have arrived.
func (a *AWS) Promote(ctx context.Context, was, is topology.Topology, waiting func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, promotionPatience)
	defer cancel()
	for _, n := range is.OfKind(topology.Database) {
		old, _ := was.Node(n.ID)
		if n.Replica() || !old.Replica() {
			continue
		}
		name := program.Name(is, n.ID, 63)
		if _, follows, err := a.verbs.Database(ctx, n, name); err != nil {
			return err
		} else if follows == "" {
			continue // it leads already
		}
		leader, _ := was.Node(old.Database.Of)
		physical := program.Name(is, leader.ID, 63)
		status, _, err := a.verbs.Database(ctx, leader, physical)
		if err == nil && status == available {
			waiting("a restart of " + leader.ID + ", which ends its connections")
			since, err := a.verbs.Cut(ctx, leader, physical)
			if err != nil {
				return err
			}
			if err := a.until(ctx, waiting, func() error { return a.nothingLacks(ctx, n, name, since) }); err != nil {
				return err
			}
		}
		waiting("the promotion of " + n.ID)
		if err := a.verbs.Promote(ctx, n, name); err != nil {
			return err
		}
	}
	return nil
}

// nothingLacks holds when a replica has all that was written before a moment from which on
// nothing was: RDS counts how old the last change is until the next segment of the log
// arrives, at most five minutes later, and says 0 then (RDS documentation, "Monitoring read
// replication").
func (a *AWS) nothingLacks(ctx context.Context, n topology.Node, physical string, since time.Time) error {
	lag, err := a.verbs.Lag(ctx, n, physical, since)
	if err == nil && lag > time.Second {
		err = fmt.Errorf("%s: its last change is %s old, and whether another is on its way is not known yet", n.ID, lag)
	}
	return err
}
