package cmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/config"
)

const longHelp = `scale takes a web application to a scaling level of its architecture, and from
there to any other.

  scale up --level 1     make it stand (without a scale.yaml: a built-in example)
  scale preview          see what that would do to data, downtime and cost first
  scale status           see how it stands
  scale down             take it down; the data is kept

On a terminal, 'scale' alone opens a screen to choose, watch and understand.`

func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use: "scale", Short: "Take a web application to a scaling level of its architecture", Long: longHelp,
		SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return bindEnvironment(cmd) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			if !c.terminal() {
				return cmd.Help()
			}
			return c.open(cmd.Context())
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&c.file, "file", "", "the application's scale.yaml (default: the one here or in a directory above)")
	f.StringVarP(&c.env, "env", "e", "", "the environment (default: the file's only one, or dev)")
	f.StringVar(&c.target, "target", "", "where it stands: local, aws")
	f.BoolVar(&c.rehearse, "rehearse", false, "in a rehearsed AWS account, kept in a state of its own: no credentials, no network")
	f.StringVar(&c.profile, "profile", "", "profile of the shared AWS configuration (default: the standard chain)")
	f.StringVar(&c.endpoint, "endpoint", "", "URL of an emulator that answers for AWS")
	f.StringToStringVar(&c.usage, "usage", nil, "traffic that costs are reckoned with: egress and nat in GB a month, lcu on average (default: egress=10,nat=5,lcu=1)")
	f.StringVar(&c.home, "home", "", "where environments are kept (default: /var/lib/scale as root, ~/.local/state/scale otherwise)")
	f.StringVar(&c.color, "color", "auto", "colours: auto, always, never")
	f.StringVarP(&c.output, "output", "o", "text", "how the answer is written: text, json, markdown")
	f.BoolVar(&c.json, "json", false, "short for --output json")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err.Error(), "'" + cmd.CommandPath() + " --help' lists the flags"}
	})
	root.AddCommand(
		newInit(c), newLevels(c), newExplain(c), newPreview(c), newUp(c), newRehearse(c), newCost(c), newDrift(c), newEject(c), newStatus(c), newOutputs(c), newLogs(c), newDown(c), newFailover(c), newPurge(c),
		newBench(c), newChaos(c), newCompare(c), newHistory(c), newLock(c), newDoctor(c), newVersion(c), newSchema(c), newAgent(), newGuestbook(), newDocs(c),
	)
	root.InitDefaultCompletionCmd()
	complete(root, "env", c.completeEnvironments)
	complete(root, "target", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"local", "aws"}, cobra.ShellCompDirectiveNoFileComp
	})
	for flag, values := range map[string][]string{"color": {"auto", "always", "never"}, "output": {"text", "json", "markdown"}} {
		complete(root, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return root
}

func unknownCommand(root *cobra.Command, name string) error {
	var names []string
	for _, s := range root.Commands() {
		if s.IsAvailableCommand() {
			names = append(names, s.Name())
		}
	}
	hint := "the commands are " + strings.Join(names, ", ")
	if near := config.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean 'scale %s'? %s", near, hint)
	}
	return &usageError{fmt.Sprintf("there is no command %q", name), hint}
}

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

func complete(cmd *cobra.Command, flag string, f completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag is defined beside it
	}
}

// noArgs refuses arguments with a hint.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Sprintf("%s takes no argument, and got %q", cmd.CommandPath(), args[0]), "'" + cmd.CommandPath() + " --help' tells what it takes"}
	}
	return nil
}
