package aws

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// attribute is one of a type in the schema of the Terraform provider.
type attribute struct {
	Required bool `json:"required"`
	ForceNew bool `json:"forceNew"`
	MaxItems int  `json:"maxItems"`
	// Fields are of blocks; deep down some are named differently.
	Fields map[string]json.RawMessage `json:"fields"`
}

// differences are where our tables say otherwise than the schema, and why.
var differences = map[string]string{
	// Required there, and filled in by the bridge when it is missing.
	"aws:cloudwatch/metricAlarm:MetricAlarm.alarm_name": "the input is called name",
}

// The tables of required inputs and of forced replacements are those of the
// provider's own schema, where that file is at hand.
func TestTablesAgreeWithTheSchema(t *testing.T) {
	b, err := os.ReadFile("../../../shared/aws-schema.json")
	if err != nil {
		t.Skip("the provider's schema is not here: the tables were not compared with it")
	}
	var schema struct {
		Types map[string]struct {
			Attributes map[string]attribute `json:"attributes"`
		} `json:"types"`
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, r := range rows {
		s, ok := schema.Types[r.terraform]
		if !ok {
			t.Errorf("%s: the schema has no %s", r.typ, r.terraform)
			continue
		}
		in := r.inputs()
		ours := map[string]bool{}
		for _, k := range replaces[r.typ] {
			ours[k] = true
			if _, ok := in[strings.SplitN(k, ".", 2)[0]]; !ok {
				t.Errorf("%s: %s is no input of the SDK's", r.typ, k)
			}
		}
		for name, a := range s.Attributes {
			input := inputNamed(name, in)
			if input == "" {
				if (a.ForceNew || a.Required) && differences[r.typ+"."+name] == "" {
					t.Errorf("%s: %s has no input of the SDK's", r.typ, name)
				}
				continue
			}
			compared++
			if a.ForceNew != ours[input] {
				t.Errorf("%s: a change of %s makes a new one: the schema says %t, the table %t", r.typ, input, a.ForceNew, ours[input])
			}
			if got := slices.Contains(required[r.typ], input); a.Required != got {
				t.Errorf("%s: %s is required: the schema says %t, the table %t", r.typ, input, a.Required, got)
			}
			for field, raw := range a.Fields {
				var f struct {
					ForceNew bool `json:"forceNew"`
				}
				if err := json.Unmarshal(raw, &f); err != nil {
					t.Fatal(err)
				}
				if a.MaxItems == 1 && f.ForceNew && !a.ForceNew && !ours[input+"."+camel(field)] {
					t.Errorf("%s: a change of %s.%s makes a new one, and the table does not say so", r.typ, input, camel(field))
				}
			}
		}
	}
	t.Logf("compared %d inputs of %d types with the schema of the Terraform AWS provider 5.5.0", compared, len(rows))
}

// inputNamed is the SDK's name of a Terraform attribute: camel case, and in the
// plural where a block may be repeated.
func inputNamed[T any](attribute string, in map[string]T) string {
	name := camel(attribute)
	if attribute == "origin_type" {
		name = "originAccessControlOriginType"
	}
	for _, n := range []string{name, name + "s", name + "es", strings.TrimSuffix(name, "y") + "ies"} {
		if _, ok := in[n]; ok {
			return n
		}
	}
	return ""
}

func camel(snake string) string {
	parts := strings.Split(snake, "_")
	for i, p := range parts[1:] {
		parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "")
}

// Every type that holds data, and every input that a rule of the guard looks at, is
// one that the SDK has.
func TestGuardTablesNameRealInputs(t *testing.T) {
	for typ, when := range data {
		r := byType()[typ]
		if r == nil {
			t.Errorf("%s is no type that the programs use", typ)
			continue
		}
		key := strings.SplitN(strings.TrimPrefix(when, "!"), "=", 2)[0]
		if _, ok := r.inputs()[key]; when != "" && !ok {
			t.Errorf("%s: %s is no input", typ, key)
		}
	}
	for _, table := range []map[string][]string{armour, fixed, grows, major} {
		for typ, keys := range table {
			for _, k := range keys {
				if _, ok := byType()[typ].inputs()[k]; !ok {
					t.Errorf("%s: %s is no input", typ, k)
				}
			}
		}
	}
}
