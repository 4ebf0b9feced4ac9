package aws_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/stacks/rehearsal"
)

var update = flag.Bool("update", false, "accept what is seen now")

// The resources of each level, in two regions with two services, with every input
// that the engine sends: a change of a program is seen in review.
func TestGraphOfEachLevel(t *testing.T) {
	for level := 1; level <= 5; level++ {
		t.Run(fmt.Sprintf("level %d", level), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2, 2)
			w.to(level)
			var b strings.Builder
			for _, r := range w.cloud.Things() {
				fmt.Fprintf(&b, "%s %s\n", r.Type, r.Name)
				for _, k := range slices.Sorted(keys(r.Inputs)) {
					fmt.Fprintf(&b, "    %s: %s\n", k, shown(r, k))
				}
			}
			file := filepath.Join("testdata", fmt.Sprintf("level%d.txt", level))
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != string(want) {
				t.Errorf("%s differs; 'make golden' accepts it:\n%s", file, firstDifference(got, string(want)))
			}
		})
	}
}

func keys(m resource.PropertyMap) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(string(k)) {
				return
			}
		}
	}
}

// shown is an input as JSON; passwords are made up anew in every environment.
func shown(r *rehearsal.Thing, k string) string {
	switch k {
	case "password", "authToken", "secretString":
		return "[secret]"
	}
	b, err := json.Marshal(r.Inputs[resource.PropertyKey(k)].Mappable())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			var was string
			if i < len(w) {
				was = w[i]
			}
			return fmt.Sprintf("line %d\n- %s\n+ %s", i+1, was, g[i])
		}
	}
	return fmt.Sprintf("%d lines are missing", len(w)-len(g))
}
