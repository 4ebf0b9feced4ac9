package aws_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
)

// A state as the real plugin writes it has more in it than a rehearsal's: what the bridge
// filled in, and its notes. A rehearsal of a copy sees no change in that, and goes on.
func TestRehearsingACopyOfARealState(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.to(3)
	file := w.env.StateFile()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(b, &state); err != nil {
		t.Fatal(err)
	}
	filled := 0
	for _, r := range state["checkpoint"].(map[string]any)["latest"].(map[string]any)["resources"].([]any) {
		r := r.(map[string]any)
		typ := r["type"].(string)
		in, ok := r["inputs"].(map[string]any)
		out, _ := r["outputs"].(map[string]any)
		if !ok || out == nil || !strings.HasPrefix(typ, "aws:") {
			continue
		}
		names := []string{}
		set := func(k string, v any) {
			if _, said := in[k]; !said {
				in[k], out[k], names = v, v, append(names, k)
			}
		}
		switch typ {
		case "aws:ec2/securityGroup:SecurityGroup":
			set("revokeRulesOnDelete", false)
		case "aws:ec2/routeTable:RouteTable":
			set("propagatingVgws", []any{})
		case "aws:secretsmanager/secret:Secret":
			set("forceOverwriteReplicaSecret", false)
		case "aws:iam/role:Role":
			set("name", "auto-named-1a2b3c4")
			set("maxSessionDuration", 3600.0)
			set("path", "/")
		case "aws:cloudwatch/logGroup:LogGroup":
			set("skipDestroy", false)
		}
		filled += len(names)
		in["__defaults"] = names
		out["__meta"] = `{"schema_version":"1","e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"create":600000000000}}`
		out["tagsAll"] = map[string]any{"scale:app": "shop"}
	}
	if filled < 20 {
		t.Fatalf("only %d inputs were filled in", filled)
	}
	if b, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	w.open()
	c := &world{TB: t, cloud: aws.NewRehearsal(), home: t.TempDir(), app: w.app}
	c.target = aws.New(aws.Config{Domain: c.app.Domain, Rehearsal: c.cloud})
	copied, standing, err := w.env.Copy(t.Context(), stacks.Home(c.home), c.target, "test")
	if err != nil {
		t.Fatal(err)
	}
	c.cloud.Seed(standing)
	c.env = copied
	p, err := c.env.Plan(t.Context(), goal(3), nil)
	if err != nil || !p.Empty() {
		t.Fatalf("the copy would change %v (%v)", p.Changes(), err)
	}
	held := c.holding()
	for _, level := range []int{4, 5, 3, 1} {
		c.to(level)
		for what, id := range held {
			if c.holding()[what] != id {
				t.Fatalf("level %d: %s is no longer %s", level, what, id)
			}
		}
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(b) {
		t.Errorf("the original was touched (%v)", err)
	}
}
