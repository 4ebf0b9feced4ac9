package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks"
)

func newCompare(c *cli) *cobra.Command {
	o, measure := &load{}, false
	cmd := &cobra.Command{
		Use: "compare LEVEL LEVEL [REQUEST…]", Short: "Put two levels side by side, and measure both",
		Long: `compare says what two levels have and promise. With --measure it makes an environment of
its own, brings it to the one and the other, puts the same load on both as bench does, and
deletes it; what stands already is not touched.`,
		Example: `  scale compare 2 3
  scale compare 2 3 --measure / /api/entries --rate 20`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 2 && !measure {
				return &usageError{"compare takes two levels", "scale compare 2 3, with --measure also requests"}
			}
			return nil
		},
		ValidArgsFunction: completeLevels,
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			both := view.Comparison{Version: plan.Version}
			for _, arg := range args[:2] {
				n, err := strconv.Atoi(arg)
				if err != nil {
					return &usageError{fmt.Sprintf("%q is not a level", arg), "levels are numbers: scale compare 2 3"}
				}
				l, err := levels.Get(n)
				if err != nil {
					return err
				}
				both.Levels = append(both.Levels, l)
			}
			if measure {
				if err := o.check(args[2:]); err != nil {
					return err
				}
				if both.Measured, err = c.measured(cmd.Context(), both.Levels, o.Load); err != nil {
					return err
				}
			}
			if format == "json" {
				return view.JSON(c.Out, both)
			}
			view.ComparisonText(c.Out, both, c.style())
			return nil
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&measure, "measure", false, "bring an environment of its own to both, and put a load on it")
	return cmd
}

// measured is what a load meets at each level, in an environment that is made for it and
// deleted afterwards. One that a killed run has left is deleted first.
func (c *cli) measured(ctx context.Context, ls []levels.Level, load plan.Load) (bs []plan.Bench, err error) {
	aside, streams := *c, *c.Streams
	streams.Out = io.Discard // the addresses; what is planned and done is told
	aside.Streams, aside.aside, aside.json, aside.output = &streams, "-compare", false, "text"
	a, err := aside.app()
	if err != nil {
		return nil, err
	}
	if a.Target != config.DefaultTarget {
		return nil, &usageError{"this version measures the target local only", "leave --measure out"}
	}
	walk := func(ctx context.Context, g stacks.Goal) error {
		w := &change{goal: g, yes: true, immediately: true, lockTimeout: new(time.Duration)}
		return w.run(ctx, &aside)
	}
	gone := func() error {
		e, _, err := aside.environment("scale compare")
		if err != nil || !e.Exists() {
			return err
		}
		return walk(context.WithoutCancel(ctx), stacks.Goal{Verb: "down", DeleteData: true})
	}
	if err := gone(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, gone()) }()
	for _, l := range ls {
		if err := walk(ctx, stacks.Goal{Verb: "up", Level: l.Number}); err != nil {
			return nil, err
		}
		e, _, err := aside.environment("scale compare")
		if err != nil {
			return nil, err
		}
		b, err := e.Bench(ctx, load, nil)
		if err != nil {
			return nil, err
		}
		bs = append(bs, b)
	}
	return bs, nil
}
