// Package stacks is an environment's life: its record, its lease, and the one
// executor that takes any walk, on any target.
//
// It knows levels, topologies and the engine; what is particular to a target it
// asks the target for.
package stacks

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks/engine"
)

// Environment is one place where an application stands.
type Environment struct {
	home    Home
	files   engine.Files // where the record and the state are; on this machine those of home
	app     config.App
	target  Target
	pass    Passphrase
	secrets *engine.Secrets
	stack   *engine.Stack
	record  *Record           // never nil; a zero Version means that none is written yet
	pins    map[string]string // the secret ones only after Unlock
	locked  bool              // the secret pins are not decrypted yet
	from    string            // where the passphrase came from
	command string            // what the locks say that runs
	planned struct {          // the last plan that was made
		wanted topology.Topology
		steps  []levels.Step
	}
}

// Error is something that a person can set right.
type Error = plan.Error

// Open prepares an environment that is kept on this machine, reading its record.
// Nothing is written.
func Open(home Home, app config.App, target Target, pass Passphrase, command string) (*Environment, error) {
	return OpenIn(engine.Directory(home), home, app, target, pass, command)
}

// OpenIn prepares an environment whose record and state are in files; home keeps what
// belongs to this machine only.
func OpenIn(files engine.Files, home Home, app config.App, target Target, pass Passphrase, command string) (*Environment, error) {
	e := &Environment{home: home, files: files, app: app, target: target, pass: pass, command: command, pins: map[string]string{}}
	r, err := readRecord(files, e.recordFile())
	if err != nil {
		return nil, err
	}
	if r != nil && r.Target != target.Name() {
		return nil, &Error{What: fmt.Sprintf("%s/%s stands on the target %s, not on %s", r.App, r.Env, r.Target, target.Name()),
			Hint: "add --target " + r.Target + ", or give the other one another --env"}
	}
	if r == nil {
		r = &Record{App: app.Name, Env: app.Env, Target: target.Name(), Dir: app.Dir}
	} else if err := e.same(r); err != nil {
		return nil, err
	}
	e.record = r
	if r.Version != 0 {
		if err := e.unlock(pass); err != nil {
			return nil, err
		}
	} else if err := e.begin(pass); err != nil {
		return nil, err
	}
	target.Use(e.pins, e.Unlock)
	e.stack, err = engine.Open(engine.Config{Files: files, Project: app.Name, Name: app.Env, Secrets: e.secrets,
		Providers: target.Providers(), Table: target.Table(), Unsure: target.Model() != nil && target.Providers() != nil})
	return e, err
}

// same refuses to take another project's environment for this one's.
func (e *Environment) same(r *Record) error {
	if r.Dir == e.app.Dir || e.app.Dir == "" && r.Dir == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(r.Dir, "scale.yaml")); r.Dir != "" && err != nil {
		r.Dir = e.app.Dir // the project was moved
		return nil
	}
	of := r.Dir
	if of == "" {
		of = "the built-in example"
	}
	return &Error{What: fmt.Sprintf("environment %s of an application called %s belongs to %s", r.Env, r.App, of),
		Hint: "give this application another name, or use another --env or SCALE_HOME"}
}

// name is that of one of the environment's files.
func (e *Environment) name(file string) string {
	return path.Join("environments", e.app.Name, e.app.Env, file)
}
func (e *Environment) recordFile() string { return e.name("record.json") }
func (e *Environment) lockFile() string   { return e.name("lock") }
func (e *Environment) leaseFile() string  { return e.name("lease") }

// shared reports whether other machines reach the environment's record and state.
func (e *Environment) shared() bool { return e.files != engine.Files(engine.Directory(e.home)) }

// save writes the record, and with the first one the passphrase that was made up.
func (e *Environment) save() error {
	if err := e.Unlock(); err != nil {
		return err
	}
	if err := os.MkdirAll(e.home.dir(e.app.Name, e.app.Env), dirMode()); err != nil {
		return &Error{What: "the environment's directory cannot be made", Err: err, Hint: "set SCALE_HOME to a directory that you can write to"}
	}
	if e.record.made != "" {
		if err := engine.WriteFile(e.passphraseFile(), []byte(e.record.made+"\n")); err != nil {
			return fmt.Errorf("write the passphrase: %w", err)
		}
		e.record.made = ""
	}
	e.record.Version, e.record.Salt = recordVersion, e.secrets.Salt()
	if e.record.Made.IsZero() {
		e.record.Made = time.Now()
	}
	return e.record.write(e.files, e.recordFile(), e.secrets, e.pins)
}

// dirMode lets the unprivileged users of components pass through when we are
// root, and nobody otherwise.
func dirMode() os.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// Reload reads the record again, after a lease was waited for: another run may
// have ended meanwhile.
func (e *Environment) Reload() error {
	r, err := readRecord(e.files, e.recordFile())
	if err != nil {
		return err
	}
	if r == nil && !e.Exists() {
		return nil
	}
	if r != nil && r.Salt == e.record.Salt {
		e.hold(r)
		e.target.Use(e.pins, e.Unlock)
		return nil
	}
	fresh, err := OpenIn(e.files, e.home, e.app, e.target, e.pass, e.command)
	if err != nil {
		return err
	}
	*e = *fresh
	return nil
}

// Exists reports whether the environment has a record.
func (e *Environment) Exists() bool { return e.record.Version != 0 }

// Level is the level at which it stands.
func (e *Environment) Level() int { return e.record.Topology.Level }

// Topology is what stands.
func (e *Environment) Topology() topology.Topology { return e.record.Topology.Clone() }

// History is what was done, the oldest first.
func (e *Environment) History() []Entry { return e.record.History }

// Outputs are what the programs exported, and where to find the application.
func (e *Environment) Outputs() (map[string]any, error) { return e.stack.Outputs() }

// Standing is what the state says stands, with what each was last told and answered.
// Secrets are decrypted: the caller keeps them.
func (e *Environment) Standing(ctx context.Context) ([]engine.Request, error) {
	return e.stack.Standing(ctx)
}

// StateFile is the checkpoint's name.
func (e *Environment) StateFile() string { return e.stack.File() }

// Logs are the names of the components that have a log.
func (e *Environment) Logs() ([]string, error) {
	if !e.Exists() {
		return nil, nil
	}
	return e.target.Logs(), nil
}

// LogFile is where a component's log is.
func (e *Environment) LogFile(component string) string { return e.target.Log(component) }
