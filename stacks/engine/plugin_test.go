//go:build unix

package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/scale-levels/scale/stacks/engine"
)

// A provider that is not ours is run as a real plugin process: here this test
// binary under the name of one, found on PATH.
func TestOtherProvidersAreRealPlugins(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(exe, filepath.Join(bin, pluginName)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("PULUMI_HOME", t.TempDir())
	s, err := engine.Open(engine.Config{Files: engine.Directory(t.TempDir()), Project: "shop", Name: "dev", Secrets: engine.NewSecrets("correct horse", salt())})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := s.Up(ctx, things(3, nil), engine.Options{}); err != nil {
		t.Fatal(err)
	}
	if names, err := s.Resources(); err != nil || len(names) != 3 {
		t.Fatalf("resources: %v %v", names, err)
	}
	if r, err := s.Preview(ctx, things(3, nil), engine.Options{}); err != nil || len(r.Changes) != 0 {
		t.Fatalf("preview: %v %v", r.Changes, err)
	}
	if _, err := s.Destroy(ctx, engine.Options{}); err != nil {
		t.Fatal(err)
	}
}
