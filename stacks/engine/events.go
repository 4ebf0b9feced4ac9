package engine

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pulumi/pulumi/pkg/v3/display"
	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/plan"
)

// observer turns the engine's events into ours and collects the changes.
type observer struct {
	sink    plan.Sink
	table   plan.Table
	preview bool

	changes []plan.Change
	started map[resource.URN]time.Time
	errors  []string // error messages, in the order they came
	states  map[*resource.State]bool
}

func newObserver(sink plan.Sink, table plan.Table, preview bool) *observer {
	return &observer{sink: sink, table: table, preview: preview, started: map[resource.URN]time.Time{}, states: map[*resource.State]bool{}}
}

func (o *observer) observe(e engine.Event) {
	if e.Internal() {
		return
	}
	switch p := e.Payload().(type) {
	case engine.ResourcePreEventPayload:
		o.pre(p.Metadata)
	case engine.ResourceOutputsEventPayload:
		if p.Metadata.Op == deploy.OpRefresh && p.Metadata.New == nil && p.Metadata.Old != nil && custom(p.Metadata) {
			o.sink(plan.Event{Time: time.Now(), Kind: plan.Found, URN: string(p.Metadata.URN), Name: p.Metadata.URN.Name(),
				Type: string(p.Metadata.Type), Text: p.Metadata.URN.Name() + " is gone; it will be made again if it is wanted"})
		}
		o.done(p.Metadata, plan.ResourceDone)
	case engine.ResourceOperationFailedPayload:
		o.done(p.Metadata, plan.ResourceFailed)
	case engine.DiagEventPayload:
		o.diagnostic(p)
	}
}

var ops = map[display.StepOp]plan.Op{
	deploy.OpCreate: plan.Create, deploy.OpUpdate: plan.Update, deploy.OpReplace: plan.Replace,
	deploy.OpDelete: plan.Delete, deploy.OpRead: plan.Refresh,
}

// doing are the operations of which something is seen while they run. Of the
// three that make up a replacement, the plan shows one and the progress two.
var doing = map[display.StepOp]plan.Op{
	deploy.OpCreate: plan.Create, deploy.OpUpdate: plan.Update, deploy.OpDelete: plan.Delete,
	deploy.OpCreateReplacement: plan.Create, deploy.OpDeleteReplaced: plan.Delete,
}

func custom(m engine.StepEventMetadata) bool {
	s := m.New
	if s == nil {
		s = m.Old
	}
	return s != nil && s.Custom && !strings.HasPrefix(string(m.Type), "pulumi:")
}

func (o *observer) pre(m engine.StepEventMetadata) {
	for _, s := range []*engine.StepEventStateMetadata{m.Old, m.New} {
		if s != nil && s.State != nil {
			o.states[s.State] = true
		}
	}
	if strings.HasPrefix(string(m.Type), "pulumi:providers:") && m.Old != nil && m.New != nil {
		o.provider(m)
		return
	}
	if !custom(m) {
		return
	}
	if op, ok := ops[m.Op]; ok {
		o.changes = append(o.changes, o.change(m, op))
	}
	if op, ok := doing[m.Op]; ok && !o.preview {
		o.started[m.URN] = time.Now()
		o.sink(plan.Event{Time: time.Now(), Kind: plan.ResourceStarted, URN: string(m.URN), Name: m.URN.Name(), Type: string(m.Type), Op: op})
	}
}

// forget empties the states of an operation that has ended. The engine keeps a
// goroutine of each for ever, and with it all that the operation knew.
func (o *observer) forget() {
	for s := range o.states {
		s.Lock.Lock()
		s.Inputs, s.Outputs, s.Dependencies, s.PropertyDependencies = nil, nil, nil, nil
		s.Lock.Unlock()
	}
}

// places are the inputs of a provider that say where it works.
var places = []resource.PropertyKey{"region", "allowedAccountIds"}

// provider notes that what was made by a provider would be looked for elsewhere.
func (o *observer) provider(m engine.StepEventMetadata) {
	before, after := inputs(m.Old), inputs(m.New)
	for _, k := range places {
		if b, a := text(before[k]), text(after[k]); b != "" && b != a {
			o.changes = append(o.changes, plan.Change{URN: string(m.URN), Type: string(m.Type), Name: m.URN.Name(), Op: plan.Replace, Data: plan.Replaces, Holds: true,
				Diff: []plan.Property{{Path: string(k), Before: b, After: a, Replaces: true}}})
			return
		}
	}
}

func (o *observer) done(m engine.StepEventMetadata, kind plan.EventKind) {
	op, ok := doing[m.Op]
	if !ok || o.preview || !custom(m) {
		return
	}
	o.sink(plan.Event{Time: time.Now(), Kind: kind, URN: string(m.URN), Name: m.URN.Name(), Type: string(m.Type),
		Op: op, Elapsed: time.Since(o.started[m.URN])})
}

func (o *observer) diagnostic(p engine.DiagEventPayload) {
	text := strings.TrimSpace(colors.Never.Colorize(p.Prefix + p.Message))
	text = strings.TrimPrefix(text, "warning: warning: ")
	if text == "" || p.Ephemeral || p.Severity == diag.Debug || p.Severity == diag.Infoerr {
		return
	}
	if p.Severity == diag.Error {
		o.errors = append(o.errors, text)
		return // told once, as the operation's error
	}
	ev := plan.Event{Time: time.Now(), Kind: plan.Message, Level: string(p.Severity), URN: string(p.URN), Text: text}
	if p.URN != "" {
		ev.Name, ev.Type = p.URN.Name(), string(p.URN.Type())
	}
	o.sink(ev)
}

func (o *observer) change(m engine.StepEventMetadata, op plan.Op) plan.Change {
	c := plan.Change{URN: string(m.URN), Type: string(m.Type), Name: m.URN.Name(), Op: op}
	s := m.New
	if s == nil {
		s = m.Old
	}
	if s.Parent != "" {
		c.Node = s.Parent.Name()
	}
	if op == plan.Update || op == plan.Replace {
		c.Diff = properties(m, o.table[c.Type])
	}
	held := inputs(m.Old)
	if held == nil {
		held = inputs(m.New)
	}
	c.Holds = o.table[c.Type].Holds(func(k string) (string, bool) {
		v, ok := held[resource.PropertyKey(k)]
		return text(v), ok && !v.IsNull()
	})
	c.Data = c.Impact()
	return c
}

// inputs are a state's as they are: the event's own copy has its secrets blinded,
// and could not tell a changed one from an unchanged one.
func inputs(s *engine.StepEventStateMetadata) resource.PropertyMap {
	if s == nil || s.State == nil {
		return nil
	}
	s.State.Lock.Lock()
	defer s.State.Lock.Unlock()
	return s.State.Inputs
}

// properties are what an update or a replacement touches. Secret values are
// compared and never written.
func properties(m engine.StepEventMetadata, f plan.Facts) []plan.Property {
	before, after := inputs(m.Old), inputs(m.New)
	var ps []plan.Property
	for _, k := range m.Diffs {
		replaces := slices.Contains(m.Keys, k)
		if k == StateKey && len(f.State) > 0 {
			was := ""
			if m.Old != nil {
				was = text(m.Old.Outputs[k])
			}
			ps = append(ps, plan.Property{Path: string(k), Before: was, After: f.State[0], Replaces: replaces})
			continue
		}
		b, a := before[k], after[k]
		if b.IsObject() && a.IsObject() {
			ps = append(ps, inside(string(k), b.ObjectValue(), a.ObjectValue(), replaces)...)
			continue
		}
		ps = append(ps, plan.Property{Path: string(k), Before: text(b), After: text(a), Replaces: replaces})
	}
	return ps
}

func inside(path string, before, after resource.PropertyMap, replaces bool) []plan.Property {
	keys := map[resource.PropertyKey]bool{}
	for k := range before {
		keys[k] = true
	}
	for k := range after {
		keys[k] = true
	}
	var ps []plan.Property
	for k := range keys {
		if b, a := before[k], after[k]; !b.DeepEquals(a) {
			ps = append(ps, plan.Property{Path: path + "." + string(k), Before: text(b), After: text(a), Replaces: replaces})
		}
	}
	slices.SortFunc(ps, func(a, b plan.Property) int { return strings.Compare(a.Path, b.Path) })
	return ps
}

func text(v resource.PropertyValue) string {
	switch {
	case v.IsNull():
		return ""
	case v.IsSecret(), v.IsOutput() && v.OutputValue().Secret:
		return "[secret]"
	case v.IsComputed(), v.IsOutput():
		return plan.Unknown
	case v.IsString():
		return v.StringValue()
	case v.IsArray():
		parts := make([]string, len(v.ArrayValue()))
		for i, e := range v.ArrayValue() {
			parts[i] = text(e)
		}
		return strings.Join(parts, " ")
	case v.IsObject():
		var parts []string
		for _, k := range v.ObjectValue().StableKeys() {
			parts = append(parts, string(k)+": "+text(v.ObjectValue()[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		return fmt.Sprint(v.V)
	}
}

// failures keeps the errors of our providers as they were, since the engine
// passes on only their text.
type failures struct {
	mu   sync.Mutex
	errs []error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}
