package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/stacks"
)

func newLogs(c *cli) *cobra.Command {
	var follow bool
	var last int
	cmd := &cobra.Command{
		Use: "logs [COMPONENT]", Short: "Show what the components say",
		Example: `  scale logs
  scale logs -f web-use1-g1-1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{"logs takes at most one component", "without one it shows all of them"}
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			e, _, err := c.environment("scale logs")
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			names, _ := e.Logs()
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			e, _, err := c.environment("scale logs")
			if err != nil {
				return err
			}
			names, err := chosenLogs(e, args)
			if err != nil {
				return err
			}
			return showLogs(cmd.Context(), c, e, names, last, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as lines come")
	cmd.Flags().IntVarP(&last, "lines", "n", 50, "how many lines of each to begin with")
	return cmd
}

// chosenLogs are the components that an argument means: one by its name, or all
// whose names start with it and a dash.
func chosenLogs(e *stacks.Environment, args []string) ([]string, error) {
	all, err := e.Logs()
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		if len(all) == 0 {
			return nil, &usageError{"there are no logs: nothing has run yet", "'scale up' makes the environment"}
		}
		return all, nil
	}
	var chosen []string
	for _, n := range all {
		if n == args[0] || strings.HasPrefix(n, args[0]+"-") {
			chosen = append(chosen, n)
		}
	}
	if len(chosen) == 0 {
		hint := "the components are " + strings.Join(all, ", ")
		if near := config.Nearest(args[0], all); near != "" {
			hint += "; did you mean " + near + "?"
		}
		return nil, &usageError{fmt.Sprintf("there is no component %q", args[0]), hint}
	}
	return chosen, nil
}

func showLogs(ctx context.Context, c *cli, e *stacks.Environment, names []string, last int, follow bool) error {
	width := 0
	for _, n := range names {
		width = max(width, len(n))
	}
	style := c.style()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, n := range names {
		prefix := ""
		if len(names) > 1 {
			prefix = style.Faint(fmt.Sprintf("%-*s │ ", width, n))
		}
		print := func(line string) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(c.Out, prefix+line)
		}
		at, err := lastLines(e.LogFile(n), last, print)
		if err != nil {
			return err
		}
		if follow {
			wg.Go(func() { followFile(ctx, e.LogFile(n), at, print) })
		}
	}
	wg.Wait()
	return nil
}

// lastLines prints the end of a file and returns where it ends.
func lastLines(file string, n int, print func(string)) (int64, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(b) == 0 {
		lines = nil
	}
	for _, l := range lines[max(0, len(lines)-n):] {
		print(l)
	}
	return int64(len(b)), nil
}

// followFile prints what is appended, and starts over when the file is cut.
func followFile(ctx context.Context, file string, at int64, print func(string)) {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	var rest string
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		if info, err := f.Stat(); err == nil && info.Size() < at {
			at = 0
		}
		if _, err := f.Seek(at, io.SeekStart); err == nil {
			r := bufio.NewReader(f)
			for {
				s, err := r.ReadString('\n')
				at += int64(len(s))
				rest += s
				if err != nil {
					break
				}
				print(strings.TrimSuffix(rest, "\n"))
				rest = ""
			}
		}
		f.Close()
	}
}

func (c *cli) completeEnvironments(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	home, err := c.homeDir()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := home.Environments()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, ae := range all {
		if !slices.Contains(names, ae[1]) {
			names = append(names, ae[1])
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
