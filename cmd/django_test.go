//go:build unix

package cmd_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A project as its users would write it, which knows nothing of scale: Django
// with sessions in the database, uploads beside the code, and migrations.
func TestDjango(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.django()
	base := strings.TrimSpace(w.must(0, "up", "--yes").out)
	visitor, read := visitor(t, base)
	if page := read("/"); !strings.Contains(page, "been here 1 time.") || !strings.Contains(page, `href="/static/notes.css"`) {
		t.Fatalf("first visit: %s", page)
	}
	if css := read("/static/notes.css"); !strings.Contains(css, "system-ui") {
		t.Fatalf("static file: %s", css)
	}
	resp, err := visitor.PostForm(base+"/notes", url.Values{"text": {"remember the milk"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	upload := upload(t, visitor, base+"/uploads", "what was uploaded")

	// A new release: the migration runs again, sessions and uploads stay.
	w.write("notes/extra.py", "# a new release\n")
	p := w.plan()
	if got := p.Count(); got["update"] != 4 || p.Downtime == 0 { // the entry twice, the migration, the instance
		t.Fatalf("plan of a new release: %+v", p)
	}
	w.must(0, "up", "--yes")
	if page := read("/"); !strings.Contains(page, "been here 3 times.") || !strings.Contains(page, "remember the milk") {
		t.Fatalf("after a new release: %s", page)
	}
	if got := read(upload); got != "what was uploaded" {
		t.Fatalf("the upload is now %q", got)
	}
	// What the application wrote is no new release.
	w.must(0, "preview", "--detailed-exitcode")

	w.must(0, "down", "--yes")
	w.env = nil // the secret is kept
	w.must(0, "up", "--yes")
	visits := 3
	after := func(what string) {
		t.Helper()
		for range 3 { // of level 2's two instances both are met
			visits++
			if page := read("/"); !strings.Contains(page, fmt.Sprintf("been here %d times.", visits)) || !strings.Contains(page, "remember the milk") {
				t.Fatalf("after %s: %s", what, page)
			}
		}
		if got := read(upload); got != "what was uploaded" {
			t.Fatalf("after %s the upload is %q", what, got)
		}
	}
	after("down and up")
	w.must(0, "doctor", "--app")
	w.must(0, "up", "--level", "2", "--yes")
	after("going to level 2")
	if s := w.status(); len(s.Components) != 8 || s.Level != 2 || s.State != "up" {
		t.Fatalf("at level 2: %+v", s)
	}
	w.must(0, "up", "--level", "1", "--yes")
	after("going back to level 1")
}

// With uploads beside the code, level 2 is refused before anything starts.
func TestDjangoWithFilesOnTheNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.django()
	w.write("scale.yaml", strings.Replace(w.yaml(), "files: true", "", 1))
	base := strings.TrimSpace(w.must(0, "up", "--yes").out)
	visitor, read := visitor(t, base)
	kept := upload(t, visitor, base+"/uploads", "on the node")
	before := w.status()
	for _, args := range [][]string{{"preview", "--level", "2"}, {"up", "--level", "2", "--yes"}} {
		r := w.must(3, args...)
		if !strings.Contains(r.err, "keeps 1 files beside its code, the first media/") || !strings.Contains(r.err, "files: true") || !strings.Contains(r.err, "FILES_BUCKET") {
			t.Errorf("%v: %s", args, r)
		}
	}
	if after := w.status(); !maps.Equal(pids(before), pids(after)) {
		t.Errorf("a refused up changed something: %v, then %v", pids(before), pids(after))
	}
	if got := read(kept); got != "on the node" {
		t.Errorf("the upload is now %q", got)
	}
}

// django makes the example the project.
func (w *world) django() {
	w.t.Helper()
	if err := exec.Command("/usr/bin/python3", "-c", "import django, psycopg2, boto3").Run(); err != nil {
		w.t.Skip("Django, psycopg2 or boto3 is not installed for /usr/bin/python3: '.ci/tools django' installs them")
	}
	if !installed("versitygw") {
		w.t.Skip("versitygw is not on PATH: '.ci/tools versitygw' installs it")
	}
	if err := os.CopyFS(w.dir, os.DirFS("../examples/notes")); err != nil {
		w.t.Fatal(err)
	}
	w.env = []string{"SECRET_KEY=not-a-real-one-but-long-enough-for-django"}
}

// visitor has a cookie jar, and reads pages.
func visitor(t *testing.T, base string) (*http.Client, func(path string) string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Transport: &http.Transport{Proxy: nil}}
	return c, func(path string) string {
		t.Helper()
		resp, err := c.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v %s", path, resp.Status, err, b)
		}
		return string(b)
	}
}

func upload(t *testing.T, c *http.Client, to, text string) string {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	f, err := form.CreateFormFile("file", "note.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	resp, err := c.Post(to, form.FormDataContentType(), &b)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("upload: %s %v %s", resp.Status, err, answer)
	}
	_, path, _ := strings.Cut(string(answer), `"url": "`)
	return strings.TrimSuffix(strings.TrimSpace(path), `"}`)
}
