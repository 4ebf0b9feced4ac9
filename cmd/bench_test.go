//go:build unix

package cmd_test

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkCommands times whole commands, as a person waits for them: real
// PostgreSQL, real processes, the built-in example. The binary is the one that
// 'make build' makes.
func BenchmarkCommands(b *testing.B) {
	built, err := filepath.Abs("../bin/scale")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(built); err != nil {
		b.Skip("'make bench' builds bin/scale first")
	}
	run := func(b *testing.B, w *world, args ...string) {
		b.Helper()
		c := w.command(args...)
		c.Path = built
		if r := finish(b, c); r.code != 0 {
			b.Fatal(r)
		}
	}
	b.Run("version", func(b *testing.B) {
		w := newWorld(b)
		for b.Loop() {
			run(b, w, "version")
		}
	})
	b.Run("first-preview", func(b *testing.B) {
		w := newWorld(b)
		for b.Loop() {
			run(b, w, "preview")
		}
	})
	b.Run("first-up", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			w := newWorld(b) // a new directory: deleting and making the same paths again is slow on ext4
			b.StartTimer()
			run(b, w, "up", "--yes")
			b.StopTimer()
			sweepProcesses(w.home)
			b.StartTimer()
		}
	})
	w := newWorld(b)
	run(b, w, "up", "--yes")
	b.Run("no-change-up", func(b *testing.B) {
		for b.Loop() {
			run(b, w, "up", "--yes")
		}
	})
	b.Run("status", func(b *testing.B) {
		for b.Loop() {
			run(b, w, "status")
		}
	})
	b.Run("down-and-up", func(b *testing.B) {
		for b.Loop() {
			run(b, w, "down", "--yes")
			run(b, w, "up", "--yes")
		}
	})
}
