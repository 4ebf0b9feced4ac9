package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/engine"
)

// What 'scale eject' writes builds, and its preview against the state that it
// brought shows no change.
func TestAnEjectedProjectGoesOn(t *testing.T) {
	w := newWorld(t, 2, 2)
	w.to(4)
	dir := filepath.Join(t.TempDir(), "project")
	if err := w.env.Eject(dir); err != nil {
		t.Fatal(err)
	}
	if err := w.env.Eject(dir); err == nil {
		t.Error("a directory that is not empty was written over")
	}
	program := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-mod=mod", "-o", program, ".")
	build.Dir = dir
	// The versions of everything else are ours too: nothing has to be fetched.
	sum, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, require := range requires(own) {
		if !strings.Contains(string(mod), require) {
			t.Errorf("the project requires %s, and go.mod does not", require)
		}
	}
	_, rest, _ := strings.Cut(string(mod), "\n")
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module ejected/shop\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// The state that the project brought, served by the same rehearsed account.
	secrets := engine.NewSecrets("x", saltOf(t, dir))
	s, err := engine.Open(engine.Config{Files: engine.Directory(dir), Project: "shop", Name: "dev", Secrets: secrets, Providers: w.target.Providers(), Table: aws.Table()})
	if err != nil {
		t.Fatal(err)
	}
	run := func(environment []string) error {
		c := exec.Command(program)
		c.Dir = dir
		c.Env = append(append(os.Environ(), environment...), "PULUMI_CONFIG="+configOf(t, dir, secrets))
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Run(); err != nil {
			return fmt.Errorf("%w\n%s", err, out.String())
		}
		return nil
	}
	r, err := s.Preview(context.Background(), nil, engine.Options{Refresh: true, External: run})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Changes) > 0 {
		t.Errorf("the ejected program would change %v", r.Changes)
	}
	n, err := s.Resources()
	if err != nil || len(n) < 200 {
		t.Errorf("%d resources in the state (%v)", len(n), err)
	}
	t.Logf("%d resources, no change", len(n))
}

func requires(mod []byte) (all []string) {
	for _, line := range strings.Split(string(mod), "\n") {
		if strings.Contains(line, " v") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

func stackConfig(t *testing.T, dir string) (lines []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "Pulumi.dev.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n")
}

func saltOf(t *testing.T, dir string) string {
	t.Helper()
	for _, l := range stackConfig(t, dir) {
		if s, ok := strings.CutPrefix(l, "encryptionsalt: "); ok {
			return strings.Trim(s, `"`)
		}
	}
	t.Fatal("there is no salt")
	return ""
}

// configOf is the stack's configuration as the pulumi command hands it to a program.
func configOf(t *testing.T, dir string, secrets *engine.Secrets) string {
	t.Helper()
	plain, name := map[string]string{}, ""
	for _, l := range stackConfig(t, dir) {
		l = strings.TrimSpace(l)
		if k, ok := strings.CutSuffix(l, ":"); ok {
			name = strings.Trim(k, `"`)
		}
		if c, ok := strings.CutPrefix(l, "secure: "); ok {
			v, err := secrets.Decrypt(strings.Trim(c, `"`))
			if err != nil {
				t.Fatal(err)
			}
			plain[name] = v
		}
	}
	inner, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := json.Marshal(map[string]string{"shop:secrets": string(inner)})
	if err != nil {
		t.Fatal(err)
	}
	return string(outer)
}
