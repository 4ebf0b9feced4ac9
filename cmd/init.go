package cmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/detect"
	"github.com/scale-levels/scale/templates"
)

func newInit(c *cli) *cobra.Command {
	var a templates.ScaleYAML
	var noDatabase, force bool
	cmd := &cobra.Command{
		Use: "init", Short: "Write a scale.yaml for the project in this directory", Args: noArgs,
		Long: `init looks at the project, asks what it cannot find out, and writes scale.yaml.
Every question is also a flag; without a terminal nothing is asked.`,
		Example: `  scale init
  scale init --name shop --command 'gunicorn --bind $HOST:$PORT shop.wsgi' --health /healthz`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file := c.file
			if file == "" {
				file = configFile
			}
			if _, err := os.Stat(file); err == nil && !force {
				return &usageError{file + " exists already; nothing was changed", "look at it with 'scale preview', or replace it with --force"}
			}
			dir, err := filepath.Abs(filepath.Dir(file))
			if err != nil {
				return err
			}
			g := detect.Project(os.DirFS(dir))
			fill(&a, g, filepath.Base(dir))
			if noDatabase {
				a.Database = false
			}
			if c.terminal() {
				if err := ask(c, &a, g, cmd.Flags().Changed); err != nil {
					return err
				}
			}
			return writeConfig(c, file, a, g)
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.Name, "name", "", "the application's name (default: the directory's)")
	f.StringVar(&a.Service, "service", "web", "the service's name")
	f.StringVar(&a.Command, "command", "", "what starts it (default: what the project's files say)")
	f.StringVar(&a.Migrate, "migrate", "", "what runs before a new release starts")
	f.StringVar(&a.Health, "health", "", "path that answers when it is ready (default: /)")
	f.StringSliceVar(&a.Routes, "routes", nil, "path prefixes that reach the service (default: all but static files)")
	f.StringVar(&a.Static, "static", "", "directory of static files")
	f.StringVar(&a.Route, "static-route", "", "path prefix of the static files (default: /static)")
	f.BoolVar(&a.Database, "database", false, "it uses PostgreSQL through DATABASE_URL")
	f.BoolVar(&noDatabase, "no-database", false, "it uses no database, whatever its files say")
	f.StringVar(&a.Region, "region", config.DefaultRegion, "the home region")
	f.BoolVar(&force, "force", false, "replace the file that is there")
	return cmd
}

// fill takes from the guess what no flag has said.
func fill(a *templates.ScaleYAML, g detect.Guess, dir string) {
	set := func(v *string, def string) {
		if *v == "" {
			*v = def
		}
	}
	set(&a.Name, nameFrom(dir))
	set(&a.Command, g.Command)
	set(&a.Migrate, g.Migrate)
	set(&a.Health, g.Health)
	set(&a.Health, config.DefaultHealth)
	set(&a.Static, g.Static)
	set(&a.Route, g.Route)
	set(&a.Route, "/static")
	a.Database = a.Database || g.Database
}

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// nameFrom makes an allowed name of a directory's.
func nameFrom(dir string) string {
	n := strings.Trim(notName.ReplaceAllString(strings.ToLower(dir), "-"), "-")
	n = strings.TrimLeft(n, "0123456789-")
	if len(n) > 40 {
		n = strings.TrimRight(n[:40], "-")
	}
	if !config.ValidName(n) {
		return "app"
	}
	return n
}

// ask goes through what no flag has answered; return keeps what is in brackets.
func ask(c *cli, a *templates.ScaleYAML, g detect.Guess, given func(string) bool) error {
	in, s := bufio.NewReader(c.In), c.errStyle()
	if g.Language != "" {
		fmt.Fprintf(c.Err, "This looks like a %s project (%s). Return keeps what is in brackets.\n\n", g.Language, g.Why)
	}
	question := func(flag, text string, v *string, check func(string) string) error {
		for !given(flag) {
			fmt.Fprintf(c.Err, "%s %s ", s.Bold(text), s.Faint("["+*v+"]"))
			line, err := in.ReadString('\n')
			if errors.Is(err, io.EOF) {
				fmt.Fprintln(c.Err, "\nNothing was written.")
				return exitCode(exitCancelled)
			}
			if err != nil {
				return err
			}
			answer := strings.TrimSpace(line)
			if answer == "" {
				answer = *v
			}
			if answer == "-" {
				answer = ""
			}
			if wrong := check(answer); wrong != "" {
				fmt.Fprintln(c.Err, s.Bad("  "+wrong))
				continue
			}
			*v = answer
			return nil
		}
		return nil
	}
	anything := func(string) string { return "" }
	name := func(v string) string {
		if !config.ValidName(v) {
			return config.NameHint
		}
		return ""
	}
	needed := func(v string) string {
		if v == "" {
			return "something must start it"
		}
		return ""
	}
	path := func(v string) string {
		if !strings.HasPrefix(v, "/") {
			return "a path starts with /"
		}
		return ""
	}
	database := "no"
	if a.Database {
		database = "yes"
	}
	yesNo := func(v string) string {
		if v != "yes" && v != "no" && v != "y" && v != "n" {
			return "yes or no"
		}
		return ""
	}
	err := errors.Join(
		question("name", "Name of the application?", &a.Name, name),
		question("command", "What starts it?", &a.Command, needed),
		question("migrate", "What runs before a new release (migrations; - for nothing)?", &a.Migrate, anything),
		question("health", "Which path answers when it is ready?", &a.Health, path),
		question("static", "Directory of static files (- for none)?", &a.Static, anything),
		question("database", "Does it use PostgreSQL?", &database, yesNo),
	)
	if !given("database") {
		a.Database = strings.HasPrefix(database, "y")
	}
	return err
}

func writeConfig(c *cli, file string, a templates.ScaleYAML, g detect.Guess) error {
	if a.Command == "" {
		return &usageError{"what starts the application is not known", "say it: scale init --command './server --port $PORT'"}
	}
	text, err := a.Render()
	if err != nil {
		return err
	}
	if _, err := config.Parse(file, []byte(text)); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return &usageError{"the file cannot be written: " + err.Error(), ""}
	}
	fmt.Fprintf(c.Err, "Wrote %s.\n", file)
	if g.Port != 0 {
		fmt.Fprintf(c.Err, "%s it seems to listen on port %d whatever PORT says: let it read PORT.\n", c.errStyle().Warn("note:"), g.Port)
	}
	fmt.Fprintf(c.Err, "Next: %s\n", c.errStyle().Accent("scale preview"))
	return nil
}
