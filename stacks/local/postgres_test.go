//go:build unix

package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFindPostgres(t *testing.T) {
	was := usual
	t.Cleanup(func() { usual = was })
	empty := t.TempDir()
	t.Setenv("PATH", empty)
	usual = []string{filepath.Join(empty, "*", "bin")}
	_, err := findPostgres(0)
	var e *Error
	if !errors.As(err, &e) || !e.MissingTool() || e.Hint == "" {
		t.Fatalf("without one: %v", err)
	}
	for _, major := range []string{"14", "16"} {
		bin := filepath.Join(empty, major, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + major + ".3 (Debian " + major + ".3-1)'\n"
		for _, name := range []string{"initdb", "postgres"} {
			if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p, err := findPostgres(0); err != nil || p.major != 16 {
		t.Fatalf("the newest: %+v %v", p, err)
	}
	if p, err := findPostgres(14); err != nil || p.major != 14 {
		t.Fatalf("the one that wrote the data: %+v %v", p, err)
	}
	if _, err := findPostgres(15); !errors.As(err, &e) || !e.MissingTool() {
		t.Fatalf("data of a version that is not installed: %v", err)
	}
}
