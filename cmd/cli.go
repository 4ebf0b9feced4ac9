package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/scale-levels/scale/examples/guestbook/app"
	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/stacks"
)

// cli is what commands share: streams, the flags of all of them, and how to come
// from those to an environment.
type cli struct {
	*Streams
	now context.Context // done at the second interrupt

	file, env, target string
	rehearse          bool
	profile, endpoint string
	usage             map[string]string
	home              string
	aside             string // what is added to the environment's name: it is another one
	color             string
	output            string
	json              bool
}

const configFile = "scale.yaml"

// app is the application in the chosen environment.
func (c *cli) app() (config.App, error) {
	a, err := c.read()
	if c.aside != "" { // beside the one of that name
		a.Env, a.Port = a.Env+c.aside, 0
		if a.Database != nil { // the arbiter would look after the one of that name
			d := *a.Database
			d.Failover, a.Database = "", &d
		}
	}
	return a, err
}

// read reads scale.yaml for the chosen environment. Without a file it is the
// built-in guestbook, unless one was asked for.
func (c *cli) read() (config.App, error) {
	file := c.file
	if file == "" {
		file = findUp(configFile)
	}
	if file == "" {
		return builtin(c.env, c.wantedTarget())
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return config.App{}, err
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return config.App{}, &usageError{c.file + " does not exist", "'scale init' writes one; without --file the built-in example runs"}
	}
	if err != nil {
		return config.App{}, &usageError{"scale.yaml cannot be read: " + err.Error(), ""}
	}
	f, err := config.Parse(relative(file), b)
	if err != nil {
		return config.App{}, err
	}
	a, err := f.App(c.env)
	if err != nil {
		return a, err
	}
	if err := override(&a, c.wantedTarget()); err != nil {
		return a, err
	}
	if err := absolute(&a, file); err != nil {
		return a, err
	}
	return a, a.Fit()
}

// findUp looks for a file here and in the directories above, as git does.
func findUp(name string) string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		f := filepath.Join(dir, name)
		if _, err := os.Stat(f); err == nil {
			return f
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

func relative(file string) string {
	dir, err := os.Getwd()
	if err != nil {
		return file
	}
	if r, err := filepath.Rel(dir, file); err == nil && !strings.HasPrefix(r, "..") {
		return r
	}
	return file
}

// absolute makes the paths of the file absolute.
func absolute(a *config.App, file string) error {
	a.File, a.Dir = file, filepath.Dir(file)
	at := func(p string) string {
		if filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(a.Dir, p)
	}
	for s := range a.Each() {
		s.Dir = at(s.Dir)
	}
	if a.Static != nil {
		a.Static.Dir = at(a.Static.Dir)
	}
	if a.Page != "" {
		a.Page = at(a.Page)
		if _, err := os.Stat(a.Page); err != nil {
			return &config.Problem{File: relative(file), Key: "maintenance.page", What: a.Page + " cannot be read", Hint: "the path is relative to scale.yaml"}
		}
	}
	return nil
}

func override(a *config.App, target string) error {
	switch target {
	case "", a.Target:
		return nil
	case config.DefaultTarget, config.AWS:
		a.Target = target
		return nil
	default:
		return &usageError{"there is no target " + target, "the targets are local and aws"}
	}
}

// builtin is the guestbook that scale carries, for a first look without a file.
func builtin(env, target string) (config.App, error) {
	exe, err := os.Executable()
	if err != nil {
		return config.App{}, err
	}
	f := config.File{
		Name: "guestbook",
		Services: map[string]config.Service{"web": {
			Command: config.Command{exe, "guestbook", "serve"}, Health: "/healthz", Routes: []string{"/api", "/healthz"}, Calls: []string{"likes"},
		}, "likes": {
			Command: config.Command{exe, "guestbook", "likes"}, Health: "/api/likes/healthz", Routes: []string{"/api/likes"}, From: 5,
			Gateway: &config.Gateway{Timeout: 5, OpenAfter: 5, OpenFor: 5},
		}},
		Static:   &config.Static{Route: "/"},
		Database: &config.Database{},
		Regions:  []string{"us-east-1", "eu-west-1"}, // the second from level 3 on
	}
	if env != "" && !config.ValidName(env) {
		return config.App{}, &usageError{"--env " + env + " is not allowed", config.NameHint}
	}
	a, err := f.App(env)
	if err != nil {
		return a, err
	}
	for i := range a.Services {
		a.Services[i].Release = version()
	}
	if a.Static.Release, err = stacks.Digest(app.Public(), nil); err != nil {
		return a, err
	}
	if err := override(&a, target); err != nil {
		return a, err
	}
	if a.Target == config.AWS { // only ever rehearsed: nobody published its images
		a.Domain = "guestbook.example.com"
		for i := range a.Services {
			a.Services[i].Image, a.Services[i].Gateway = "example.com/guestbook-"+a.Services[i].Name+":"+version(), nil
		}
	}
	return a, a.Fit()
}

// wantedTarget is that of the flags; a rehearsal is one of AWS.
func (c *cli) wantedTarget() string {
	if c.rehearse && c.target == "" {
		return config.AWS
	}
	return c.target
}

// homeDir is where environments are kept: --home, or by the XDG convention. As
// root it is /var/lib/scale: the database's unprivileged user could not pass
// through root's home.
func (c *cli) homeDir() (stacks.Home, error) {
	if c.home != "" {
		h, err := filepath.Abs(c.home)
		return stacks.Home(h), err
	}
	if os.Geteuid() == 0 {
		return "/var/lib/scale", nil
	}
	if x := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(x) {
		return stacks.Home(filepath.Join(x, "scale")), nil
	}
	h, err := os.UserHomeDir()
	if err != nil {
		return "", &usageError{"there is no home directory: " + err.Error(), "set SCALE_HOME to where environments are kept"}
	}
	return stacks.Home(filepath.Join(h, ".local", "state", "scale")), nil
}

// terminal reports whether a person is there to answer and to watch.
func (c *cli) terminal() bool { return isTerminal(c.In) && isTerminal(c.Out) && !c.inCI() }

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}

// inCI: a build server may give a terminal, and nobody sits at it.
func (c *cli) inCI() bool {
	for _, k := range []string{"CI", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "JENKINS_URL", "TF_BUILD", "TEAMCITY_VERSION"} {
		if v := os.Getenv(k); v != "" && v != "false" && v != "0" {
			return true
		}
	}
	return false
}

func (c *cli) styleOf(w io.Writer) view.Style {
	s := view.Style{Width: 100}
	f, ok := w.(*os.File)
	tty := ok && term.IsTerminal(f.Fd())
	if tty {
		if width, _, err := term.GetSize(f.Fd()); err == nil && width > 0 {
			s.Width = width
		}
	}
	switch c.color {
	case "always":
		s.Color = true
	case "never":
	default:
		s.Color = tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return s
}

func (c *cli) style() view.Style    { return c.styleOf(c.Out) }
func (c *cli) errStyle() view.Style { return c.styleOf(c.Err) }

// format is how the answer is written.
func (c *cli) format() (string, error) {
	if c.json {
		return "json", nil
	}
	switch c.output {
	case "text", "json", "markdown":
		return c.output, nil
	default:
		return "", &usageError{"--output " + c.output + " does not exist", "it is text, json or markdown"}
	}
}

// bindEnvironment gives flags that were not typed the value of SCALE_<FLAG>, or
// of the user's own file.
func bindEnvironment(cmd *cobra.Command) error {
	user, err := userFile()
	if err != nil {
		return err
	}
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || f.Name == "version" {
			return
		}
		name := "SCALE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		v, ok := os.LookupEnv(name)
		from := name
		if !ok {
			v, ok = user[f.Name]
			from = userFileName()
		}
		if !ok || v == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, v); err != nil {
			errs = append(errs, &usageError{from + ": " + err.Error(), "'scale " + cmd.Name() + " --help' tells what --" + f.Name + " takes"})
		}
	})
	return errors.Join(errs...)
}

func userFileName() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "scale", "config.yaml")
}

// userFile has flags by name, for all projects of a person.
func userFile() (map[string]string, error) {
	b, err := os.ReadFile(userFileName())
	if err != nil {
		return nil, nil // there need be none
	}
	var m map[string]string
	if err := yaml.Unmarshal(b, &m); err != nil {
		return nil, &usageError{userFileName() + ": " + err.Error(), "it holds flags by name, for example: color: never"}
	}
	return m, nil
}

// lockTimeout is the flag that the commands share that take the lease.
func lockTimeout(cmd *cobra.Command) *time.Duration {
	return cmd.Flags().Duration("lock-timeout", 0, "wait this long for another run to end, instead of failing at once")
}
