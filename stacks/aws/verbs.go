package aws

import (
	"context"
	"fmt"
	"time"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// Verbs are what is asked of an account, and done to it, that no resource says.
type Verbs interface {
	// Identity is whose credentials these are: the account's number, and the ARN.
	Identity(ctx context.Context) (account, arn string, err error)
	// Image is the machine image that a single node of a region is made from.
	Image(ctx context.Context, region string) (string, error)
	// Healthy are how many targets of a pool answer their health path, and how many
	// there should be.
	Healthy(ctx context.Context, pool topology.Node, physical string) (healthy int, err error)
	// Lag is how far a replica is behind its leader.
	Lag(ctx context.Context, replica topology.Node, physical string) (time.Duration, error)
	// Snapshot copies what a database holds, and returns when that can be gone back to.
	// One of that name that is there already is the one.
	Snapshot(ctx context.Context, db topology.Node, physical, name string) error
}

// rehearsed answers in the place of an account.
type rehearsed struct{ cloud *rehearsal.Cloud }

func (r *rehearsed) Identity(context.Context) (string, string, error) {
	return RehearsedAccount, "arn:aws:iam::" + RehearsedAccount + ":user/rehearsal", nil
}

func (r *rehearsed) Image(context.Context, string) (string, error) { return rehearsedImage, nil }

func (r *rehearsed) Healthy(_ context.Context, pool topology.Node, _ string) (int, error) {
	for _, t := range r.cloud.Things() {
		if t.Type == "aws:ecs/service:Service" && t.Name == pool.ID {
			return int(t.Inputs["desiredCount"].NumberValue()), nil
		}
	}
	return 0, nil
}

func (r *rehearsed) Lag(_ context.Context, replica topology.Node, _ string) (time.Duration, error) {
	for _, t := range r.cloud.Things() {
		if t.Type == "aws:rds/instance:Instance" && t.Name == replica.ID {
			return 0, nil
		}
	}
	return 0, fmt.Errorf("%s does not stand", replica.ID)
}

func (r *rehearsed) Snapshot(_ context.Context, db topology.Node, physical, name string) error {
	return r.cloud.Stand(&rehearsal.Thing{Type: snapshotType, Name: physical + "-" + name, ID: db.Region + "/" + physical + "-" + name})
}
