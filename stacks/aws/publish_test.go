package aws

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/aws/program"
	"github.com/scale-levels/scale/stacks/contract"
)

// broken is a directory in which one file cannot be read.
type broken struct{ fstest.MapFS }

func (b broken) ReadFile(name string) ([]byte, error) {
	if name == "broken.js" {
		return nil, errors.New("the disk is old")
	}
	return b.MapFS.ReadFile(name)
}

// Files are published once, whole or not at all; those of the CDN lie over each other.
// On an S3-compatible server: nothing of it was run against S3 itself.
func TestPublish(t *testing.T) {
	contract.S3(t, "releases")
	a := &account{}
	dir := fstest.MapFS{}
	for i := range 40 {
		dir[fmt.Sprintf("assets/%d.js", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "one %d", i)}
	}
	dir["index.html"] = &fstest.MapFile{Data: []byte("one")}
	publish := func(release string, files fs.FS, over bool) {
		t.Helper()
		got, err := a.Publish(t.Context(), "us-east-1", "releases", release, files)
		if err != nil || got != over {
			t.Fatalf("%s: over others: %t, %v", release, got, err)
		}
	}
	holds := func(key, want string) {
		t.Helper()
		c, err := a.load(t.Context(), "us-east-1")
		if err != nil {
			t.Fatal(err)
		}
		client := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: sdk.String("releases"), Key: &key})
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		defer out.Body.Close()
		var b strings.Builder
		buf := make([]byte, 100)
		n, _ := out.Body.Read(buf)
		b.Write(buf[:n])
		if b.String() != want {
			t.Errorf("%s has %q, want %q", key, b.String(), want)
		}
		if strings.HasSuffix(key, ".html") && !strings.HasPrefix(sdk.ToString(out.ContentType), "text/html") {
			t.Errorf("%s is said to be %s", key, sdk.ToString(out.ContentType))
		}
	}
	if _, err := a.Publish(t.Context(), "us-east-1", "releases", "r0", broken{fstest.MapFS{"broken.js": {}, "a.js": {}}}); err == nil || !strings.Contains(err.Error(), "the disk is old") {
		t.Fatalf("a file that cannot be read: %v", err)
	}
	publish("r1", dir, false) // r0 is not complete, and no other is
	holds("releases/r1/assets/39.js", "one 39")
	holds("cdn/index.html", "one")
	publish("r1", fstest.MapFS{}, false) // it is there: nothing is read
	publish("r2", fstest.MapFS{"index.html": {Data: []byte("two")}}, true)
	holds("cdn/index.html", "two")
	holds("cdn/assets/0.js", "one 0")
	holds("releases/r1/index.html", "one")
	if _, err := a.Publish(t.Context(), "us-east-1", "nowhere", "r1", dir); err == nil {
		t.Error("a bucket that is not there took files")
	}
}

// How far a move is, is read as it was noted, by whoever asks; of one that nobody has begun
// there is nothing. A switch that did not say how it ended is an error, not a guess.
func TestMovesAreNoted(t *testing.T) {
	contract.S3(t, "releases")
	a := &account{}
	target := &AWS{verbs: a}
	pins := map[string]string{pinReleases: "us-east-1/releases"}
	m := topology.MoveSpec{Service: "likes", From: "db-use1-g1", To: "likes-db-use1-g1"}
	for _, c := range []struct {
		state moveState
		to    string
		moved bool
		fails string
	}{{atRest, "", false, ""}, {copying, m.To, false, ""}, {switching, m.To, false, "is not known"}, {arrived, m.To, true, ""}, {arrived, m.From, false, ""}} {
		if c.state != atRest {
			if err := a.note(t.Context(), "us-east-1", "releases", m.Service, moveNote{State: c.state, To: c.to, Task: program.Task{Cluster: "c", Subnets: []string{"s"}}}); err != nil {
				t.Fatal(err)
			}
		}
		moved, err := target.Moved(t.Context(), m, pins)
		if moved != c.moved || (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s to %s: moved: %t, %v", c.state, c.to, moved, err)
		}
	}
	n, err := a.Noted(t.Context(), "us-east-1", "releases", m.Service)
	if err != nil || n.Task.Cluster != "c" || len(n.Task.Subnets) != 1 {
		t.Errorf("it was noted as %v (%v)", n, err)
	}
}
