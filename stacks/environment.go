// Package stacks is an environment's life: its record, its lease, and the one
// executor that takes any walk, on any target.
//
// It knows levels, topologies and the engine; what is particular to a target it
// asks the target for.
package stacks

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
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

// Passphrase is where the passphrase of the secrets comes from; with neither
// set, from a file of the environment, made with it.
type Passphrase struct {
	Value, File string
	// Vault, when not nil, keeps the secrets instead, and there is no passphrase.
	Vault engine.Vault
}

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

// passphraseFile is on this machine, wherever the rest is.
func (e *Environment) passphraseFile() string {
	return filepath.Join(e.home.dir(e.app.Name, e.app.Env), "passphrase")
}

// shared reports whether other machines reach the environment's record and state.
func (e *Environment) shared() bool { return e.files != engine.Files(engine.Directory(e.home)) }

// unlock opens the secrets of a record that exists.
func (e *Environment) unlock(pass Passphrase) error {
	if sealed := !engine.ByPassphrase(e.record.Salt); sealed != (pass.Vault != nil) {
		if sealed {
			return &Error{What: "the secrets of " + e.Name() + " are sealed by a key, and scale.yaml names none", Hint: "put 'secrets_key: awskms://…' back under the environment"}
		}
		return &Error{What: "the secrets of " + e.Name() + " are under a passphrase, and scale.yaml names a key", Hint: "take 'secrets_key' out: an environment keeps what it was made with"}
	}
	if pass.Vault != nil {
		e.secrets, e.from = engine.NewVaultSecrets(pass.Vault, e.record.Salt), pass.Vault.URL()
		e.hold(e.record)
		return nil
	}
	phrase, from, err := e.phrase(pass)
	if errors.Is(err, os.ErrNotExist) {
		return &Error{What: fmt.Sprintf("the passphrase of %s/%s is needed: neither SCALE_PASSPHRASE nor its file is there", e.app.Name, e.app.Env),
			Hint: "set SCALE_PASSPHRASE, or put the passphrase into " + e.passphraseFile()}
	}
	if err != nil {
		return err
	}
	e.secrets, e.from = engine.NewSecrets(phrase, e.record.Salt), from
	e.hold(e.record)
	return nil
}

// hold takes a record up with its plain pins.
func (e *Environment) hold(r *Record) {
	e.record, e.pins, e.locked = r, maps.Clone(r.Pins), true
	if e.pins == nil {
		e.pins = map[string]string{}
	}
}

// Warm derives the key in the background: whoever is going to plan needs it soon.
func (e *Environment) Warm() { e.secrets.Warm() }

// Unlock decrypts the secret pins. Deriving the key takes about 150 ms, so only
// what uses a secret asks for it.
func (e *Environment) Unlock() error {
	if !e.locked {
		return nil
	}
	for k, c := range e.record.Secrets {
		v, err := e.secrets.Decrypt(c)
		if errors.Is(err, engine.ErrPassphrase) {
			return &Error{What: fmt.Sprintf("the passphrase from %s is not the one that %s/%s was made with", e.from, e.app.Name, e.app.Env), Err: err,
				Hint: "set SCALE_PASSPHRASE to that one; without it the secrets in the state cannot be read"}
		}
		if err != nil {
			return err
		}
		e.pins[k] = v
	}
	e.locked = false
	return nil
}

func (e *Environment) phrase(pass Passphrase) (phrase, from string, err error) {
	switch {
	case pass.Value != "":
		return pass.Value, "SCALE_PASSPHRASE", nil
	case pass.File != "":
		from = pass.File
	default:
		from = e.passphraseFile()
	}
	b, err := os.ReadFile(from)
	if err == nil && strings.TrimSpace(string(b)) == "" {
		err = &Error{What: from + " is empty", Hint: "put the passphrase into it, or set SCALE_PASSPHRASE"}
	}
	return strings.TrimSpace(string(b)), from, err
}

// begin makes the secrets of an environment that has no record yet. A passphrase
// that was made up is written with the record, not before.
func (e *Environment) begin(pass Passphrase) error {
	if pass.Vault != nil {
		e.secrets = engine.NewVaultSecrets(pass.Vault, "")
		return e.secrets.Verify() // a key that may not be used is told before anything else
	}
	phrase, _, err := e.phrase(pass)
	if errors.Is(err, os.ErrNotExist) && pass.File == "" && e.shared() {
		return &Error{What: fmt.Sprintf("the passphrase of %s/%s must be chosen: its state is shared, and one made up here would be on this machine only", e.app.Name, e.app.Env),
			Hint: "set SCALE_PASSPHRASE, or put the passphrase into " + e.passphraseFile() + "; whoever changes the environment needs the same"}
	}
	if errors.Is(err, os.ErrNotExist) && pass.File == "" {
		var b [24]byte
		if _, err := rand.Read(b[:]); err != nil {
			return err
		}
		phrase, err = hex.EncodeToString(b[:]), nil
		e.record.made = phrase
	} else if err != nil {
		return &Error{What: "the passphrase cannot be read", Err: err, Hint: "set SCALE_PASSPHRASE or SCALE_PASSPHRASE_FILE"}
	}
	e.secrets = engine.NewSecrets(phrase, "")
	return nil
}

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

// Lease takes the environment for a walk, waiting at most timeout for another
// holder.
func (e *Environment) Lease(ctx context.Context, timeout time.Duration, waiting func(engine.Holder)) (*engine.Lock, error) {
	if err := os.MkdirAll(e.home.dir(e.app.Name, e.app.Env), dirMode()); err != nil {
		return nil, &Error{What: "the environment's directory cannot be made", Err: err, Hint: "set SCALE_HOME to a directory that you can write to"}
	}
	return engine.Acquire(ctx, e.files, e.leaseFile(), e.app.Name+"/"+e.app.Env, e.command, timeout, waiting)
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

// Locks say how the lease and the lock stand.
func (e *Environment) Locks() (lease, lock engine.LockState, err error) {
	lease, err = e.files.Inspect(e.leaseFile())
	lock, err2 := e.files.Inspect(e.lockFile())
	return lease, lock, errors.Join(err, err2)
}

// ReleaseStale clears what a dead holder left; a living one's is refused.
func (e *Environment) ReleaseStale() (released []engine.Holder, err error) {
	for _, file := range []string{e.leaseFile(), e.lockFile()} {
		s, err := e.files.Inspect(file)
		if err != nil {
			return released, err
		}
		if s.Held {
			return released, &engine.LockedError{What: e.Name(), Holder: s.Holder}
		}
		if !s.Stale {
			continue
		}
		l, err := engine.Acquire(context.Background(), e.files, file, e.Name(), e.command, 0, nil)
		if err != nil {
			return released, err
		}
		if err := l.Release(); err != nil {
			return released, err
		}
		released = append(released, s.Holder)
	}
	return released, nil
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

// Status says how the environment stands.
func (e *Environment) Status(ctx context.Context) (plan.Status, error) {
	r := e.record
	s := plan.Status{Version: plan.Version, App: e.app.Name, Env: e.app.Env, Target: e.target.Name(), Level: r.Topology.Level, State: "absent"}
	lease, _, err := e.Locks()
	if err != nil {
		return s, err
	}
	if lease.Held {
		s.State, s.Lock = "changing", lease.Holder.String()
	}
	if !e.Exists() {
		return s, nil
	}
	if err := e.target.Observe(ctx); err != nil {
		return s, err
	}
	t := r.standing()
	s.URL, s.Supervisor = e.target.URL(t, e.pins), e.target.Supervisor()
	s.Components, s.Data = e.target.Components(t, e.pins), e.target.Data(t)
	if !lease.Held {
		s.State = overall(s.Components)
	}
	if r.Walk != nil {
		s.Walk = fmt.Sprintf("%s to level %d, step %d of %d (%s)", r.Walk.Verb, r.Walk.To, r.Walk.At, r.Walk.Of, r.Walk.Step)
		if !lease.Held {
			s.Walk += "; unfinished: 'scale up' goes on from there"
		}
	}
	return s, nil
}

func overall(cs []plan.Component) string {
	running, healthy := 0, 0
	for _, c := range cs {
		if c.State != "stopped" {
			running++
		}
		if c.Healthy {
			healthy++
		}
	}
	switch {
	case len(cs) == 0:
		return "down"
	case running == 0:
		return "stopped"
	case healthy == len(cs):
		return "up"
	default:
		return "degraded"
	}
}

// Logs are the names of the components that have a log.
func (e *Environment) Logs() ([]string, error) {
	if !e.Exists() {
		return nil, nil
	}
	return e.target.Logs(), nil
}

// LogFile is where a component's log is.
func (e *Environment) LogFile(component string) string { return e.target.Log(component) }
