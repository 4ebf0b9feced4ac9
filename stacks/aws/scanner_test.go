package aws_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// A public scanner that reads Terraform plans finds nothing of severity HIGH or
// CRITICAL in what the engine sent at any level, but for the exceptions.
func TestScannerFindsOnlyTheExceptions(t *testing.T) {
	scanner(t)
	for level := 1; level <= 5; level++ {
		t.Run(fmt.Sprintf("level %d", level), func(t *testing.T) {
			w := newWorld(t, 2, 2)
			w.to(level)
			found := scan(t, w.cloud.Things())
			for _, f := range found {
				if exceptions[f.ID] == "" && exceptions[sameAs[f.ID]] == "" {
					t.Errorf("%s (%s): %s: %s", f.ID, f.Severity, f.Title, f.Message)
				}
			}
			t.Logf("%d resources, %d findings, all of them exceptions", len(w.cloud.Things()), len(found))
		})
	}
}

// The scanner sees what the plans say: each of these mistakes is found.
func TestScannerFindsMistakes(t *testing.T) {
	scanner(t)
	w := newWorld(t, 1, 1)
	w.to(3)
	for id, m := range map[string]struct {
		typ, input string
		value      any
	}{
		"AVD-AWS-0080":                  {dbType, "storageEncrypted", false},
		"AVD-AWS-0180":                  {dbType, "publiclyAccessible", true},
		"aws-vpc-no-public-ingress-sgr": {"aws:ec2/subnet:Subnet", "mapPublicIpOnLaunch", true},
		"AVD-AWS-0107":                  {inRule, "fromPort", 22.0},
		"AVD-AWS-0052":                  {lbType, "dropInvalidHeaderFields", false},
		"AVD-AWS-0086":                  {"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "blockPublicAcls", false},
		"AVD-AWS-0045":                  {cacheType, "atRestEncryptionEnabled", false},
		"AVD-AWS-0051":                  {cacheType, "transitEncryptionEnabled", false},
		"AVD-AWS-0011":                  {cdnType, "webAclId", ""},
		"AVD-AWS-0031":                  {"aws:ecr/repository:Repository", "imageTagMutability", "MUTABLE"},
		"AVD-AWS-0047":                  {"aws:lb/listener:Listener", "sslPolicy", "ELBSecurityPolicy-TLS-1-0-2015-04"},
	} {
		var things []*rehearsal.Thing
		for _, r := range w.cloud.Things() {
			if r.Type == m.typ {
				c := *r
				c.Inputs = r.Inputs.Copy()
				c.Inputs[resource.PropertyKey(m.input)] = resource.NewPropertyValue(m.value)
				r = &c
			}
			things = append(things, r)
		}
		if !slices.ContainsFunc(scan(t, things), func(f finding) bool { return f.ID == id }) {
			t.Errorf("%s: with %s = %v on every %s nothing was found", id, m.input, m.value, m.typ)
		}
	}
}

// sameAs are checks that look for the same as a control, under another id.
var sameAs = map[string]string{"aws-vpc-no-public-egress-sgr": "AVD-AWS-0104"}

type finding struct{ ID, Title, Message, Severity string }

func scanner(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("trivy"); err != nil {
		t.Skip("trivy is not here: no plan was scanned. '.ci/tools trivy' builds it")
	}
}

// scan is what trivy finds in a plan that makes things, without asking the network.
func scan(t *testing.T, things []*rehearsal.Thing) []finding {
	t.Helper()
	dir := t.TempDir()
	b, err := json.Marshal(terraformPlan(things))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tfplan.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("trivy", "config", "--quiet", "--skip-check-update", "--skip-version-check", "--disable-telemetry", "--cache-dir", filepath.Join(dir, "cache"), "--severity", "HIGH,CRITICAL", "--format", "json", dir)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var report struct {
		Results []struct {
			MisconfSummary    struct{ Successes, Failures int }
			Misconfigurations []finding
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var found []finding
	passed := 0
	for _, r := range report.Results {
		passed += r.MisconfSummary.Successes
		found = append(found, r.Misconfigurations...)
	}
	if passed < 20 {
		t.Fatalf("only %d checks passed: the plan was not understood\n%s\n%s", passed, out, errs.String())
	}
	return found
}

// terraformPlan is what 'terraform show -json' would print of a plan that makes things.
// What is the id or the ARN of another thing refers to it, as it would in a program.
func terraformPlan(things []*rehearsal.Thing) map[string]any {
	refers := map[string]string{}
	for _, r := range things {
		refers[r.ID] = address(r) + ".id"
		if arn := text(r.Out["arn"]); arn != "" {
			refers[arn] = address(r) + ".arn"
		}
	}
	var planned, changes, configured []any
	for _, r := range things {
		if strings.Contains(r.Type, "snapshot:") {
			continue
		}
		values, expressions := map[string]any{}, map[string]any{}
		for k, v := range r.Inputs.Mappable() {
			name, val := block(k, v)
			if s, ok := val.(string); ok && refers[s] != "" && refers[s] != address(r)+".id" {
				expressions[name] = map[string]any{"references": []string{refers[s]}}
				continue
			}
			values[name] = val
		}
		of := map[string]any{"address": address(r), "mode": "managed", "type": aws.Terraform(r.Type), "name": label(r.Name), "provider_name": "registry.terraform.io/hashicorp/aws"}
		planned = append(planned, with(of, "values", values))
		changes = append(changes, with(of, "change", map[string]any{"actions": []string{"create"}, "before": nil, "after": values, "after_unknown": map[string]any{}}))
		configured = append(configured, with(of, "expressions", expressions))
	}
	return map[string]any{"format_version": "1.2", "terraform_version": "1.5.0", "planned_values": map[string]any{"root_module": map[string]any{"resources": planned}},
		"resource_changes": changes, "configuration": map[string]any{"provider_config": map[string]any{"aws": map[string]any{"name": "aws"}}, "root_module": map[string]any{"resources": configured}}}
}

func with(m map[string]any, k string, v any) map[string]any {
	c := map[string]any{k: v}
	for name, val := range m {
		c[name] = val
	}
	return c
}

func label(name string) string {
	return strings.NewReplacer(".", "_", ":", "_", "/", "_").Replace(name)
}

func address(r *rehearsal.Thing) string { return aws.Terraform(r.Type) + "." + label(r.Name) }

func text(v resource.PropertyValue) string {
	if !v.IsString() {
		return ""
	}
	return v.StringValue()
}

var upper = regexp.MustCompile(`[A-Z]`)

// snake is the Terraform provider's spelling of an input.
func snake(camel string) string {
	return upper.ReplaceAllStringFunc(camel, func(s string) string { return "_" + strings.ToLower(s) })
}

// block is an input as Terraform has it: an object is a block, of which there may be
// several under a name in the singular. Keys of maps are nobody's names.
func block(key string, v any) (string, any) {
	name := snake(key)
	if strings.HasPrefix(name, "tags") {
		return name, v
	}
	switch v := v.(type) {
	case map[string]any:
		return name, []any{fields(v)}
	case []any:
		if len(v) == 0 {
			return name, v
		}
		if _, ok := v[0].(map[string]any); !ok {
			return name, v
		}
		var bs []any
		for _, b := range v {
			bs = append(bs, fields(b.(map[string]any)))
		}
		return singular(name), bs
	}
	return name, v
}

func fields(m map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		name, val := block(k, v)
		out[name] = val
	}
	return out
}

func singular(name string) string {
	switch {
	case strings.HasSuffix(name, "ies"):
		return strings.TrimSuffix(name, "ies") + "y"
	case strings.HasSuffix(name, "ases"), strings.HasSuffix(name, "sses"):
		return strings.TrimSuffix(name, "es")
	default:
		return strings.TrimSuffix(name, "s")
	}
}
