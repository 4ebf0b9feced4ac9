package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// rehearsed is what 'scale rehearse' tells.
type rehearsed struct {
	Version int              `json:"version"`
	App     string           `json:"app"`
	Where   string           `json:"where"`
	Walks   []rehearsedWalk  `json:"walks"`
	Lost    int              `json:"lost"` // resources that hold data and were replaced or deleted on the way
	Left    []plan.Component `json:"left"` // what stands at the end
	Took    time.Duration    `json:"took"`
	Unknown []string         `json:"unknown"`
}

// rehearsedWalk is one change of level.
type rehearsedWalk struct {
	From    int           `json:"from"`
	To      int           `json:"to"`
	Steps   []plan.Step   `json:"steps"`
	Stands  int           `json:"stands"`
	Took    time.Duration `json:"took"`
	Expects time.Duration `json:"expects"` // in a real account, by the table of durations
	Data    string        `json:"data"`
}

func newRehearse(c *cli) *cobra.Command {
	var from, to int
	var back, here bool
	var speed float64
	cmd := &cobra.Command{
		Use: "rehearse", Short: "Walk the ladder in a simulated AWS account: no credentials, no network", Args: noArgs,
		Long: `rehearse takes the application from level to level through the real engine, in an
account that answers, refuses and remembers as AWS does, as far as that is known,
and is gone afterwards. To keep one and go on in it: scale up --rehearse.`,
		Example: `  scale rehearse --from 1 --to 5 --and-back
  scale rehearse --here --to 4        # a copy of what stands
  scale rehearse --to 3 --speed 0.1   # a tenth of the time that it would take`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.rehearseLadder(cmd.Context(), from, to, here, back, speed)
		},
	}
	f := cmd.Flags()
	f.IntVar(&from, "from", 1, "the level to begin at")
	f.IntVar(&to, "to", 5, "the level to walk to")
	f.BoolVar(&here, "here", false, "begin with a copy of what stands; it is only read")
	f.BoolVar(&back, "and-back", false, "walk back too, and take everything down with its data")
	f.Float64Var(&speed, "speed", 0, "scale the durations of a real account by this: 1 is real time, 0 none")
	complete(cmd, "from", completeLevels)
	complete(cmd, "to", completeLevels)
	return cmd
}

func (c *cli) rehearseLadder(ctx context.Context, from, to int, here, back bool, speed float64) error {
	format, err := c.format()
	if err != nil {
		return err
	}
	for _, l := range []int{from, to} {
		if !known(l) {
			return &usageError{fmt.Sprintf("there is no level %d", l), "'scale levels' lists them"}
		}
	}
	dir, err := os.MkdirTemp("", "scale-rehearsal-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cloud := aws.NewRehearsal()
	cloud.Speed = speed
	e, err := c.stage(ctx, stacks.Home(dir), cloud, here)
	if err != nil {
		return err
	}
	if here {
		from = e.Level()
	}
	r := rehearsed{Version: plan.Version, App: e.Name(), Unknown: aws.Unknowable}
	text := c.Out
	if format != "text" {
		text = io.Discard
	}
	began := time.Now()
	for _, g := range ladder(from, to, back) {
		if err := r.walk(ctx, c, e, cloud, g, text); err != nil {
			return err
		}
	}
	r.Took = time.Since(began)
	for _, t := range cloud.Things() {
		if back {
			r.Left = append(r.Left, plan.Component{Name: t.Name, Kind: t.Type, State: "kept"})
		}
	}
	if format != "text" {
		return view.JSON(c.Out, r)
	}
	fmt.Fprintf(text, "\n%d resources that hold data were replaced or deleted on the way. Rehearsed in %s.\n", r.Lost, view.Duration(r.Took))
	if back {
		fmt.Fprintln(text, "Left in the account, since it holds what users put there:")
		for _, l := range r.Left {
			fmt.Fprintf(text, "  %s  %s\n", l.Name, l.Kind)
		}
	}
	fmt.Fprintln(text, "What a rehearsal cannot know:")
	for _, u := range r.Unknown {
		fmt.Fprintln(text, "  "+u)
	}
	return nil
}

// stage is the environment that a rehearsal walks with: a new one, or a copy of what
// stands, which the rehearsal must see as it is.
func (c *cli) stage(ctx context.Context, home stacks.Home, cloud *rehearsal.Cloud, here bool) (*stacks.Environment, error) {
	const command = "scale rehearse"
	if !here {
		c.rehearse, c.target = true, config.AWS
	}
	a, err := c.app()
	if err != nil {
		return nil, err
	}
	target := aws.New(aws.Config{Domain: a.Domain, Account: a.Account, Rehearsal: cloud})
	if !here {
		return stacks.Open(home, a, target, stacks.Passphrase{Value: "rehearsal"}, command)
	}
	if a.Target != config.AWS {
		return nil, &usageError{"what stands on this machine is no AWS account that could be rehearsed", "leave --here out; or --target aws"}
	}
	e, _, err := c.environment(command)
	if err != nil {
		return nil, err
	}
	copied, standing, err := e.Copy(ctx, home, target, command)
	if err != nil {
		return nil, err
	}
	cloud.Seed(standing)
	return copied, nil
}

// ladder are the goals of a rehearsal, a level at a time.
func ladder(from, to int, back bool) []stacks.Goal {
	var gs []stacks.Goal
	step := 1
	if to < from {
		step = -1
	}
	for l := from; l != to+step; l += step {
		gs = append(gs, stacks.Goal{Verb: "up", Level: l})
	}
	if !back {
		return gs
	}
	for l := to - step; l != from-step; l -= step {
		gs = append(gs, stacks.Goal{Verb: "up", Level: l})
	}
	return append(gs, stacks.Goal{Verb: "down"}, stacks.Goal{Verb: "down", DeleteData: true})
}

// walk takes one change of level, and tells what it did.
func (r *rehearsed) walk(ctx context.Context, c *cli, e *stacks.Environment, cloud *rehearsal.Cloud, g stacks.Goal, text io.Writer) error {
	began := time.Now()
	p, err := e.Plan(ctx, g, nil)
	if err != nil {
		return err
	}
	// Data that a service's move leaves behind is named in the plan; nobody's is in a rehearsal.
	for _, v := range p.Violations {
		fmt.Fprintf(text, "  would be refused (%s): %s\n", v.Rule, v.What)
		g.AllowDataLoss = append(g.AllowDataLoss, v.Resource)
	}
	if len(p.Violations) > 0 {
		if p, err = e.Plan(ctx, g, nil); err != nil {
			return err
		}
	}
	if err := e.Walk(ctx, c.now, g, p, func(plan.Event) {}); err != nil {
		return err
	}
	w := rehearsedWalk{From: p.From, To: p.To, Steps: p.Steps, Stands: len(cloud.Things()), Took: time.Since(began), Data: view.Worst(p, view.Style{})}
	for _, s := range p.Steps {
		w.Expects += time.Duration(s.Expect * float64(time.Second))
		for _, ch := range s.Changes {
			if ch.Holds && (ch.Op == plan.Delete || ch.Op == plan.Replace) && !g.DeleteData {
				r.Lost++
			}
		}
	}
	r.Walks, r.Where = append(r.Walks, w), p.Where
	if len(r.Walks) == 1 {
		fmt.Fprintf(text, "%s\n", p.Where)
	}
	fmt.Fprintf(text, "\nlevel %d → %d: %s; %d resources stand; in a real account about %s\n", w.From, w.To, view.Counts(p), w.Stands, view.Duration(w.Expects))
	for _, s := range p.Steps {
		fmt.Fprintf(text, "  %-14s %s (%d changes)\n", s.ID, s.Title, len(s.Changes))
	}
	fmt.Fprintf(text, "  %s\n", w.Data)
	return nil
}
