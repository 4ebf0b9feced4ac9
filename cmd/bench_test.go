//go:build unix

package cmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// BenchmarkWalks times whole walks on the built-in example, each as a person waits
// for it: what is behind the figure is the gate's second of watching, twice where a
// canary comes first.
func BenchmarkWalks(b *testing.B) {
	built, err := filepath.Abs("../bin/scale")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(built); err != nil {
		b.Skip("'make bench' builds bin/scale first")
	}
	w := newWorld(b)
	up := func(b *testing.B, args ...string) {
		b.Helper()
		c := w.command(append([]string{"up", "--yes"}, args...)...)
		c.Path = built
		if r := finish(b, c); r.code != 0 {
			b.Fatal(r)
		}
	}
	// there times one way and comes back untimed.
	there := func(name string, before, timed, back func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			before(b)
			for b.Loop() {
				timed(b)
				b.StopTimer()
				back(b)
				b.StartTimer()
			}
		})
	}
	level := func(n string) func(*testing.B) { return func(b *testing.B) { up(b, "--level", n) } }
	project := func(instances, greeting string) func(*testing.B) {
		return func(b *testing.B) {
			w.write("scale.yaml", strings.NewReplacer("%BIN%", built, "hello", greeting, "env:", "instances: "+instances+"\n    env:").Replace(web))
			up(b, "--level", "2")
		}
	}
	b.Run("first-up-to-2", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			w = newWorld(b)
			b.StartTimer()
			up(b, "--level", "2")
			b.StopTimer()
			sweepProcesses(w.home)
			b.StartTimer()
		}
	})
	w = newWorld(b)
	there("from-1-to-2", level("1"), level("2"), level("1"))
	there("from-2-to-1", level("2"), level("1"), level("2"))
	w = newWorld(b)
	w.write("public/index.html", "x")
	there("from-2-to-5-instances", project("2", "one"), project("5", "one"), project("2", "one"))
	there("from-5-to-2-instances", project("5", "one"), project("2", "one"), project("5", "one"))
	n := 0
	next := func(b *testing.B) { n++; project("2", fmt.Sprint("g", n))(b) }
	there("new-settings", next, next, func(*testing.B) {})
}
