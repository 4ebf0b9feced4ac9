package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
)

func count(r engine.Result) map[plan.Op]int {
	return plan.Plan{Steps: []plan.Step{{Changes: r.Changes}}}.Count()
}

func TestLifecycle(t *testing.T) {
	c := &cloud{dir: t.TempDir()}
	s := open(t, t.TempDir(), c)
	ctx := context.Background()
	must := func(r engine.Result, err error) engine.Result {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if got := count(must(s.Preview(ctx, things(12, nil), engine.Options{}))); got[plan.Create] != 12 {
		t.Fatalf("preview: %v", got)
	}
	if _, err := os.Stat(s.File()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a preview wrote the state: %v", err)
	}
	must(s.Up(ctx, things(12, nil), engine.Options{}))
	if got := must(s.Up(ctx, things(12, nil), engine.Options{Refresh: true})); len(got.Changes) != 0 {
		t.Fatalf("second up: %v", got.Changes)
	}
	r := must(s.Preview(ctx, things(12, func(i int, m pulumi.Map) {
		switch i {
		case 3:
			m["size"] = pulumi.Int(99)
		case 11: // the last of its chain
			m["kind"] = pulumi.String("other")
		}
	}), engine.Options{}))
	if got := count(r); got[plan.Update] != 1 || got[plan.Replace] != 1 {
		t.Fatalf("changes: %v %+v", got, r.Changes)
	}
	if out, err := s.Outputs(); err != nil || out["count"] != 12.0 {
		t.Fatalf("outputs: %v %v", out, err)
	}
	must(s.Destroy(ctx, engine.Options{}))
	if empty, err := s.Empty(); err != nil || !empty {
		t.Fatalf("after destroy: %v %v", empty, err)
	}
	if left, _ := os.ReadDir(c.dir); len(left) != 0 {
		t.Fatalf("destroy left %v", left)
	}
}

func TestSecretsStayOutOfTheState(t *testing.T) {
	store := t.TempDir()
	s := open(t, store, &cloud{dir: t.TempDir()})
	var events strings.Builder
	sink := func(e plan.Event) { events.WriteString(e.Text) }
	const secret = "hunter2-very-secret"
	_, err := s.Up(context.Background(), things(2, func(_ int, m pulumi.Map) {
		m["token"] = pulumi.ToSecret(pulumi.String(secret)).(pulumi.StringOutput)
	}), engine.Options{Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Preview(context.Background(), things(2, func(_ int, m pulumi.Map) {
		m["token"] = pulumi.ToSecret(pulumi.String("another-" + secret)).(pulumi.StringOutput)
	}), engine.Options{Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Changes) != 2 || r.Changes[0].Diff[0].After != "[secret]" {
		t.Fatalf("changes: %+v", r.Changes)
	}
	err = filepath.WalkDir(store, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if strings.Contains(string(b), secret) {
			t.Errorf("%s holds the secret", p)
		}
		if info, _ := d.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", p, info.Mode())
		}
		return err
	})
	if err != nil || strings.Contains(events.String(), secret) {
		t.Fatalf("walk: %v, events: %s", err, events.String())
	}
}

func TestWrongPassphrase(t *testing.T) {
	store, c := t.TempDir(), &cloud{dir: t.TempDir()}
	s := open(t, store, c)
	withToken := things(1, func(_ int, m pulumi.Map) { m["token"] = pulumi.ToSecret(pulumi.String("x")).(pulumi.StringOutput) })
	if _, err := s.Up(context.Background(), withToken, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	sec := engine.NewSecrets("wrong", salt())
	w, err := engine.Open(engine.Config{Files: engine.Directory(store), Project: "shop", Name: "dev", Secrets: sec, Table: table,
		Providers: map[string]engine.ProviderFactory{"sim": c.factory}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Up(context.Background(), withToken, engine.Options{}); !errors.Is(err, engine.ErrPassphrase) {
		t.Fatalf("got %v", err)
	}
}

func TestFailureKeepsItsTypeAndWhatWasDone(t *testing.T) {
	boom := errors.New("no room")
	c := &cloud{dir: t.TempDir(), fail: func(op, n string) error {
		if op == "create" && n == name(5) {
			return boom
		}
		return nil
	}}
	s := open(t, t.TempDir(), c)
	if _, err := s.Up(context.Background(), things(10, nil), engine.Options{}); !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	c.fail = nil
	before := c.creates.Load()
	if _, err := s.Up(context.Background(), things(10, nil), engine.Options{}); err != nil {
		t.Fatal(err)
	}
	if again := c.creates.Load() - before; again != 5 {
		t.Fatalf("%d creations after the failure, want 5: the failed one and what waited for it", again)
	}
}

func TestPanicIsAnError(t *testing.T) {
	c := &cloud{dir: t.TempDir(), fail: func(string, string) error { panic("ouch") }}
	s := open(t, t.TempDir(), c)
	if _, err := s.Up(context.Background(), things(1, nil), engine.Options{}); err == nil || !strings.Contains(err.Error(), "ouch") {
		t.Fatalf("got %v", err)
	}
}

func TestCancelFinishesWhatHasBegun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &cloud{dir: t.TempDir()}
	c.fail = func(op, n string) error {
		if n == name(0) {
			cancel()
		}
		return nil
	}
	s := open(t, t.TempDir(), c)
	if _, err := s.Up(ctx, things(10, nil), engine.Options{}); !errors.Is(err, engine.ErrCancelled) {
		t.Fatalf("got %v", err)
	}
	names, err := s.Resources()
	if err != nil || len(names) == 0 || len(names) == 10 {
		t.Fatalf("after a graceful end: %v %v", names, err)
	}
	if _, err := s.Up(context.Background(), things(10, nil), engine.Options{}); err != nil {
		t.Fatal(err)
	}
}

func TestMissingDataIsAReplacement(t *testing.T) {
	c := &cloud{dir: t.TempDir()}
	s := open(t, t.TempDir(), c)
	disk := func(ctx *pulumi.Context) error {
		return ctx.RegisterResource("sim:index:Disk", "disk", pulumi.Map{"size": pulumi.Int(1)}, &thing{})
	}
	if _, err := s.Up(context.Background(), disk, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(c.file("disk")); err != nil {
		t.Fatal(err)
	}
	r, err := s.Preview(context.Background(), disk, engine.Options{Refresh: true})
	if err != nil || len(r.Changes) != 1 || r.Changes[0].Data != plan.Replaces {
		t.Fatalf("%+v %v", r.Changes, err)
	}
	if vs := plan.Guard([]plan.Step{{Changes: r.Changes}}, table, nil); len(vs) != 1 {
		t.Fatalf("guard: %v", vs)
	}
}

func TestACopyLeavesNoTrace(t *testing.T) {
	c := &cloud{dir: t.TempDir()}
	s := open(t, t.TempDir(), c)
	ctx := context.Background()
	if _, err := s.Up(ctx, things(5, nil), engine.Options{}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(s.File())
	if err != nil {
		t.Fatal(err)
	}
	sim := &cloud{dir: t.TempDir()}
	cp := s.Copy(map[string]engine.ProviderFactory{"sim": sim.factory})
	if _, err := cp.Up(ctx, things(8, nil), engine.Options{}); err != nil {
		t.Fatal(err)
	}
	if r, err := cp.Preview(ctx, things(8, nil), engine.Options{}); err != nil || len(r.Changes) != 0 {
		t.Fatalf("the copy forgot what was done to it: %v %v", r.Changes, err)
	}
	after, err := os.ReadFile(s.File())
	if err != nil || string(after) != string(before) {
		t.Fatalf("the copy touched the original (%v)", err)
	}
}

func TestTwoLocks(t *testing.T) {
	files, file := engine.Directory(t.TempDir()), "of/x.lock"
	l, err := engine.Acquire(context.Background(), files, file, "shop/dev", "scale up", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	var held *engine.LockedError
	if _, err := engine.Acquire(context.Background(), files, file, "shop/dev", "scale down", 0, nil); !errors.As(err, &held) || held.Holder.Command != "scale up" {
		t.Fatalf("got %v", err)
	}
	if s, err := files.Inspect(file); err != nil || !s.Held {
		t.Fatalf("%+v %v", s, err)
	}
	waits := make(chan engine.Holder, 1)
	got := make(chan error, 1)
	go func() {
		l, err := engine.Acquire(context.Background(), files, file, "shop/dev", "scale down", time.Minute, func(h engine.Holder) { waits <- h })
		if err == nil {
			err = l.Release()
		}
		got <- err
	}()
	if h := <-waits; h.PID != os.Getpid() {
		t.Fatalf("waits for %v", h)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestDestroyRefusesBeforeItDeletes(t *testing.T) {
	c := &cloud{dir: t.TempDir()}
	s := open(t, t.TempDir(), c)
	program := func(ctx *pulumi.Context) error {
		for i := range 5 {
			if err := ctx.RegisterResource("sim:index:Thing", name(i), pulumi.Map{"size": pulumi.Int(1)}, &thing{}, pulumi.Protect(i == 2)); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := s.Up(context.Background(), program, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Destroy(context.Background(), engine.Options{}); err == nil || !strings.Contains(err.Error(), name(2)) {
		t.Fatalf("got %v", err)
	}
	if left, _ := os.ReadDir(c.dir); len(left) != 5 {
		t.Fatalf("a refused destroy left %d of 5", len(left))
	}
	if _, err := s.Destroy(context.Background(), engine.Options{Lift: func(n string) bool { return n == name(2) }}); err != nil {
		t.Fatal(err)
	}
}
