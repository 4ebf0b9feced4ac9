package cmd

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/examples/guestbook/app"
	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/stacks/local"
)

// release is set by the linker for a released binary.
var release string

// version names this build: the release, or the commit it was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "dev-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "dev"
}

// build names an executable so that another one is told apart: two development
// builds have the same version.
func build(exe string) string {
	info, err := os.Stat(exe)
	if err != nil {
		return version()
	}
	return fmt.Sprintf("%s-%x-%x", version(), info.ModTime().UnixNano(), info.Size())
}

func newVersion(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{version(), strings.TrimPrefix(runtime.Version(), "go"), runtime.GOOS, runtime.GOARCH}
			if c.json {
				return view.JSON(c.Out, v)
			}
			fmt.Fprintf(c.Out, "scale %s (go %s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
			return nil
		},
	}
}

func newSchema(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of scale.yaml", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			b, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = c.Out.Write(b)
			return err
		},
	}
}

// newAgent is the process that keeps a local environment running; other commands start it.
func newAgent() *cobra.Command {
	var takeover bool
	cmd := &cobra.Command{
		Use: "agent ROOT", Hidden: true, Args: cobra.ExactArgs(1), Short: "Keep a local environment running",
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(_ *cobra.Command, args []string) error {
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			return local.RunAgent(args[0], build(exe), takeover)
		},
	}
	cmd.Flags().BoolVar(&takeover, "takeover", false, "replace the agent that runs")
	return cmd
}

// newGuestbook is the built-in example application; an environment starts it.
func newGuestbook() *cobra.Command {
	return &cobra.Command{
		Use: "guestbook [serve|likes|work]", Hidden: true, DisableFlagParsing: true, Short: "Run the built-in example application",
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE:              func(_ *cobra.Command, args []string) error { return app.Main(args) },
	}
}
