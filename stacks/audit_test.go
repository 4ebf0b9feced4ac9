package stacks

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
)

// Of what stands under the environment's tags only that is told which the state does not
// know, by its id or its ARN.
func TestStrays(t *testing.T) {
	const topic, key, database = "arn:aws:sns:us-east-1:123456789012:alarms", "arn:aws:kms:us-east-1:123456789012:key/k", "arn:aws:rds:us-east-1:123456789012:db:shop"
	standing := []engine.Request{{ID: topic}, {ID: "k", Olds: resource.NewPropertyMapFromMap(map[string]any{"arn": key})}}
	tagged := func() []plan.Component { return []plan.Component{{Name: topic}, {Name: key}, {Name: database}} }
	got := tellStrays([]string{"db-use1-g1"}, tagged(), standing)
	if len(got) != 2 || !strings.Contains(got[0], "db-use1-g1") || strings.TrimSpace(got[1]) != database {
		t.Errorf("it told %q", got)
	}
	standing = append(standing, engine.Request{ID: database})
	if got = tellStrays([]string{"db-use1-g1"}, tagged(), standing); len(got) != 1 || slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "arn:") }) {
		t.Errorf("with everything known it told %q", got)
	}
}
