//go:build unix

package cmd_test

import (
	"bytes"
	"io"
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
	if err := exec.Command("/usr/bin/python3", "-c", "import django, psycopg2").Run(); err != nil {
		t.Skip("Django or psycopg2 is not installed for /usr/bin/python3: '.ci/tools django' installs it")
	}
	w := newWorld(t)
	if err := os.CopyFS(w.dir, os.DirFS("../examples/notes")); err != nil {
		t.Fatal(err)
	}
	w.env = []string{"SECRET_KEY=not-a-real-one-but-long-enough-for-django"}
	up := w.must(0, "up", "--yes")
	base := strings.TrimSpace(up.out)

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	visitor := &http.Client{Jar: jar, Transport: &http.Transport{Proxy: nil}}
	read := func(path string) string {
		t.Helper()
		resp, err := visitor.Get(base + path)
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
	if page := read("/"); !strings.Contains(page, "been here 4 times.") || !strings.Contains(page, "remember the milk") {
		t.Fatalf("after down and up: %s", page)
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
