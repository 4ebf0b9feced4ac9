package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/pkg/v3/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"

	"github.com/scale-levels/scale/internal/plan"
)

// adapter serves a Provider of ours as the engine's own kind.
type adapter struct {
	plugin.UnimplementedProvider
	name   string
	p      Provider
	sink   plan.Sink
	config resource.PropertyMap
	// failures learns every error that a method returns.
	failures *failures

	ctx    context.Context // done when the engine asks operations to stop now
	cancel context.CancelFunc
}

var providerVersion = semver.MustParse("1.0.0")

func newAdapter(name string, p Provider, sink plan.Sink, f *failures) *adapter {
	ctx, cancel := context.WithCancel(context.Background())
	return &adapter{name: name, p: p, sink: sink, failures: f, ctx: ctx, cancel: cancel}
}

// Close gives the provider up: the engine goes on holding the adapter.
func (a *adapter) Close() error {
	a.cancel()
	a.p = closed{}
	return nil
}
func (a *adapter) SignalCancellation(context.Context) error { a.cancel(); return nil }
func (a *adapter) Attach(string) error                      { return nil }

func (a *adapter) GetPluginInfo(context.Context) (plugin.PluginInfo, error) {
	v := providerVersion
	return plugin.PluginInfo{Version: &v}, nil
}

func (a *adapter) Handshake(context.Context, plugin.ProviderHandshakeRequest) (*plugin.ProviderHandshakeResponse, error) {
	return &plugin.ProviderHandshakeResponse{AcceptSecrets: true, AcceptResources: true, AcceptOutputs: true}, nil
}

func (a *adapter) GetSchema(context.Context, plugin.GetSchemaRequest) (plugin.GetSchemaResponse, error) {
	return plugin.GetSchemaResponse{Schema: fmt.Appendf(nil, `{"name":%q,"version":%q}`, a.name, providerVersion)}, nil
}

func (a *adapter) CheckConfig(_ context.Context, r plugin.CheckConfigRequest) (plugin.CheckConfigResponse, error) {
	return plugin.CheckConfigResponse{Properties: r.News}, nil
}

func (a *adapter) DiffConfig(context.Context, plugin.DiffConfigRequest) (plugin.DiffConfigResponse, error) {
	return plugin.DiffResult{Changes: plugin.DiffNone}, nil
}

func (a *adapter) Configure(_ context.Context, q plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
	a.config = plain(q.Inputs)
	return plugin.ConfigureResponse{}, nil
}

// request fills what every method shares, and a context that ends when either
// the caller's or the engine's cancellation does.
func (a *adapter) request(ctx context.Context, u urn.URN, id resource.ID) (Request, context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.ctx, cancel)
	r := Request{URN: string(u), Type: string(u.Type()), Name: u.Name(), ID: string(id), Config: a.config}
	r.Waiting = func(what string) {
		a.sink(plan.Event{Time: time.Now(), Kind: plan.Waiting, URN: r.URN, Name: r.Name, Type: r.Type, Text: what})
	}
	return r, ctx, func() { stop(); cancel() }
}

// ended turns a panic of a provider into an error, since in process it would end
// the program, and keeps every error as it is, since the engine passes on its text only.
func (a *adapter) ended(u urn.URN, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the provider panicked, which is a bug: %v\n%s", r, debug.Stack())
	}
	if *err != nil {
		a.failures.add(&OperationError{Resource: u.Name(), Err: *err})
	}
}

func (a *adapter) Check(ctx context.Context, q plugin.CheckRequest) (resp plugin.CheckResponse, err error) {
	defer a.ended(q.URN, &err)
	r, ctx, done := a.request(ctx, q.URN, "")
	defer done()
	r.OldInputs, r.Inputs = plain(q.Olds), plain(q.News)
	in, failures, err := a.p.Check(ctx, r)
	if err != nil {
		return resp, err
	}
	resp.Properties = rewrap(q.News, in)
	for _, f := range failures {
		resp.Failures = append(resp.Failures, plugin.CheckFailure{Property: resource.PropertyKey(f.Property), Reason: f.Reason})
	}
	return resp, nil
}

func (a *adapter) Diff(ctx context.Context, q plugin.DiffRequest) (resp plugin.DiffResponse, err error) {
	defer a.ended(q.URN, &err)
	r, ctx, done := a.request(ctx, q.URN, q.ID)
	defer done()
	r.OldInputs, r.Olds, r.Inputs = plain(q.OldInputs), plain(q.OldOutputs), plain(q.NewInputs)
	d, err := a.p.Diff(ctx, r)
	if err != nil {
		return resp, err
	}
	resp.Changes = plugin.DiffNone
	if len(d.Changed) == 0 {
		return resp, nil
	}
	resp.Changes, resp.DetailedDiff = plugin.DiffSome, map[string]plugin.PropertyDiff{}
	for _, k := range d.Changed {
		resp.ChangedKeys = append(resp.ChangedKeys, resource.PropertyKey(k))
		_, input := q.NewInputs[resource.PropertyKey(k)]
		_, old := q.OldInputs[resource.PropertyKey(k)]
		resp.DetailedDiff[k] = plugin.PropertyDiff{Kind: plugin.DiffUpdate, InputDiff: input || old}
	}
	for _, k := range d.Replaces {
		resp.ReplaceKeys = append(resp.ReplaceKeys, resource.PropertyKey(k))
		resp.DetailedDiff[k] = plugin.PropertyDiff{Kind: plugin.DiffUpdateReplace, InputDiff: resp.DetailedDiff[k].InputDiff}
	}
	// Where a resource is known by its name, making the new one first would adopt the
	// old one, and deleting the old one then would delete both.
	resp.DeleteBeforeReplace = len(d.Replaces) > 0 && !d.Beside
	return resp, nil
}

func (a *adapter) Create(ctx context.Context, q plugin.CreateRequest) (resp plugin.CreateResponse, err error) {
	defer a.ended(q.URN, &err)
	r, ctx, done := a.request(ctx, q.URN, "")
	defer done()
	r.Inputs, r.Preview = plain(q.Properties), q.Preview
	id, out, err := a.p.Create(ctx, r)
	return plugin.CreateResponse{ID: resource.ID(id), Properties: rewrap(q.Properties, out), Status: resource.StatusOK}, err
}

func (a *adapter) Read(ctx context.Context, q plugin.ReadRequest) (resp plugin.ReadResponse, err error) {
	defer a.ended(q.URN, &err)
	r, ctx, done := a.request(ctx, q.URN, q.ID)
	defer done()
	r.OldInputs, r.Olds = plain(q.Inputs), plain(q.State)
	f, err := a.p.Read(ctx, r)
	if err != nil || f.Outputs == nil {
		return plugin.ReadResponse{Status: resource.StatusOK}, err
	}
	result := plugin.ReadResult{ID: q.ID, Inputs: q.Inputs, Outputs: rewrap(q.State, f.Outputs)}
	if f.ID != "" {
		result.ID = resource.ID(f.ID)
	}
	if f.Inputs != nil {
		result.Inputs = rewrap(q.Inputs, f.Inputs)
	}
	return plugin.ReadResponse{ReadResult: result, Status: resource.StatusOK}, nil
}

func (a *adapter) Update(ctx context.Context, q plugin.UpdateRequest) (resp plugin.UpdateResponse, err error) {
	defer a.ended(q.URN, &err)
	r, ctx, done := a.request(ctx, q.URN, q.ID)
	defer done()
	r.OldInputs, r.Olds, r.Inputs, r.Preview = plain(q.OldInputs), plain(q.OldOutputs), plain(q.NewInputs), q.Preview
	out, err := a.p.Update(ctx, r)
	return plugin.UpdateResponse{Properties: rewrap(q.NewInputs, out), Status: resource.StatusOK}, err
}

func (a *adapter) Delete(ctx context.Context, q plugin.DeleteRequest) (resp plugin.DeleteResponse, err error) {
	defer a.ended(q.URN, &err)
	r, ctx, done := a.request(ctx, q.URN, q.ID)
	defer done()
	r.OldInputs, r.Olds = plain(q.Inputs), plain(q.Outputs)
	err = a.p.Delete(ctx, r)
	return plugin.DeleteResponse{Status: resource.StatusOK}, err
}

func (a *adapter) Invoke(ctx context.Context, q plugin.InvokeRequest) (resp plugin.InvokeResponse, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the provider panicked, which is a bug: %v\n%s", r, debug.Stack())
		}
	}()
	out, err := a.p.Invoke(ctx, string(q.Tok), plain(q.Args))
	return plugin.InvokeResponse{Properties: out}, err
}

// plain is m without secret wrappers.
func plain(m resource.PropertyMap) resource.PropertyMap {
	if m == nil {
		return nil
	}
	out := make(resource.PropertyMap, len(m))
	for k, v := range m {
		out[k] = plainValue(v)
	}
	return out
}

func plainValue(v resource.PropertyValue) resource.PropertyValue {
	switch {
	case v.IsSecret():
		return plainValue(v.SecretValue().Element)
	case v.IsOutput():
		if o := v.OutputValue(); o.Known {
			return plainValue(o.Element)
		}
		return resource.MakeComputed(resource.NewStringProperty(""))
	case v.IsObject():
		return resource.NewObjectProperty(plain(v.ObjectValue()))
	case v.IsArray():
		out := make([]resource.PropertyValue, len(v.ArrayValue()))
		for i, e := range v.ArrayValue() {
			out[i] = plainValue(e)
		}
		return resource.NewArrayProperty(out)
	default:
		return v
	}
}

// rewrap marks as secret in got what is secret at the same place in from.
func rewrap(from, got resource.PropertyMap) resource.PropertyMap {
	if got == nil {
		return nil
	}
	out := make(resource.PropertyMap, len(got))
	for k, v := range got {
		out[k] = rewrapValue(from[k], v)
	}
	return out
}

func rewrapValue(from, got resource.PropertyValue) resource.PropertyValue {
	switch {
	case got.IsSecret():
		return got
	case from.IsSecret(), from.IsOutput() && from.OutputValue().Secret:
		return resource.MakeSecret(got)
	case from.IsObject() && got.IsObject():
		return resource.NewObjectProperty(rewrap(from.ObjectValue(), got.ObjectValue()))
	case from.IsArray() && got.IsArray() && len(from.ArrayValue()) == len(got.ArrayValue()):
		out := make([]resource.PropertyValue, len(got.ArrayValue()))
		for i, e := range got.ArrayValue() {
			out[i] = rewrapValue(from.ArrayValue()[i], e)
		}
		return resource.NewArrayProperty(out)
	default:
		return got
	}
}
