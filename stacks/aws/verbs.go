package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/aws/program"
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
	// Lag is how far a replica was behind its leader at a moment that is not before since.
	Lag(ctx context.Context, replica topology.Node, physical string, since time.Time) (time.Duration, error)
	// Database is how a database is, in RDS's words ("available"), and which it follows; "": it leads.
	Database(ctx context.Context, db topology.Node, physical string) (status, follows string, err error)
	// Cut ends all connections to a database, and returns once that is done, with when it was.
	Cut(ctx context.Context, db topology.Node, physical string) (time.Time, error)
	// Promote lets a replica lead, and returns when it takes writes.
	Promote(ctx context.Context, replica topology.Node, physical string) error
	// Snapshot copies what a database holds, and returns when that can be gone back to.
	// One of that name that is there already is the one.
	Snapshot(ctx context.Context, db topology.Node, physical, name string) error
	// Publish puts the files of a release into a bucket, unless they are all there, and
	// reports whether they lie over those of another one.
	Publish(ctx context.Context, region, bucket, release string, files fs.FS) (over bool, err error)
	// Invalidate makes the CDN of a domain forget what it keeps under a path; there need
	// be none.
	Invalidate(ctx context.Context, domain, path string) error
	// Tagged are the ARNs of what carries an environment's tags in a region.
	Tagged(ctx context.Context, region, app, env string) ([]string, error)
	// Quota is how many of something a region may have, by the codes of Service Quotas.
	Quota(ctx context.Context, region, service, code string) (float64, error)
	// Run runs a command in a task to its end, unless it is noted that it was.
	Run(ctx context.Context, t program.Task, waiting func(string)) error
	// Move runs a task of a move to its end, and notes how far this is before and after.
	Move(ctx context.Context, t program.Task, m topology.MoveSpec, before, after moveState, waiting func(string)) error
	// Noted is what is noted of the move of a service's tables.
	Noted(ctx context.Context, region, bucket, service string) (moveNote, error)
}

// rehearsed answers in the place of an account.
type rehearsed struct {
	cloud   *rehearsal.Cloud
	account string
}

func (r *rehearsed) Identity(context.Context) (string, string, error) {
	return r.account, "arn:aws:iam::" + r.account + ":user/rehearsal", nil
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

func (r *rehearsed) Lag(_ context.Context, replica topology.Node, _ string, _ time.Time) (time.Duration, error) {
	_, err := r.database(replica)
	return 0, err
}

// database is what stands of one.
func (r *rehearsed) database(n topology.Node) (*rehearsal.Thing, error) {
	for _, t := range r.cloud.Things() {
		if t.Type == databaseType && t.Name == n.ID {
			return t, nil
		}
	}
	return nil, fmt.Errorf("DBInstanceNotFound: %s does not stand (rehearsed answer)", n.ID)
}

func (r *rehearsed) Database(_ context.Context, db topology.Node, _ string) (status, follows string, err error) {
	t, err := r.database(db)
	if err != nil {
		return "", "", err
	}
	return "available", text(t.Inputs["replicateSourceDb"]), nil
}

func (r *rehearsed) Cut(_ context.Context, db topology.Node, _ string) (time.Time, error) {
	return time.Now(), r.cloud.Verb(rehearsal.Operation{Op: opCut, Type: databaseType, Name: db.ID}, func() error {
		_, err := r.database(db)
		return err
	})
}

func (r *rehearsed) Promote(_ context.Context, replica topology.Node, _ string) error {
	return r.cloud.Verb(rehearsal.Operation{Op: opPromote, Type: databaseType, Name: replica.ID}, func() error {
		t, err := r.database(replica)
		if err != nil {
			return err
		}
		if text(t.Inputs["replicateSourceDb"]) == "" {
			return fmt.Errorf("InvalidDBInstanceState: %s is not a read replica (rehearsed answer)", replica.ID)
		}
		leads := *t
		leads.Inputs, leads.Out = t.Inputs.Copy(), t.Out.Copy()
		for _, m := range []resource.PropertyMap{leads.Inputs, leads.Out} {
			delete(m, "replicateSourceDb")
			m["backupRetentionPeriod"] = resource.NewNumberProperty(program.BackupDays)
		}
		return r.cloud.Stand(&leads)
	})
}

func (r *rehearsed) Snapshot(_ context.Context, db topology.Node, physical, name string) error {
	return r.cloud.Stand(&rehearsal.Thing{Type: snapshotType, Name: physical + "-" + name, ID: db.Region + "/" + physical + "-" + name})
}

// The verbs of a rehearsal that leave nothing standing, as its calls name them.
const (
	opPublish    = plan.Op("publish")
	opInvalidate = plan.Op("invalidate")
	opRun        = plan.Op("run")
	opCut        = plan.Op("cut")
	opPromote    = plan.Op("promote")
)

// stands reports whether something of a type has this id or ARN.
func (r *rehearsed) stands(typ, id string) error {
	if !slices.ContainsFunc(r.cloud.Things(), func(t *rehearsal.Thing) bool {
		return t.Type == typ && (t.ID == id || text(t.Out["arn"]) == id)
	}) {
		return fmt.Errorf("NotFound: %s %s does not stand (rehearsed answer)", typ, id)
	}
	return nil
}

func (r *rehearsed) Publish(_ context.Context, _, bucket, release string, _ fs.FS) (over bool, err error) {
	o := rehearsal.Operation{Op: opPublish, Type: bucket, Name: release}
	if r.cloud.Done(o) {
		return false, r.stands(bucketType, bucket)
	}
	return true, r.cloud.Verb(o, func() error { return r.stands(bucketType, bucket) })
}

func (r *rehearsed) Invalidate(_ context.Context, domain, path string) error {
	return r.cloud.Verb(rehearsal.Operation{Op: opInvalidate, Type: domain, Name: path}, func() error { return nil })
}

func (r *rehearsed) Run(_ context.Context, t program.Task, _ func(string)) error {
	o := rehearsal.Operation{Op: opRun, Type: t.Container, Name: t.Once}
	if r.cloud.Done(o) {
		return nil
	}
	return r.cloud.Verb(o, func() error {
		if err := r.stands("aws:ecs/cluster:Cluster", t.Cluster); err != nil {
			return err
		}
		return r.stands("aws:ecs/taskDefinition:TaskDefinition", t.Definition)
	})
}

// Move is one of the calls; how far it is stands as an object does, in the bucket.
func (r *rehearsed) Move(_ context.Context, t program.Task, m topology.MoveSpec, before, after moveState, _ func(string)) error {
	note := func(s moveState) error {
		b, err := json.Marshal(moveNote{s, m.To, t})
		if err != nil {
			return err
		}
		return r.cloud.Stand(&rehearsal.Thing{Type: noteType, Name: m.Service, ID: t.Bucket + "/" + moveKey(m.Service), In: t.Bucket, Inputs: resource.NewPropertyMapFromMap(map[string]any{"note": string(b)})})
	}
	if before != atRest {
		if err := note(before); err != nil {
			return err
		}
	}
	return r.cloud.Verb(rehearsal.Operation{Op: plan.Op(t.Command[0]), Type: m.From, Name: m.To}, func() error {
		for typ, id := range map[string]string{bucketType: t.Bucket, "aws:ecs/cluster:Cluster": t.Cluster, "aws:ecs/taskDefinition:TaskDefinition": t.Definition} {
			if err := r.stands(typ, id); err != nil {
				return err
			}
		}
		return note(after)
	})
}

func (r *rehearsed) Noted(_ context.Context, _, bucket, service string) (n moveNote, err error) {
	for _, t := range r.cloud.Things() {
		if t.Type == noteType && t.ID == bucket+"/"+moveKey(service) {
			return n, json.Unmarshal([]byte(text(t.Inputs["note"])), &n)
		}
	}
	return n, nil
}

// noteType is what a note in a bucket stands as.
const noteType = "aws:s3/object:Object"

const bucketType = "aws:s3/bucketV2:BucketV2"
