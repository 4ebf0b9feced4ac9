package engine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/stacks/engine"
)

// BenchmarkEngine is the engine alone, in an open process: a provider that
// answers at once, chains of ten resources, no secrets. docs/performance.md has
// the figures and how they were measured. Memory is measured on whole processes
// (BenchmarkProcess): upstream's engine leaves a server behind for each operation,
// which a command's end cleans up.
func BenchmarkEngine(b *testing.B) {
	ctx := context.Background()
	for _, n := range []int{60, 250, 1000, 3000} {
		program := things(n, nil)
		check := func(b *testing.B, err error) {
			b.Helper()
			if err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("preview/%d", n), func(b *testing.B) {
			s := open(b, b.TempDir(), &cloud{})
			for b.Loop() {
				_, err := s.Preview(ctx, program, engine.Options{})
				check(b, err)
			}
		})
		b.Run(fmt.Sprintf("up/%d", n), func(b *testing.B) {
			var written int64
			for b.Loop() {
				b.StopTimer()
				s := open(b, b.TempDir(), &cloud{})
				b.StartTimer()
				_, err := s.Up(ctx, program, engine.Options{})
				check(b, err)
				journal, checkpoint := s.Written()
				written = journal + checkpoint
			}
			b.ReportMetric(float64(written)/(1<<20), "written-MiB")
		})
		b.Run(fmt.Sprintf("no-change/%d", n), func(b *testing.B) {
			s := open(b, b.TempDir(), &cloud{})
			_, err := s.Up(ctx, program, engine.Options{})
			check(b, err)
			for b.Loop() {
				_, err := s.Up(ctx, program, engine.Options{})
				check(b, err)
			}
		})
		b.Run(fmt.Sprintf("destroy/%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := open(b, b.TempDir(), &cloud{})
				_, err := s.Up(ctx, program, engine.Options{})
				check(b, err)
				b.StartTimer()
				_, err = s.Destroy(ctx, engine.Options{})
				check(b, err)
			}
		})
	}
}

// BenchmarkParallel is the first up of 250 resources whose provider takes 20 ms
// for each, by how many run at once.
func BenchmarkParallel(b *testing.B) {
	for _, parallel := range []int32{16, 64, 256} {
		b.Run(fmt.Sprint(parallel), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				c := &cloud{delay: 20 * time.Millisecond}
				s, err := engine.Open(engine.Config{Files: engine.Directory(b.TempDir()), Project: "shop", Name: "dev", Secrets: engine.NewSecrets("correct horse", salt()),
					Table: table, Parallel: parallel, Providers: map[string]engine.ProviderFactory{"sim": c.factory}})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if _, err := s.Up(context.Background(), flat(250), engine.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// flat is a program of n resources that do not depend on each other.
func flat(n int) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		for i := range n {
			if err := ctx.RegisterResource("sim:index:Thing", name(i), pulumi.Map{"size": pulumi.Int(i)}, &thing{}); err != nil {
				return err
			}
		}
		return nil
	}
}
