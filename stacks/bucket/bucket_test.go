package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/scale-levels/scale/stacks/bucket"
	"github.com/scale-levels/scale/stacks/contract"
	"github.com/scale-levels/scale/stacks/engine"
)

// open is the bucket as one more process sees it.
func open(t *testing.T) *bucket.Bucket {
	t.Helper()
	b, err := opened(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func opened(ctx context.Context) (*bucket.Bucket, error) {
	b, err := bucket.Open(ctx, "s3://state/teams/shop", "")
	if err == nil {
		b.Renewal = 3 * time.Second // a busy machine comes to it late
	}
	return b, err
}

// What the engine asks of files holds on this machine and in a bucket.
func TestFiles(t *testing.T) {
	t.Run("directory", func(t *testing.T) {
		dir := engine.Directory(t.TempDir())
		files(t, func() engine.Files { return dir })
	})
	t.Run("bucket", func(t *testing.T) {
		contract.S3(t, "state")
		files(t, func() engine.Files { return open(t) })
	})
}

func files(t *testing.T, open func() engine.Files) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	holds := func(f engine.Files, name, want string) {
		t.Helper()
		if b, err := f.Read(name); err != nil || string(b) != want {
			t.Fatalf("%s: %q, %v", name, b, err)
		}
	}
	a := open()
	if b, err := a.Read("of/x.json"); !errors.Is(err, fs.ErrNotExist) || b != nil {
		t.Fatalf("what is not there: %q, %v", b, err)
	}
	must(a.Remove("of/x.json"))
	must(a.Write("of/x.json", []byte("one")))
	must(a.Write("of/x.json", []byte("two")))
	must(a.Write("of/y.json", []byte("never read")))
	must(open().Write("of/y.json", []byte("replaced as it is")))
	holds(open(), "of/x.json", "two")
	holds(open(), "of/y.json", "replaced as it is")
	must(a.Remove("of/x.json"))
	if _, err := open().Read("of/x.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}

	log := a.Log("of/x.json.journal")
	if _, err := log.Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range 12 {
		lines := fmt.Sprintf("%d\n%d again\n", i, i)
		want.WriteString(lines)
		must(log.Append([]byte(lines)))
	}
	must(log.Close())
	if err := open().Log("of/x.json.journal").Append([]byte("mine\n")); err == nil {
		t.Fatal("two runs add to the same log")
	}
	later := open().Log("of/x.json.journal")
	if b, err := later.Read(); err != nil || string(b) != want.String() {
		t.Fatalf("%q, %v", b, err)
	}
	must(later.Append([]byte("the end\n")))
	if b, err := open().Log("of/x.json.journal").Read(); err != nil || string(b) != want.String()+"the end\n" {
		t.Fatalf("%q, %v", b, err)
	}
	must(later.Remove())
	must(later.Remove())
	must(later.Append([]byte("anew\n")))
	must(later.Remove())

	ctx := t.Context()
	if s, err := a.Inspect("lease"); err != nil || s != (engine.LockState{}) {
		t.Fatalf("%+v %v", s, err)
	}
	l, err := engine.Acquire(ctx, a, "lease", "shop/dev", "scale up", 0, nil)
	must(err)
	var locked *engine.LockedError
	if _, err := engine.Acquire(ctx, open(), "lease", "shop/dev", "scale down", 0, nil); !errors.As(err, &locked) || locked.Holder.Command != "scale up" {
		t.Fatalf("got %v", err)
	}
	if s, err := open().Inspect("lease"); err != nil || !s.Held || s.Holder.PID != os.Getpid() {
		t.Fatalf("%+v %v", s, err)
	}
	waits, got := make(chan engine.Holder, 1), make(chan error, 1)
	go func() {
		l, err := engine.Acquire(ctx, open(), "lease", "shop/dev", "scale down", time.Minute, func(h engine.Holder) { waits <- h })
		if err == nil && l.Dead.PID != 0 {
			err = fmt.Errorf("a lock that was released was taken over from %s", l.Dead)
		}
		if err == nil {
			err = l.Remove()
		}
		got <- err
	}()
	if h := <-waits; h.Command != "scale up" {
		t.Fatalf("waits for %v", h)
	}
	must(l.Release())
	must(<-got)
	if s, err := a.Inspect("lease"); err != nil || s != (engine.LockState{}) {
		t.Fatalf("%+v %v", s, err)
	}
}

// Of two that have seen the same, the first to write wins, and the second is told.
func TestWriteOverAnothers(t *testing.T) {
	contract.S3(t, "state")
	a, b := open(t), open(t)
	for _, f := range []*bucket.Bucket{a, b} {
		if _, err := f.Read("record.json"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		if err := a.Write("record.json", fmt.Appendf(nil, "a %d", i)); err != nil {
			t.Fatal(err)
		}
		if err := b.Write("record.json", []byte("b")); err == nil || !strings.Contains(err.Error(), "changed by another run") {
			t.Fatalf("got %v", err)
		}
	}
	if now, err := b.Read("record.json"); err != nil || string(now) != "a 1" {
		t.Fatalf("%q %v", now, err)
	}
	if err := b.Write("record.json", []byte("b")); err != nil {
		t.Fatal(err)
	}
}

// A lock that is not renewed is taken over, and its holder can write no more.
func TestLockOfADeadRun(t *testing.T) {
	contract.S3(t, "state")
	dead := open(t)
	dead.Renewal = 24 * time.Hour // it does not come to renewing any more
	l, err := engine.Acquire(t.Context(), dead, "lease", "shop/dev", "scale up", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Write("record.json", []byte("dead")); err != nil {
		t.Fatal(err)
	}
	next, err := engine.Acquire(t.Context(), open(t), "lease", "shop/dev", "scale down", time.Minute, nil)
	if err != nil || next.Dead.Command != "scale up" {
		t.Fatalf("%+v %v", next, err)
	}
	dead.Renewal = time.Second
	if err := dead.Write("record.json", []byte("late")); err == nil {
		t.Error("a run whose lock was taken over writes the record")
	}
	if err := dead.Log("journal").Append([]byte("late\n")); err == nil {
		t.Error("a run whose lock was taken over writes a journal")
	}
	if err := l.Release(); err == nil {
		t.Error("a run releases a lock that is another's")
	}
	if s, err := open(t).Inspect("lease"); err != nil || !s.Held || s.Holder.Command != "scale down" {
		t.Errorf("%+v %v", s, err)
	}
	if err := next.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestClearErrors(t *testing.T) {
	contract.S3(t, "state")
	for address, says := range map[string]string{"s3://": "is no bucket", "gs://x/y": "is no bucket", "https://s3.amazonaws.com/x": "is no bucket"} {
		if _, err := bucket.Open(t.Context(), address, ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", address, err)
		}
	}
	says := func(address, says string) {
		t.Helper()
		b, err := bucket.Open(t.Context(), address, "")
		if err == nil {
			_, err = b.Read("record.json")
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", address, err)
		}
	}
	says("s3://elsewhere/x", "does not exist")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	says("s3://state/x", "may not read")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	says("s3://state/x", "no AWS credentials")
	t.Setenv("AWS_REGION", "")
	says("s3://state/x", "region")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "correct-horse")
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
	says("s3://state/x?region=us-east-1", "cannot be reached")
}
