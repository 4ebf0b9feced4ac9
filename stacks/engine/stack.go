// Package engine runs Pulumi programs in this process: no pulumi command, no
// project files, and for providers of ours no plugin process. It keeps their
// state in the standard checkpoint layout, journaled while an update runs.
//
// It is the only package that imports pulumi/pkg, whose API is not stable. It
// knows nothing of topologies, levels or targets.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/pulumi/pulumi/pkg/v3/display"
	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy"
	"github.com/pulumi/pulumi/pkg/v3/resource/stack"
	"github.com/pulumi/pulumi/pkg/v3/util/cancel"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
)

// DefaultParallel is how many resource operations run at once: with providers
// that wait 20 ms, 64 took a third of the time of 16 (docs/performance.md).
const DefaultParallel = 64

// Config says which stack, and what serves it.
type Config struct {
	Files         Files // the checkpoint is .pulumi/stacks/Project/Name.json among them
	Project, Name string
	Secrets       *Secrets
	Providers     map[string]ProviderFactory // ours, by package name
	Table         plan.Table
	Parallel      int32 // 0: DefaultParallel
	// Unsure: a creation that failed may have happened nevertheless, as where an
	// answer can be lost; what it made is looked for by its name at the next refresh.
	Unsure bool
}

// Stack is one stack's state and the operations on it. It is not safe for
// concurrent use; across processes, the caller holds a Lock for every operation
// but Preview.
type Stack struct {
	files         Files
	project, name string
	secrets       *Secrets
	providers     map[string]ProviderFactory
	table         plan.Table
	parallel      int32
	state         *checkpoint
}

// Open prepares a stack; the state is read by each operation anew.
func Open(c Config) (*Stack, error) {
	s := &Stack{files: c.Files, project: c.Project, name: c.Name, secrets: c.Secrets, providers: c.Providers, table: c.Table, parallel: c.Parallel}
	if s.parallel == 0 {
		s.parallel = DefaultParallel
	}
	file := path.Join(".pulumi", "stacks", c.Project, c.Name+".json")
	s.state = &checkpoint{files: c.Files, file: file, name: s.qualified(), adopts: s.adopts, unsure: c.Unsure}
	s.state.log = c.Files.Log(s.state.journalFile())
	return s, nil
}

func (s *Stack) qualified() tokens.QName {
	return tokens.QName("organization/" + s.project + "/" + s.name)
}

// adopts reports whether a type's provider is ours: ours find a resource by its name.
func (s *Stack) adopts(t tokens.Type) bool {
	_, ok := s.providers[string(t.Package())]
	return ok
}

// File is the checkpoint's name for people.
func (s *Stack) File() string { return s.state.place() }

// Raw is the checkpoint as it is kept.
func (s *Stack) Raw() ([]byte, error) { return s.state.files.Read(s.state.file) }

// Restore puts a checkpoint in the place of what there is.
func (s *Stack) Restore(b []byte) error {
	if err := s.create(); err != nil {
		return err
	}
	return s.files.Write(s.state.file, b)
}

// Forget removes the checkpoint and what lies beside it.
func (s *Stack) Forget() error {
	return errors.Join(s.files.Remove(s.state.file), s.files.Remove(backup(s.state.file)), s.state.log.Remove())
}

// create makes the file by which the pulumi command knows the layout, and the place of
// the journal.
func (s *Stack) create() error {
	if d, ok := s.files.(Directory); ok {
		if err := os.MkdirAll(filepath.Dir(d.Place(s.state.file)), 0o700); err != nil {
			return fmt.Errorf("make the state's directory: %w", err)
		}
	}
	const meta = ".pulumi/meta.yaml"
	if _, err := s.files.Read(meta); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.files.Write(meta, []byte("version: 1\n"))
}

// Copy is a stack in memory with the same state and other providers: what is
// done to it leaves no trace.
func (s *Stack) Copy(providers map[string]ProviderFactory) *Stack {
	c := *s
	c.providers = providers
	state := *s.state
	state.files, state.log, state.adopts = nil, nil, c.adopts
	if s.state.base != nil {
		base := *s.state.base
		state.base = &base
	}
	c.state = &state
	return &c
}

// Export is a stack as the pulumi command takes it up.
type Export struct {
	State   []byte            // the checkpoint
	Salt    string            // of the secrets
	Sealed  string            // URL of the key that seals theirs, and then Salt is that; empty: a passphrase
	Secrets map[string]string // ciphertexts of the program's own, by name
}

// Options of one operation. The zero value does what is usual.
type Options struct {
	Refresh bool // look at what is really there first
	Sink    plan.Sink
	// Lift, when not nil, names the resources whose protection does not count in
	// this operation. The state goes on saying that they are protected.
	Lift func(name string) bool
	// Only, when not nil, says which resources of the state the operation may touch, by
	// name and type: nothing else is changed, and nothing made.
	Only func(name, typ string) bool
	// External, when not nil, runs the program in a process of its own, which finds the
	// engine by these variables. The program that the operation is given is not run.
	External func(environment []string) error
	// Now, when done, ends the operation at once; the context given to the
	// operation ends it gracefully: what has begun is finished.
	Now context.Context
}

// Result is what an operation did, or a preview would do.
type Result struct {
	Changes []plan.Change // of resources that a provider manages, without those that stay the same
	Found   []string      // what an earlier run had left
}

// OperationError is what a provider of ours answered for one resource.
type OperationError struct {
	Resource string
	Err      error
}

func (e *OperationError) Error() string { return e.Resource + ": " + e.Err.Error() }
func (e *OperationError) Unwrap() error { return e.Err }

// ErrCancelled means that the operation ended because it was asked to.
var ErrCancelled = errors.New("cancelled")

// Preview says what Up would do.
func (s *Stack) Preview(ctx context.Context, p pulumi.RunFunc, o Options) (Result, error) {
	return s.run(ctx, p, o, engine.Update, true)
}

// Up makes what the program asks for.
func (s *Stack) Up(ctx context.Context, p pulumi.RunFunc, o Options) (Result, error) {
	return s.run(ctx, p, o, engine.Update, false)
}

// Refresh makes the state say what is really there.
func (s *Stack) Refresh(ctx context.Context, o Options) (Result, error) {
	return s.run(ctx, nothing, o, engine.Refresh, false)
}

// Destroy deletes everything. It refuses before anything is deleted when a
// resource is protected: the engine would meet that one after others are gone.
func (s *Stack) Destroy(ctx context.Context, o Options) (Result, error) {
	if _, err := s.state.load(false); err != nil {
		return Result{}, err
	}
	if s.state.base != nil {
		for _, r := range s.state.base.Resources {
			if r.Protect && (o.Lift == nil || !o.Lift(r.URN.Name())) {
				return Result{}, fmt.Errorf("%s is protected: nothing was deleted", r.URN.Name())
			}
		}
	}
	return s.run(ctx, nothing, o, engine.Destroy, false)
}

func nothing(*pulumi.Context) error { return nil }

type operation func(engine.UpdateInfo, *engine.Context, engine.UpdateOptions, bool) (*deploy.Plan, display.ResourceChanges, error)

func (s *Stack) run(ctx context.Context, p pulumi.RunFunc, o Options, do operation, dry bool) (res Result, err error) {
	if o.Sink == nil {
		o.Sink = func(plan.Event) {}
	}
	if !dry && s.state.kept() {
		if err := s.create(); err != nil {
			return res, err
		}
	}
	found, err := s.state.load(!dry)
	if err != nil {
		return res, err
	}
	res.Found = found.describe()
	for _, f := range res.Found {
		o.Sink(plan.Event{Time: time.Now(), Kind: plan.Found, Text: f})
	}
	snap, err := s.snapshot(ctx)
	if err != nil {
		return res, err
	}
	lift(snap, o.Lift)
	failed := &failures{}
	obs := newObserver(o.Sink, s.table, dry)
	err = s.operate(ctx, snap, obs, o, do, dry, engine.UpdateOptions{
		HostFactory: s.hostFactory(p, o, failed), SkipPluginPreInstall: true,
		Parallel: s.parallel, Refresh: o.Refresh, Targets: targets(snap, o.Only),
	})
	res.Changes = obs.changes
	obs.forget()
	if err == nil {
		return res, nil
	}
	switch {
	case ctx.Err() != nil:
		return res, errors.Join(append(failed.errs, ErrCancelled)...)
	case len(failed.errs) > 0:
		return res, errors.Join(failed.errs...)
	case missingPlugin.MatchString(strings.Join(obs.errors, "\n")):
		return res, &MissingPluginError{strings.TrimPrefix(strings.Join(obs.errors, "\n"), "error: ")}
	case len(obs.errors) > 0:
		return res, errors.New(strings.Join(obs.errors, "\n"))
	default:
		return res, err
	}
}

// targets are the resources of the state that an operation is held to.
func targets(snap *deploy.Snapshot, only func(name, typ string) bool) deploy.UrnTargets {
	if snap == nil || only == nil {
		return deploy.UrnTargets{}
	}
	var urns []resource.URN
	for _, r := range snap.Resources {
		if r.Custom && only(r.URN.Name(), string(r.Type)) {
			urns = append(urns, r.URN)
		}
	}
	return deploy.NewUrnTargetsFromUrns(urns)
}

// operate runs one operation of the engine and, unless dry, journals it.
func (s *Stack) operate(ctx context.Context, snap *deploy.Snapshot, obs *observer, o Options, do operation, dry bool, uo engine.UpdateOptions) error {
	info := engine.UpdateInfo{
		Root:    s.root(),
		Project: &workspace.Project{Name: tokens.PackageName(s.project), Runtime: workspace.NewProjectRuntimeInfo(runtimeName, nil)},
		Target: &deploy.Target{
			Name: tokens.MustParseStackName(s.name), Organization: "organization", Decrypter: s.secrets, Snapshot: snap,
		},
	}
	events, observed := make(chan engine.Event), make(chan struct{})
	go func() {
		defer close(observed)
		for e := range events {
			obs.observe(e)
		}
	}()
	cctx, stop := cancellation(ctx, o.Now)
	ectx := &engine.Context{Cancel: cctx, Events: events, BackendClient: noStackReferences{}}
	var manager *engine.JournalSnapshotManager
	if !dry {
		var err error
		// The manager must be given the very snapshot that the engine gets.
		if manager, err = engine.NewJournalSnapshotManager(s.state.open(s.secrets), snap, s.secrets); err != nil {
			stop()
			return err
		}
		ectx.SnapshotManager = manager
	}
	_, _, err := do(info, ectx, uo, dry)
	stop()
	close(events)
	<-observed
	if manager != nil {
		err = errors.Join(err, manager.Close())
	}
	return err
}

func lift(snap *deploy.Snapshot, which func(string) bool) {
	if snap == nil || which == nil {
		return
	}
	for _, r := range snap.Resources {
		if which(r.URN.Name()) {
			r.Protect = false
		}
	}
}

// root is where the engine looks for relative paths; ours are absolute.
func (s *Stack) root() string {
	if d, ok := s.files.(Directory); ok {
		if _, err := os.Stat(string(d)); err == nil {
			return string(d)
		}
	}
	return os.TempDir()
}

// cancellation maps contexts to the engine's: soft finishes what has begun, now ends it.
// Cancelling the context that the engine is given would always mean "now".
func cancellation(soft, now context.Context) (*cancel.Context, func()) {
	c, source := cancel.NewContext(context.WithoutCancel(soft))
	done := make(chan struct{})
	go func() {
		select {
		case <-soft.Done():
			source.Cancel()
		case <-done:
			return
		}
		if now == nil {
			return
		}
		select {
		case <-now.Done():
			source.Terminate()
		case <-done:
		}
	}()
	return c, func() { close(done); source.Terminate() }
}

func (s *Stack) snapshot(ctx context.Context) (*deploy.Snapshot, error) {
	base := s.state.base
	if base == nil {
		return nil, nil
	}
	if base.SecretsProviders == nil && len(base.Resources) == 0 {
		return nil, nil
	}
	snap, err := stack.DeserializeDeploymentV3(ctx, *base, secretsProvider{s.secrets})
	if errors.Is(err, ErrPassphrase) {
		return nil, err
	}
	if err != nil {
		return nil, &DamagedError{s.state.place(), err, "restore it from a backup; " + path.Base(backup(s.state.file)) + " beside it is the one before the last change"}
	}
	return snap, nil
}

func (f recovery) describe() []string {
	if f.entries == 0 {
		return nil
	}
	text := fmt.Sprintf("an earlier run ended in the middle of an update: the %d journal entries that it left are part of the state now", f.entries)
	if len(f.pending) > 0 {
		text += "; in flight were " + strings.Join(f.pending, ", ")
	}
	return []string{text}
}

// noStackReferences: our programs read no other stack.
type noStackReferences struct{}

func (noStackReferences) GetStackOutputs(_ context.Context, name string, _ func(error) error) (property.Map, error) {
	return property.Map{}, fmt.Errorf("stack reference %q: not supported", name)
}

func (noStackReferences) GetStackResourceOutputs(_ context.Context, name string) (property.Map, error) {
	return property.Map{}, fmt.Errorf("stack reference %q: not supported", name)
}
