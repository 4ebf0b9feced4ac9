//go:build unix

package local

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// backend is a process an instance, after the migration of its release.
func (p *program) backend(n topology.Node, c pulumi.Resource) error {
	b, after := n.Backend, append(p.behind(n.ID), p.made[n.ID]...)
	if b.Instances == 0 {
		return nil // an idle colour
	}
	dir := pulumi.String(b.Dir)
	if len(b.Migrate) > 0 {
		env := p.environment(n, 0)
		if direct, ok := env["DATABASE_DIRECT_URL"]; ok { // what migrates locks for a whole session
			env["DATABASE_URL"] = direct
		}
		m, err := p.resource(typeTask, n.ID+"-migrate", pulumi.Map{
			"node": pulumi.String(n.ID), "command": pulumi.ToStringArray(b.Migrate), "dir": dir, "env": env,
			"release": pulumi.String(b.Release), "timeout": pulumi.Int(b.StartTimeout),
		}, c, after)
		if err != nil {
			return err
		}
		after, p.tasks = append(after, m), append(p.tasks, m)
	}
	for i := range b.Instances {
		name := instance(n.ID, i+1)
		port := portOf(p.pins, name)
		in, err := p.resource(typeInstance, name, pulumi.Map{
			"node": pulumi.String(n.ID), "command": pulumi.ToStringArray(b.Command), "dir": dir, "env": p.environment(n, port),
			"port": pulumi.Int(port), "health": pulumi.String(b.Health), "release": pulumi.String(b.Release),
			"startTimeout": pulumi.Int(b.StartTimeout), "stopTimeout": pulumi.Int(b.StopTimeout),
		}, c, after)
		if err != nil {
			return err
		}
		p.made[n.ID] = append(p.made[n.ID], in)
	}
	return nil
}

// environment is what the application gets: the same names on every target. A
// command that is no server has no port.
func (p *program) environment(n topology.Node, port int) pulumi.Map {
	b := n.Runs()
	env := pulumi.Map{"SCALE_LEVEL": pulumi.String(strconv.Itoa(b.Level)), "SCALE_REGION": pulumi.String(n.Region), "HOST": pulumi.String("127.0.0.1")}
	if port != 0 {
		env["PORT"] = pulumi.String(strconv.Itoa(port))
	}
	if b.Color != "" {
		env["SCALE_COLOR"] = pulumi.String(b.Color)
	}
	for _, k := range slices.Sorted(maps.Keys(b.Env)) {
		env[k] = pulumi.String(b.Env[k])
	}
	for _, k := range b.Secrets {
		env[k] = p.secret(SecretKey(b.Service, k))
	}
	p.databaseEnvironment(n, env)
	p.storeEnvironment(n, env)
	p.callEnvironment(n, env)
	if b.StaticURL != "" {
		env["STATIC_URL"] = pulumi.String(strings.TrimSuffix(b.StaticURL, "/") + "/")
	}
	return env
}

// ambient is what every process needs of the machine, and is no setting: a
// change of it restarts nothing.
func ambient() []string {
	var env []string
	for _, k := range []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// preflightCommands looks for the directory and the programs of a backend or a worker.
func preflightCommands(b *topology.BackendSpec) error {
	if b.Dir != "" {
		if info, err := os.Stat(b.Dir); err != nil || !info.IsDir() {
			return &Error{What: fmt.Sprintf("%s: its directory %s does not exist", b.Service, b.Dir), Hint: "'dir' is relative to scale.yaml"}
		}
	}
	for _, argv := range [][]string{b.Command, b.Migrate} {
		if len(argv) == 0 {
			continue
		}
		if _, err := lookPath(argv[0], b.Dir); err != nil {
			return &Error{What: fmt.Sprintf("%s: there is no program %q", b.Service, argv[0]),
				Hint: "build or install it first; a path is relative to " + or(b.Dir, "the environment's directory") + ", a bare name is looked for on PATH"}
		}
	}
	return nil
}

// lookPath finds a program as a shell in dir would.
func lookPath(name, dir string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	return exec.LookPath(name)
}

// process is what the agent is asked to run for a task or an instance.
func process(r engine.Request) (agent.Process, error) {
	in := r.Inputs
	dir := in["dir"].StringValue()
	argv := words(in["command"])
	program, err := lookPath(argv[0], dir)
	if err != nil {
		return agent.Process{}, &Error{What: fmt.Sprintf("there is no program %q", argv[0]), Hint: "build or install it first"}
	}
	argv[0] = program
	env := ambient()
	for _, k := range in["env"].ObjectValue().StableKeys() {
		env = append(env, string(k)+"="+in["env"].ObjectValue()[k].StringValue())
	}
	// A program without a directory of its own works where it cannot leave anything.
	return agent.Process{Name: r.Name, Node: in["node"].StringValue(), Argv: argv, Env: env, Dir: or(dir, "/"), Tag: tag(r)}, nil
}

// words are an input's list of strings.
func words(v resource.PropertyValue) []string {
	var ws []string
	for _, w := range v.ArrayValue() {
		ws = append(ws, w.StringValue())
	}
	return ws
}

func seconds(v resource.PropertyValue) time.Duration {
	if !v.IsNumber() {
		return time.Minute
	}
	return time.Duration(v.NumberValue()) * time.Second
}

// putInstance runs one process of a backend until it answers.
func (l *Local) putInstance(ctx context.Context, r engine.Request) error {
	p, err := process(r)
	if err != nil {
		return err
	}
	p.Kind, p.Port = "backend", int(r.Inputs["port"].NumberValue())
	p.Health = agent.Health{HTTP: fmt.Sprintf("http://127.0.0.1:%d%s", p.Port, r.Inputs["health"].StringValue())}
	p.StartTimeout, p.StopTimeout, p.Stop = seconds(r.Inputs["startTimeout"]), seconds(r.Inputs["stopTimeout"]), "TERM"
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	return c.PutProcess(ctx, p, r.Waiting)
}

// runTask runs a command to its end, once for what it is.
func (l *Local) runTask(ctx context.Context, r engine.Request) error {
	p, err := process(r)
	if err != nil {
		return err
	}
	p.Kind, p.Once, p.StartTimeout, p.StopTimeout = "task", true, seconds(r.Inputs["timeout"]), 10*time.Second
	// What it was run for is part of what it is: another release runs it again.
	p.Env = append(p.Env, "SCALE_RELEASE="+r.Inputs["release"].StringValue())
	c, err := l.running(ctx)
	if err != nil {
		return err
	}
	return c.PutProcess(ctx, p, r.Waiting)
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
