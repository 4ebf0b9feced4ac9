package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/aws/program"
)

// longestCopy is how long tables may be copied: hundreds of gigabytes take hours.
const longestCopy = 24 * time.Hour

// unknownEnd is how the script ends when it does not know whether it has opened the tables.
const unknownEnd = 3

// moveState is how far a service's tables are on their way to another database.
type moveState string

const (
	atRest    moveState = ""          // nobody is moving them, or they stay where they were
	copying   moveState = "copying"   // what is written follows there, or is about to
	switching moveState = "switching" // the databases know where writes go, and nobody else does
	arrived   moveState = "arrived"
)

// moveNote is what is noted of a move in the bucket of releases: whoever goes on, from whatever
// machine, must know.
type moveNote struct {
	State moveState    `json:"state"`
	To    string       `json:"to"`
	Task  program.Task `json:"task"` // by which a copy is given up
}

func moveKey(service string) string { return "moves/" + service }

// Movable implements stacks' mover: the task itself looks before it begins, since nobody
// outside the network can.
func (a *AWS) Movable(_ context.Context, m topology.MoveSpec, _ map[string]string) ([]string, error) {
	return []string{fmt.Sprintf("while the tables of %s are switched to %s, writes to them fail: for some seconds, and as long as counting their rows takes", m.Service, m.To)}, nil
}

// Moved implements stacks' mover.
func (a *AWS) Moved(ctx context.Context, m topology.MoveSpec, pins map[string]string) (bool, error) {
	region, bucket, _ := strings.Cut(pins[pinReleases], "/")
	n, err := a.verbs.Noted(ctx, region, bucket, m.Service)
	switch {
	case err != nil:
		return false, err
	case n.To == m.To && n.State == switching:
		return false, &Error{What: fmt.Sprintf("whether the tables of %s take writes in %s already is not known: the task that switches them did not say", m.Service, m.To), Hint: "'scale up' asks again, and finishes it"}
	}
	return n.To == m.To && n.State == arrived, nil
}

// Abandon implements stacks' mover: a copy that follows on would keep its leader's log.
func (a *AWS) Abandon(ctx context.Context, m topology.MoveSpec, pins map[string]string, waiting func(string)) error {
	region, bucket, _ := strings.Cut(pins[pinReleases], "/")
	n, err := a.verbs.Noted(ctx, region, bucket, m.Service)
	if err != nil || n.State != copying || n.To != m.To {
		return err
	}
	waiting("the copy of the tables of " + m.Service + " is given up")
	n.Task.Command = []string{"forget"}
	return a.verbs.Move(ctx, n.Task, m, atRest, atRest, waiting)
}

// moveTables is the verb of a step: to copy, or to switch.
func (a *AWS) moveTables(ctx context.Context, t program.Task, m topology.MoveSpec, waiting func(string)) error {
	before, after := copying, copying
	if m.Switched {
		before, after = switching, arrived
	}
	if err := a.verbs.Move(ctx, t, m, before, after, waiting); err != nil {
		return fmt.Errorf("move the tables of %s: %w", m.Service, err)
	}
	return nil
}

// Move implements Verbs. A task that ran and failed has left the tables where they were.
func (a *account) Move(ctx context.Context, t program.Task, m topology.MoveSpec, before, after moveState, waiting func(string)) error {
	c, err := a.load(ctx, t.Region)
	if err != nil {
		return err
	}
	home, err := a.Noted(ctx, t.Home, t.Bucket, m.Service)
	if err != nil {
		return err
	}
	note := func(s moveState) error {
		home.State, home.To, home.Task = s, m.To, t
		return a.note(ctx, t.Home, t.Bucket, m.Service, home)
	}
	if home.State == arrived && home.To == m.To && after == arrived {
		return nil
	}
	if before != atRest {
		if err := note(before); err != nil {
			return err
		}
	}
	var failed *exitError
	_, err = a.task(ctx, c, t, longestCopy, waiting)
	switch {
	case err == nil:
		return note(after)
	case errors.As(err, &failed) && failed.code != unknownEnd && before == switching:
		return errors.Join(err, note(copying))
	}
	return err
}

// Noted implements Verbs.
func (a *account) Noted(ctx context.Context, region, bucket, service string) (n moveNote, err error) {
	c, err := a.load(ctx, region)
	if err != nil {
		return n, err
	}
	key := moveKey(service)
	out, err := storeOf(c).GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	var none *types.NoSuchKey
	if errors.As(err, &none) {
		return n, nil
	}
	if err != nil {
		return n, explain(err, "s3:GetObject on "+bucket+"/"+key)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		return n, explain(err, "s3:GetObject on "+bucket+"/"+key)
	}
	return n, json.Unmarshal(b, &n)
}

func (a *account) note(ctx context.Context, region, bucket, service string, n moveNote) error {
	c, err := a.load(ctx, region)
	if err != nil {
		return err
	}
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return put(ctx, storeOf(c), bucket, moveKey(service), b)
}
