package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/contract"
	"github.com/scale-levels/scale/stacks/engine"
)

// machine is one from which an environment on a rehearsed account is changed; its state
// is in the bucket, and what stands in the account is in a file.
func machine(home, account, phrase string) (*stacks.Environment, error) {
	f, err := config.Parse("scale.yaml", []byte(`name: shop
domain: shop.example.com
services:
  web: {image: "ghcr.io/acme/web:1.0", health: /healthz}
database: {}
environments:
  dev: {target: aws, state: "s3://state/teams/shop"}
`))
	if err != nil {
		return nil, err
	}
	a, err := f.App("")
	if err == nil {
		err = a.Fit()
	}
	if err != nil {
		return nil, err
	}
	cloud := aws.NewRehearsal()
	if err := cloud.Keep(account); err != nil {
		return nil, err
	}
	files, err := opened(context.Background())
	if err != nil {
		return nil, err
	}
	return stacks.OpenIn(files, stacks.Home(home), a, aws.New(aws.Config{Domain: a.Domain, Rehearsal: cloud}), stacks.Passphrase{Value: phrase}, "scale up")
}

// walk goes to a level as the commands do: plan, lease, walk.
func walk(e *stacks.Environment, g stacks.Goal, wait time.Duration) error {
	ctx := context.Background()
	lease, err := e.Lease(ctx, wait, nil)
	if err != nil {
		return err
	}
	if err := e.Reload(); err != nil {
		return err
	}
	p, err := e.Plan(ctx, g, nil)
	if err != nil {
		return err
	}
	if err := e.Walk(ctx, ctx, g, p, func(plan.Event) {}); err != nil {
		return err
	}
	if g.DeleteData {
		return lease.Remove()
	}
	return lease.Release()
}

const deadAccount, deadHome = "SCALE_TEST_ACCOUNT", "SCALE_TEST_HOME"

// TestMain is, when another test asks for it, the machine that is killed.
func TestMain(m *testing.M) {
	account := os.Getenv(deadAccount)
	if account == "" {
		os.Exit(m.Run())
	}
	e, err := machine(os.Getenv(deadHome), account, "correct horse")
	if err == nil {
		err = walk(e, stacks.Goal{Verb: "up", Level: 2}, 0)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Whoever reaches the bucket goes on with the environment, also after another machine
// died in the middle of an update, and without it nothing is left in the bucket.
func TestStateIsShared(t *testing.T) {
	contract.S3(t, "state")
	account := filepath.Join(t.TempDir(), "account")
	on := func() *stacks.Environment {
		t.Helper()
		e, err := machine(t.TempDir(), account, "correct horse")
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	var fit *plan.Error
	if _, err := machine(t.TempDir(), account, ""); !errors.As(err, &fit) || !strings.Contains(err.Error(), "must be chosen") {
		t.Fatalf("without a passphrase: %v", err)
	}
	if err := walk(on(), stacks.Goal{Verb: "up", Level: 1}, 0); err != nil {
		t.Fatal(err)
	}
	if e := on(); e.Level() != 1 {
		t.Fatalf("another machine sees level %d", e.Level())
	}
	e, err := machine(t.TempDir(), account, "wrong")
	if err == nil {
		_, err = e.Plan(context.Background(), stacks.Goal{Verb: "up", Level: 2}, nil)
	}
	if !errors.As(err, &fit) || !strings.Contains(err.Error(), "passphrase") {
		t.Fatalf("with another passphrase: %v", err)
	}

	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), deadAccount+"="+account, deadHome+"="+t.TempDir(), "SCALE_FAULT=journal:40")
	if out, err := c.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("nothing was killed (the marks are compiled in with -tags faults): %v\n%s", err, out)
	}
	var locked *engine.LockedError
	if err := walk(on(), stacks.Goal{Verb: "up", Level: 2}, 0); !errors.As(err, &locked) || locked.Holder.Command != "scale up" {
		t.Fatalf("right after the death: %v", err)
	}
	next := on()
	if err := walk(next, stacks.Goal{Verb: "up", Level: 2}, time.Minute); err != nil {
		t.Fatal(err)
	}
	if p, err := on().Plan(context.Background(), stacks.Goal{Verb: "up", Level: 2}, nil); err != nil || !p.Empty() {
		t.Fatalf("then there is still to do: %v %v", p.Changes(), err)
	}
	if err := walk(on(), stacks.Goal{Verb: "down", DeleteData: true}, 0); err != nil {
		t.Fatal(err)
	}
	b := open(t)
	for _, name := range []string{"environments/shop/dev/record.json", "environments/shop/dev/lease", ".pulumi/stacks/shop/dev.json"} {
		if _, err := b.Read(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left (%v)", name, err)
		}
	}
}
