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
	"github.com/scale-levels/scale/stacks"
)

func newBench(c *cli) *cobra.Command {
	o := &load{}
	cmd := &cobra.Command{
		Use: "bench [REQUEST…]", Short: "Put a load on the environment, and measure what it meets",
		Long: `bench lets users ask the environment at a steady rate: those of every region at once,
each from their region and where the application's name leads them; below level 3, where
only home stands, over a link as long as theirs would be. A REQUEST is a path, or
"METHOD PATH BODY"; several are taken in turns, "/" where there is none. It tells how long
answers take, what failed, what the CDN had, what the databases did and what passed between
regions.

It asks nothing but this environment, on this machine. What it writes stays written.`,
		Example: `  scale bench /api/entries --from eu-west-1
  scale bench / 'POST /api/entries {"name":"bench","message":"hello"}' --rate 100 --for 30s --chart /tmp/bench.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(c, args, "scale bench", func(e *stacks.Environment, chart io.Writer) (plan.Bench, error) {
				return e.Bench(cmd.Context(), o.Load, chart)
			})
		},
	}
	o.flags(cmd)
	return cmd
}

// load is what bench and chaos share.
type load struct {
	plan.Load
	chart string
}

func (o *load) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&o.From, "from", nil, "the regions whose users ask (default all of scale.yaml)")
	f.IntVar(&o.Rate, "rate", 50, "requests a second, of each region's users")
	f.DurationVar(&o.For, "for", 10*time.Second, "how long")
	f.StringVar(&o.chart, "chart", "", "an HTML file that shows each answer; not beside the code, where it would be a change of that")
}

// check reads the requests, and whether the load is one that may be put on.
func (o *load) check(args []string) (err error) {
	if o.Requests, err = requests(args); err != nil {
		return err
	}
	if o.Rate < 1 || o.Rate > plan.MostRate {
		return &usageError{fmt.Sprintf("--rate %d is not from 1 to %d", o.Rate, plan.MostRate), "it is requests a second, of each region's users"}
	}
	if o.For < time.Second || o.For > plan.LongestOf {
		return &usageError{fmt.Sprintf("--for %s is not from 1s to %s", o.For, plan.LongestOf), ""}
	}
	return nil
}

// run reads the requests, opens the environment and the chart, and shows what the load met.
func (o *load) run(c *cli, args []string, command string, do func(*stacks.Environment, io.Writer) (plan.Bench, error)) error {
	format, err := c.format()
	if err != nil {
		return err
	}
	if err := o.check(args); err != nil {
		return err
	}
	e, _, err := c.environment(command)
	if err != nil {
		return err
	}
	var chart io.Writer
	if o.chart != "" {
		f, err := os.OpenFile(o.chart, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return &usageError{"the chart cannot be written: " + err.Error(), "--chart names a new file, for example /tmp/bench.html"}
		}
		defer f.Close()
		chart = f
	}
	b, err := do(e, chart)
	if err != nil {
		if chart != nil {
			_ = os.Remove(o.chart) // it was made above, and holds nothing
		}
		return err
	}
	if format == "json" {
		return view.JSON(c.Out, b)
	}
	view.BenchText(c.Out, b, c.style())
	return nil
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
