package aws_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/scale-levels/scale/internal/plan"
)

// A preview of each level from nothing, in one region with one service.
func BenchmarkPreview(b *testing.B) {
	for level := 1; level <= 5; level++ {
		b.Run(fmt.Sprintf("level%d", level), func(b *testing.B) {
			w := newWorld(b, 1, 1)
			var p plan.Plan
			for b.Loop() {
				var err error
				if p, err = w.env.Plan(context.Background(), goal(level), nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(p.Changes())), "resources")
		})
	}
}

// The walk from 1 to 5, level by level, in a rehearsed account at speed 0.
func BenchmarkLadder(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, 1, 1)
		for level := 1; level <= 5; level++ {
			w.to(level)
		}
	}
}

// Three regions with more and more services, created at level 5: the time and the
// memory a resource should stay the same.
func BenchmarkManyServices(b *testing.B) {
	for _, services := range []int{5, 25, 50} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				w := newWorld(b, 3, services)
				w.to(5)
				n = len(w.cloud.Things())
			}
			b.ReportMetric(float64(n), "resources")
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/float64(n), "ms/resource")
		})
	}
}
