package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
)

func newBench(c *cli) *cobra.Command {
	var load plan.Load
	var chart string
	cmd := &cobra.Command{
		Use: "bench [REQUEST…]", Short: "Put a load on the environment, and measure what it meets",
		Long: `bench lets users ask the environment at a steady rate: those of every region at once,
each from their region and where the application's name leads them. A REQUEST is a path,
or "METHOD PATH BODY"; several are taken in turns, "/" where there is none. It tells how
long answers take, what failed, what the CDN had, what the databases did and what passed
between regions.

It asks nothing but this environment, on this machine. What it writes stays written.`,
		Example: `  scale bench /api/entries --from eu-west-1
  scale bench / 'POST /api/entries {"name":"bench","message":"hello"}' --rate 100 --for 30s --chart bench.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			if load.Requests, err = requests(args); err != nil {
				return err
			}
			if load.Rate < 1 || load.Rate > plan.MostRate {
				return &usageError{fmt.Sprintf("--rate %d is not from 1 to %d", load.Rate, plan.MostRate), "it is requests a second, of each region's users"}
			}
			if load.For < time.Second || load.For > plan.LongestOf {
				return &usageError{fmt.Sprintf("--for %s is not from 1s to %s", load.For, plan.LongestOf), ""}
			}
			e, _, err := c.environment("scale bench")
			if err != nil {
				return err
			}
			var w io.Writer
			if chart != "" {
				f, err := os.OpenFile(chart, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
				if err != nil {
					return &usageError{"the chart cannot be written: " + err.Error(), "--chart names a new file, for example bench.html"}
				}
				defer f.Close()
				w = f
			}
			b, err := e.Bench(cmd.Context(), load, w)
			if err != nil {
				if w != nil {
					_ = os.Remove(chart) // it was made above, and holds nothing
				}
				return err
			}
			if format == "json" {
				return view.JSON(c.Out, b)
			}
			view.BenchText(c.Out, b, c.style())
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&load.From, "from", nil, "the regions whose users ask (default all)")
	f.IntVar(&load.Rate, "rate", 50, "requests a second, of each region's users")
	f.DurationVar(&load.For, "for", 10*time.Second, "how long")
	f.StringVar(&chart, "chart", "", "an HTML file that shows each answer")
	return cmd
}

// requests reads "METHOD PATH BODY", of which only the path is needed.
func requests(args []string) (rs []plan.Request, err error) {
	if len(args) == 0 {
		args = []string{"/"}
	}
	for _, a := range args {
		r := plan.Request{Method: "GET", Path: a}
		if method, rest, ok := strings.Cut(a, " "); ok {
			r.Method = method
			r.Path, r.Body, _ = strings.Cut(strings.TrimSpace(rest), " ")
		}
		if !strings.HasPrefix(r.Path, "/") || r.Method == "" || strings.ToUpper(r.Method) != r.Method {
			return nil, &usageError{fmt.Sprintf("%q is no request", a), "write a path, or for example: 'POST /api/entries {\"name\":\"bench\"}'"}
		}
		rs = append(rs, r)
	}
	return rs, nil
}
