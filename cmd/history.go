package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/engine"
)

func newHistory(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "history", Short: "List what was done to the environment, the newest last", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			e, _, err := c.environment("scale history")
			if err != nil {
				return err
			}
			if format == "json" {
				return view.JSON(c.Out, struct {
					Version int            `json:"version"`
					History []stacks.Entry `json:"history"`
				}{plan.Version, e.History()})
			}
			s := c.style()
			for _, h := range e.History() {
				result := s.Good(h.Result)
				if h.Result != "done" {
					result = s.Bad(h.Result)
				}
				fmt.Fprintf(c.Out, "%s  %-4s level %d → %d  %s  %s  %s\n", h.Time.Local().Format("2006-01-02 15:04:05"), h.Verb, h.From, h.To,
					result, h.Changes, s.Faint(view.Duration(h.Took)+", "+h.By))
			}
			return nil
		},
	}
}

func newLock(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lock", Short: "See who holds the environment, or clear what a dead holder left",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Sprintf("there is no command 'lock %s'", args[0]), "it is 'scale lock status' or 'scale lock release'"}
			}
			return cmd.Help()
		},
	}
	status := &cobra.Command{
		Use: "status", Short: "Say who holds the environment, and whether that process lives", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			e, _, err := c.environment("scale lock status")
			if err != nil {
				return err
			}
			lease, lock, err := e.Locks()
			if err != nil {
				return err
			}
			if format == "json" {
				return view.JSON(c.Out, struct {
					Version int              `json:"version"`
					Lease   engine.LockState `json:"lease"`
					Lock    engine.LockState `json:"lock"`
				}{plan.Version, lease, lock})
			}
			fmt.Fprintf(c.Out, "lease (for a whole change):  %s\n", lockText(lease))
			fmt.Fprintf(c.Out, "lock (for one engine update): %s\n", lockText(lock))
			return nil
		},
	}
	release := &cobra.Command{
		Use: "release", Short: "Clear what a dead holder left; a living one is refused", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			e, _, err := c.environment("scale lock release")
			if err != nil {
				return err
			}
			released, err := e.ReleaseStale()
			if err != nil {
				return err
			}
			for _, h := range released {
				fmt.Fprintf(c.Out, "cleared what %s left\n", h)
			}
			if len(released) == 0 {
				fmt.Fprintln(c.Out, "nothing is held")
			}
			return nil
		},
	}
	cmd.AddCommand(status, release)
	return cmd
}

func lockText(s engine.LockState) string {
	switch {
	case s.Held:
		return "held by " + s.Holder.String() + ", which lives"
	case s.Stale:
		return "left by " + s.Holder.String() + ", which ended without releasing it; the next run takes it over"
	default:
		return "free"
	}
}
