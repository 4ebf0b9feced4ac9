package cmd

import (
	"context"
	"os"

	"github.com/scale-levels/scale/examples/guestbook/app"
	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/bucket"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local"
)

// environment opens the environment that the flags and the file name.
func (c *cli) environment(command string) (*stacks.Environment, config.App, error) {
	a, err := c.app()
	if err != nil {
		return nil, a, err
	}
	home, err := c.homeDir()
	if err != nil {
		return nil, a, err
	}
	t, home, err := c.place(home, a)
	if err != nil {
		return nil, a, err
	}
	files, err := c.files(home, a)
	if err != nil {
		return nil, a, err
	}
	pass, err := c.passphrase(a)
	if err != nil {
		return nil, a, err
	}
	e, err := stacks.OpenIn(files, home, a, t, pass, command)
	return e, a, err
}

// files are where the environment's record and state are.
func (c *cli) files(home stacks.Home, a config.App) (engine.Files, error) {
	if a.State == "" || c.rehearse {
		return engine.Directory(home), nil
	}
	return bucket.Open(context.Background(), a.State, c.profile)
}

// place is the target of an application, and where its environments are kept: those
// of rehearsals apart from what is real.
func (c *cli) place(home stacks.Home, a config.App) (stacks.Target, stacks.Home, error) {
	usage, err := aws.ParseUsage(c.usage)
	if err != nil {
		return nil, home, err
	}
	switch {
	case a.Target != config.AWS && c.rehearse:
		return nil, home, &usageError{"--rehearse stands for an AWS account, and the target is " + a.Target, "add --target aws; the local target needs no rehearsal: 'scale up --env try' makes it stand"}
	case a.Target != config.AWS:
		t, err := here(home, a)
		return t, home, err
	case c.rehearse:
		home = home.Rehearsal()
		cloud := aws.NewRehearsal()
		if err := cloud.Keep(home.Account(a.Name, a.Env)); err != nil {
			return nil, home, &usageError{"the rehearsed account cannot be read: " + err.Error(), "move it away to begin anew"}
		}
		return aws.New(aws.Config{Domain: a.Domain, Account: a.Account, Usage: usage, Fetched: fetched(), Rehearsal: cloud}), home, nil
	case a.File == "":
		return nil, home, &usageError{"the built-in example has no image that AWS could run", "add --rehearse, or write a scale.yaml: scale init"}
	default:
		return aws.New(aws.Config{Domain: a.Domain, Account: a.Account, Profile: c.profile, Endpoint: c.endpoint, Usage: usage, Fetched: fetched()}), home, nil
	}
}

// localTarget is the machine in front of us.
type localTarget interface {
	stacks.Target
	Doctor() []plan.Finding
	InspectApp(ctx context.Context, t topology.Topology, paths []string) ([]plan.Finding, error)
	Purge(ctx context.Context, path string) (forgotten int, err error)
}

// here is the local target for one environment of an application.
func here(home stacks.Home, a config.App) (localTarget, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	root := home.Root(a.Name, a.Env)
	arbiter := []string{exe, "failover", "--automatic", "--home", string(home), "--env", a.Env}
	if a.File != "" {
		arbiter = append(arbiter, "--file", a.File)
	}
	return newLocal(local.Config{Root: root, Agent: []string{exe, "agent", root}, Arbiter: arbiter, Build: build(exe), Example: app.Public(), Domain: a.Domain})
}

// passphrase is what opens the environment's secrets: a passphrase, or a key that seals
// theirs. A rehearsal asks no account for one.
func (c *cli) passphrase(a config.App) (p stacks.Passphrase, err error) {
	p = stacks.Passphrase{Value: os.Getenv("SCALE_PASSPHRASE"), File: os.Getenv("SCALE_PASSPHRASE_FILE")}
	if a.Key != "" && !c.rehearse {
		p.Vault, err = aws.SealedBy(a.Key, c.profile)
	}
	return p, err
}
