package aws_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/engine"
)

// What the real aws plugin says of every resource of every transition between levels is
// what the rehearsal says: the inputs that it refuses, what changes, what is replaced.
func TestRehearsalAnswersAsThePlugin(t *testing.T) {
	program := findPlugin()
	if program == "" {
		t.Skip("pulumi-resource-aws v6.83.2 is neither on PATH nor among the plugins: nothing was compared with it. 'pulumi plugin install resource aws v6.83.2' installs it")
	}
	c := compare(t, program)
	for _, d := range c.walk(t, tour[:9]) {
		t.Error(d)
	}
	t.Logf("compared with %s: %d checks, %d diffs of %d types", program, c.checks, c.diffs, len(c.types))
}

// The comparison itself, with a stand-in that is this test: it finds nothing where the
// two agree, and each of three ways to differ.
func TestComparisonFindsDifferences(t *testing.T) {
	if len(os.Args) > 0 && os.Getenv(standIn) != "" {
		t.Fatal(serveStandIn(os.Getenv(standIn)))
	}
	for lie, says := range map[string]string{
		"none":     "",
		"refuses":  "Check of aws:ec2/vpc:Vpc",
		"replaces": "Diff of aws:rds/instance:Instance db-use1-g1: replaces",
		"changes":  "Diff of aws:route53/record:Record",
	} {
		t.Run(lie, func(t *testing.T) {
			t.Setenv(standIn, lie)
			ds := compare(t, os.Args[0], "-test.run", "^TestComparisonFindsDifferences$").walk(t, []int{1, 2})
			if lie == "none" && len(ds) > 0 || lie != "none" && !slices.ContainsFunc(ds, func(d string) bool { return strings.Contains(d, says) }) {
				t.Errorf("%d differences: %v", len(ds), ds[:min(5, len(ds))])
			}
		})
	}
}

// The walk from 1 to 2, with the real plugin, against an emulator of AWS.
func TestWalkAgainstAnEmulator(t *testing.T) {
	endpoint := os.Getenv("SCALE_TEST_EMULATOR")
	if endpoint == "" || findPlugin() == "" {
		t.Skip("SCALE_TEST_EMULATOR names no emulator, or the aws plugin is not here: nothing was walked against one")
	}
	w := &world{TB: t, home: t.TempDir(), app: app(t, 1, 1)}
	w.target = aws.New(aws.Config{Domain: w.app.Domain, Endpoint: endpoint})
	var err error
	if w.env, err = stacks.Open(stacks.Home(w.home), w.app, w.target, stacks.Passphrase{Value: "x"}, "test"); err != nil {
		t.Fatal(err)
	}
	for _, level := range []int{1, 2} {
		w.to(level)
		if p, err := w.env.Plan(t.Context(), goal(level), nil); err != nil || !p.Empty() {
			t.Errorf("a second walk to level %d would change %v (%v)", level, p.Changes(), err)
		}
	}
	t.Logf("walked from 1 to 2 against %s", endpoint)
}

func findPlugin() string {
	if f, err := exec.LookPath("pulumi-resource-aws"); err == nil {
		return f
	}
	home := os.Getenv("PULUMI_HOME")
	if home == "" {
		h, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		home = filepath.Join(h, ".pulumi")
	}
	f := filepath.Join(home, "plugins", "resource-aws-v6.83.2", "pulumi-resource-aws")
	if _, err := os.Stat(f); err != nil {
		return ""
	}
	return f
}

// comparison asks a plugin what a rehearsal is asked.
type comparison struct {
	plugin pulumirpc.ResourceProviderClient

	mu            sync.Mutex
	said          map[string]bool
	checks, diffs int
	types         map[string]bool
}

// compare starts a plugin as the engine does: it is told where the engine listens, and
// says on its first line where it does. It asks no cloud: its credentials are nobody's.
func compare(t *testing.T, program string, args ...string) *comparison {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := grpc.NewServer()
	pulumirpc.RegisterEngineServer(host, silent{})
	go func() { _ = host.Serve(l) }() // until it is stopped
	c := exec.CommandContext(t.Context(), program, append(args, l.Addr().String())...)
	c.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait(); host.Stop() })
	var port int
	if _, err := fmt.Fscan(bufio.NewReader(out), &port); err != nil {
		t.Fatalf("the plugin does not say where it listens: %v", err)
	}
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", port), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(400<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &comparison{plugin: pulumirpc.NewResourceProviderClient(conn), said: map[string]bool{}, types: map[string]bool{}}
	settings := map[string]string{"region": "us-east-1", "accessKey": "test", "secretKey": "test", "skipCredentialsValidation": "true", "skipMetadataApiCheck": "true", "skipRegionValidation": "true", "skipRequestingAccountId": "true"}
	vars := map[string]string{}
	props := resource.PropertyMap{}
	for k, v := range settings {
		vars["aws:config:"+k] = v
		props[resource.PropertyKey(k)] = resource.NewStringProperty(v)
	}
	if _, err := p.plugin.Configure(t.Context(), &pulumirpc.ConfigureRequest{Variables: vars, Args: marshal(t, props), AcceptSecrets: true, AcceptResources: true}, grpc.WaitForReady(true)); err != nil {
		t.Fatalf("configure the plugin: %v", err)
	}
	return p
}

// silent is an engine that listens to no log.
type silent struct {
	pulumirpc.UnimplementedEngineServer
}

func (silent) Log(context.Context, *pulumirpc.LogRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func marshal(t testing.TB, m resource.PropertyMap) *structpb.Struct {
	t.Helper()
	s, err := plugin.MarshalProperties(m, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: false, SkipInternalKeys: false})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// walk takes the levels one after the other in a rehearsal, asking the plugin too, and
// returns where it differs, each once.
func (c *comparison) walk(t *testing.T, levels []int) []string {
	t.Helper()
	w := newWorld(t, 2, 2)
	factory := w.cloud.Providers("aws")["aws"]
	w.target = aws.New(aws.Config{Domain: w.app.Domain, Rehearsal: w.cloud})
	var err error
	if w.env, err = stacks.Open(stacks.Home(w.home), w.app, both{w.target, func() engine.Provider { return &compared{factory(), c, t} }}, stacks.Passphrase{Value: "x"}, "test"); err != nil {
		t.Fatal(err)
	}
	for _, l := range levels {
		w.to(l)
	}
	return slices.Sorted(maps.Keys(c.said))
}

// both is the target with the comparison as its provider.
type both struct {
	*aws.AWS
	factory engine.ProviderFactory
}

func (b both) Providers() map[string]engine.ProviderFactory {
	return map[string]engine.ProviderFactory{"aws": b.factory}
}

type compared struct {
	engine.Provider
	c *comparison
	t *testing.T
}

func (p *compared) Check(ctx context.Context, r engine.Request) (resource.PropertyMap, []engine.Failure, error) {
	in, failures, err := p.Provider.Check(ctx, r)
	if err != nil {
		return in, failures, err
	}
	theirs, failed := p.c.plugin.Check(ctx, &pulumirpc.CheckRequest{Urn: r.URN, Olds: marshal(p.t, r.OldInputs), News: marshal(p.t, r.Inputs), RandomSeed: make([]byte, 32)})
	var a, b []string
	for _, f := range failures {
		a = append(a, f.Property)
	}
	if failed != nil {
		b = append(b, failed.Error())
	}
	for _, f := range theirs.GetFailures() {
		b = append(b, f.Property+" ("+f.Reason+")")
	}
	p.c.tell(r, "Check", len(a) != len(b), "refuses", a, b)
	return in, failures, err
}

func (p *compared) Diff(ctx context.Context, r engine.Request) (engine.Diff, error) {
	d, err := p.Provider.Diff(ctx, r)
	if err != nil {
		return d, err
	}
	theirs, failed := p.c.plugin.Diff(ctx, &pulumirpc.DiffRequest{Id: r.ID, Urn: r.URN, Olds: marshal(p.t, r.Olds), OldInputs: marshal(p.t, r.OldInputs), News: marshal(p.t, r.Inputs)})
	if failed != nil {
		p.c.tell(r, "Diff", true, "fails", nil, []string{failed.Error()})
		return d, err
	}
	top := func(keys []string) (out []string) {
		for _, k := range keys {
			out = append(out, strings.FieldsFunc(k, func(r rune) bool { return r == '.' || r == '[' })[0])
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	changed := theirs.GetDiffs()
	if theirs.GetChanges() == pulumirpc.DiffResponse_DIFF_NONE {
		changed = nil
	}
	p.c.tell(r, "Diff", !slices.Equal(top(d.Changed), top(changed)), "changes", top(d.Changed), top(changed))
	p.c.tell(r, "Diff", !slices.Equal(top(d.Replaces), top(theirs.GetReplaces())), "replaces", top(d.Replaces), top(theirs.GetReplaces()))
	return d, err
}

func (c *comparison) tell(r engine.Request, call string, differs bool, what string, ours, theirs []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.types[r.Type] = true
	if call == "Check" {
		c.checks++
	} else if what == "changes" {
		c.diffs++
	}
	if differs {
		c.said[fmt.Sprintf("%s of %s %s: %s: the rehearsal says %v, the plugin %v", call, r.Type, r.Name, what, ours, theirs)] = true
	}
}

const standIn = "SCALE_TEST_STAND_IN"

// serveStandIn answers as the rehearsal does, but for a lie.
func serveStandIn(lie string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	cloud := aws.NewRehearsal()
	aws.New(aws.Config{Domain: "shop.example.com", Rehearsal: cloud}) // gives the cloud its model
	s := grpc.NewServer(grpc.MaxRecvMsgSize(400 << 20))
	pulumirpc.RegisterResourceProviderServer(s, &standInServer{lie: lie, p: cloud.Providers("aws")["aws"]()})
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	return s.Serve(l)
}

type standInServer struct {
	pulumirpc.UnimplementedResourceProviderServer
	lie string
	p   engine.Provider
}

func unmarshal(s *structpb.Struct) resource.PropertyMap {
	m, err := plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepUnknowns: true, SkipInternalKeys: false})
	if err != nil {
		panic(err)
	}
	return m
}

func (s *standInServer) request(urn string) engine.Request {
	u := resource.URN(urn)
	return engine.Request{URN: urn, Type: string(u.Type()), Name: u.Name(), Waiting: func(string) {}}
}

func (s *standInServer) Configure(context.Context, *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	return &pulumirpc.ConfigureResponse{}, nil
}

func (s *standInServer) Check(ctx context.Context, q *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	r := s.request(q.Urn)
	r.OldInputs, r.Inputs = unmarshal(q.Olds), unmarshal(q.News)
	_, failures, err := s.p.Check(ctx, r)
	out := &pulumirpc.CheckResponse{Inputs: q.News}
	for _, f := range failures {
		out.Failures = append(out.Failures, &pulumirpc.CheckFailure{Property: f.Property, Reason: f.Reason})
	}
	if s.lie == "refuses" && r.Type == "aws:ec2/vpc:Vpc" {
		out.Failures = append(out.Failures, &pulumirpc.CheckFailure{Property: "cidrBlock", Reason: "a lie"})
	}
	return out, err
}

func (s *standInServer) Diff(ctx context.Context, q *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	r := s.request(q.Urn)
	r.ID, r.Olds, r.OldInputs, r.Inputs = q.Id, unmarshal(q.Olds), unmarshal(q.OldInputs), unmarshal(q.News)
	d, err := s.p.Diff(ctx, r)
	out := &pulumirpc.DiffResponse{Diffs: d.Changed, Replaces: d.Replaces, Changes: pulumirpc.DiffResponse_DIFF_SOME}
	if len(d.Changed) == 0 {
		out.Changes = pulumirpc.DiffResponse_DIFF_NONE
	}
	if s.lie == "replaces" && r.Type == dbType && len(d.Changed) > 0 {
		out.Replaces = append(out.Replaces, "multiAz")
	}
	if s.lie == "changes" && strings.HasSuffix(r.Type, ":Record") {
		out.Diffs, out.Changes = append(out.Diffs, "ttl"), pulumirpc.DiffResponse_DIFF_SOME
	}
	return out, err
}
