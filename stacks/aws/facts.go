package aws

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
)

// row is what is known of one resource type.
type row struct {
	typ, terraform string
	args, res      any // the SDK's own, whose fields name inputs and outputs
	id, arn        string
	unique         string
	// seconds
	create, update, delete int
}

// data are the types that hold data, and which of them do.
var data = map[string]string{
	"aws:rds/instance:Instance":                         "!replicateSourceDb",
	"aws:elasticache/replicationGroup:ReplicationGroup": "finalSnapshotIdentifier", // a cache's is not asked for one
	"aws:s3/bucketV2:BucketV2":                          "!forceDestroy",           // logs and releases can be made again
	"aws:kms/key:Key":                                   "deletionWindowInDays=30", // that of the home region, where data lies
	"aws:route53/zone:Zone":                             "",                        // a new one has other name servers
}

// armour, fixed, grows and major are what the guard looks at.
var (
	armour = map[string][]string{
		"aws:rds/instance:Instance":                         {"deletionProtection", "backupRetentionPeriod"},
		"aws:elasticache/replicationGroup:ReplicationGroup": {"snapshotRetentionLimit"},
	}
	fixed = map[string][]string{"aws:rds/instance:Instance": {"replicateSourceDb", "snapshotIdentifier"}}
	grows = map[string][]string{"aws:rds/instance:Instance": {"allocatedStorage"}}
	major = map[string][]string{"aws:rds/instance:Instance": {"engineVersion"}}
)

// Table is what planning must know of the types that the programs use.
var Table = sync.OnceValue(func() plan.Table {
	t := plan.Table{}
	for _, r := range rows {
		in := r.inputs()
		f := plan.Facts{Replaces: replaces[r.typ], Create: seconds(r.create), Update: seconds(r.update), Delete: seconds(r.delete),
			Armour: armour[r.typ], Fixed: fixed[r.typ], Grows: grows[r.typ], Major: major[r.typ], Source: "estimate from the service's documentation"}
		f.DataIf, f.HoldsData = data[r.typ]
		for _, k := range required[r.typ] {
			if !autonamed[k] {
				f.Required = append(f.Required, k)
			}
		}
		for name := range in {
			if !slices.Contains(f.Required, name) {
				f.Optional = append(f.Optional, name)
			}
		}
		slices.Sort(f.Optional)
		t[r.typ] = f
	}
	return t
})

// autonamed are inputs that Terraform requires and the bridge fills in when they are missing.
var autonamed = map[string]bool{"name": true, "replicationGroupId": true}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// byType are the rows by their type.
var byType = sync.OnceValue(func() map[string]*row {
	m := map[string]*row{}
	for i := range rows {
		m[rows[i].typ] = &rows[i]
	}
	return m
})

// inputs are the type's inputs, with the Go type that the SDK gives each.
func (r *row) inputs() map[string]reflect.Type {
	return tagged(r.args.(interface{ ElementType() reflect.Type }).ElementType())
}

// outputs are the type's outputs, with the Go type that the SDK gives each.
func (r *row) outputs() map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for name, t := range tagged(reflect.TypeOf(r.res)) {
		if o, ok := reflect.Zero(t).Interface().(pulumi.Output); ok {
			m[name] = o.ElementType()
		}
	}
	return m
}

func tagged(t reflect.Type) map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("pulumi"), ","); name != "" {
			m[name] = t.Field(i).Type
		}
	}
	return m
}
