package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/blang/semver"
	"github.com/hashicorp/hcl/v2"
	"github.com/pulumi/pulumi/pkg/v3/backend"
	pulumiengine "github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/pulumi/pulumi/pkg/v3/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/env"
	"github.com/pulumi/pulumi/sdk/v3/go/common/promise"
	"github.com/pulumi/pulumi/sdk/v3/go/common/registry"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
)

// runtimeName is the language of a program that runs in this process: any name
// but "client", which the engine treats as special.
const runtimeName = "go"

// host serves our providers and the program in this process; everything else
// falls through to the default host, which runs real plugins as processes and
// downloads those that are missing.
type host struct {
	plugin.Host
	program   pulumi.RunFunc
	external  func([]string) error
	providers map[string]ProviderFactory
	sink      plan.Sink
	failures  *failures

	mu    sync.Mutex
	alive []*adapter
}

// hostFactory builds the host of one operation.
func (s *Stack) hostFactory(program pulumi.RunFunc, o Options, f *failures) pulumiengine.HostFactory {
	reg := registry.NewOnDemandRegistry(func() (registry.Registry, error) {
		return nil, errors.New("no registry of packages is configured")
	})
	standard := backend.DefaultHostFactory(reg)
	return func(ctx context.Context, d, status diag.Sink, dbg plugin.DebugContext) (plugin.Host, error) {
		h, err := standard(ctx, d, status, dbg)
		if err != nil {
			return nil, err
		}
		return &host{Host: h, program: program, external: o.External, providers: s.providers, sink: o.Sink, failures: f}, nil
	}
}

func (h *host) Provider(ctx *plugin.Context, d workspace.PluginDescriptor, e env.Env) (plugin.Provider, error) {
	f, ok := h.providers[d.Name]
	if !ok {
		return h.Host.Provider(ctx, d, e)
	}
	a := newAdapter(d.Name, f(), h.sink, h.failures)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alive = append(h.alive, a)
	return a, nil
}

func (h *host) LanguageRuntime(ctx *plugin.Context, rt string) (plugin.LanguageRuntime, error) {
	if rt != runtimeName {
		return h.Host.LanguageRuntime(ctx, rt)
	}
	return &inline{program: h.program, external: h.external, engineAddr: h.ServerAddr()}, nil
}

func (h *host) ResolvePlugin(ctx *plugin.Context, d workspace.PluginDescriptor) (*workspace.PluginInfo, error) {
	if _, ok := h.providers[d.Name]; ok && d.Kind == apitype.ResourcePlugin {
		return &workspace.PluginInfo{Name: d.Name, Kind: d.Kind, Version: d.Version}, nil
	}
	return h.Host.ResolvePlugin(ctx, d)
}

func (h *host) ours() []*adapter {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*adapter(nil), h.alive...)
}

func (h *host) SignalCancellation() error {
	var errs []error
	for _, a := range h.ours() {
		errs = append(errs, a.SignalCancellation(context.Background()))
	}
	return errors.Join(append(errs, h.Host.SignalCancellation())...)
}

func (h *host) Close() error {
	var errs []error
	for _, a := range h.ours() {
		errs = append(errs, a.Close())
	}
	return errors.Join(append(errs, h.Host.Close())...)
}

// inline is the language runtime of a program in this process.
type inline struct {
	program    pulumi.RunFunc
	external   func([]string) error
	engineAddr string
}

func (l *inline) Run(ctx context.Context, i plugin.RunInfo) (msg string, bail bool, err error) {
	if l.external != nil {
		if err := l.external([]string{"PULUMI_PROJECT=" + i.Project, "PULUMI_STACK=" + i.Stack, "PULUMI_ORGANIZATION=" + i.Organization, "PULUMI_ROOT_DIRECTORY=" + i.Info.RootDirectory(),
			fmt.Sprintf("PULUMI_DRY_RUN=%t", i.DryRun), fmt.Sprintf("PULUMI_PARALLEL=%d", i.Parallel), "PULUMI_MONITOR=" + i.MonitorAddress, "PULUMI_ENGINE=" + l.engineAddr}); err != nil {
			return err.Error(), false, nil
		}
		return "", false, nil
	}
	cfg := make(map[string]string, len(i.Config))
	for k, v := range i.Config {
		cfg[k.String()] = v
	}
	var secret []string
	for _, k := range i.ConfigSecretKeys {
		secret = append(secret, k.String())
	}
	pctx, err := pulumi.NewContext(ctx, pulumi.RunInfo{
		Project: i.Project, Stack: i.Stack, Organization: i.Organization, RootDirectory: i.Info.RootDirectory(),
		Config: cfg, ConfigSecretKeys: secret, Parallel: i.Parallel, DryRun: i.DryRun,
		MonitorAddr: i.MonitorAddress, EngineAddr: l.engineAddr,
	})
	if err != nil {
		return "", false, err
	}
	defer pctx.Close()
	defer func() {
		if r := recover(); r != nil {
			msg = fmt.Sprintf("program panicked: %v\n%s", r, debug.Stack())
		}
	}()
	if err := pulumi.RunWithContext(pctx, l.program); err != nil {
		// The engine ended first, and has said why: the program's view of it is no news.
		bail := strings.Contains(err.Error(), "resource monitor shut down while waiting")
		return err.Error(), bail, nil
	}
	return "", false, nil
}

var errInline = errors.New("not supported for a program in this process")

func (l *inline) Close() error                 { return nil }
func (l *inline) Cancel(context.Context) error { return nil }
func (l *inline) GetPluginInfo(context.Context) (plugin.PluginInfo, error) {
	v := semver.MustParse("1.0.0")
	return plugin.PluginInfo{Version: &v}, nil
}

func (l *inline) GetRequiredPackages(context.Context, plugin.ProgramInfo) ([]workspace.PackageDescriptor, []workspace.PackageSpec, error) {
	return nil, nil, nil
}

func (l *inline) InstallDependencies(context.Context, plugin.InstallDependenciesRequest) (io.Reader, io.Reader, <-chan error, error) {
	c := make(chan error)
	close(c)
	return strings.NewReader(""), strings.NewReader(""), c, nil
}

func (l *inline) RuntimeOptionsPrompts(context.Context, plugin.ProgramInfo) ([]plugin.RuntimeOptionPrompt, error) {
	return nil, nil
}

func (l *inline) Template(context.Context, plugin.ProgramInfo, tokens.PackageName) error { return nil }

func (l *inline) About(context.Context, plugin.ProgramInfo) (plugin.AboutInfo, error) {
	return plugin.AboutInfo{}, nil
}

func (l *inline) GetProgramDependencies(context.Context, plugin.ProgramInfo, bool) ([]plugin.DependencyInfo, error) {
	return nil, nil
}

func (l *inline) RunPlugin(context.Context, plugin.RunPluginInfo) (io.Reader, io.Reader, *promise.Promise[int32], error) {
	return nil, nil, nil, errInline
}

func (l *inline) GenerateProject(context.Context, string, string, string, bool, string, map[string]string) (hcl.Diagnostics, error) {
	return nil, errInline
}

func (l *inline) GeneratePackage(context.Context, string, string, map[string][]byte, string, map[string]string, bool) (hcl.Diagnostics, error) {
	return nil, errInline
}

func (l *inline) GenerateProgram(context.Context, map[string]string, string, bool) (map[string][]byte, hcl.Diagnostics, error) {
	return nil, nil, errInline
}
func (l *inline) Pack(context.Context, string, string) (string, error) { return "", errInline }
func (l *inline) Link(context.Context, plugin.ProgramInfo, []workspace.LinkablePackageDescriptor, string) (string, error) {
	return "", errInline
}

// MissingPluginError means that a real plugin is neither here nor to be had.
type MissingPluginError struct{ Text string }

func (e *MissingPluginError) Error() string { return e.Text }

// MissingTool reports that a program is missing.
func (e *MissingPluginError) MissingTool() bool { return true }

// Hints returns what to do about it.
func (e *MissingPluginError) Hints() string {
	return "install it where there is a network with the command that the message names, or unpack its archive into ~/.pulumi/plugins/resource-NAME-VERSION ($PULUMI_HOME/plugins); nothing was changed"
}

// missingPlugin is how the engine says it: a download failed, or none is allowed.
var missingPlugin = regexp.MustCompile(`Could not automatically download and install resource plugin|no resource plugin '[^']*' found`)
