//go:build unix

package agent

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestServeFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"release/index.html": "home", "release/css/a.css": "body{}", "release/docs/index.html": "docs", "release/.env": "secret",
		"release/empty/.keep": "", "outside.txt": "secret",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("release", filepath.Join(dir, "current")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../outside.txt", filepath.Join(dir, "release", "link.txt")); err != nil {
		t.Fatal(err)
	}
	e := Edge{Root: filepath.Join(dir, "current"), Prefix: "/static/"}
	for path, want := range map[string]struct {
		code int
		body string
	}{
		"/static/":               {200, "home"},
		"/static/css/a.css":      {200, "body{}"},
		"/static/docs/":          {200, "docs"},
		"/static/docs":           {301, ""},
		"/static/css/":           {404, ""}, // no listing
		"/static/empty/":         {404, ""},
		"/static/.env":           {404, ""},
		"/static/link.txt":       {404, ""}, // leads out of the release
		"/static/../outside.txt": {404, ""},
		"/static/nothing":        {404, ""},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "http://x/", nil)
		r.URL.Path = path
		e.serveFile(w, r)
		if w.Code != want.code || want.body != "" && w.Body.String() != want.body {
			t.Errorf("%s: %d %q, want %d %q", path, w.Code, w.Body.String(), want.code, want.body)
		}
	}
	w := httptest.NewRecorder()
	e.serveFile(w, httptest.NewRequest(http.MethodGet, "/static/css/a.css", nil))
	again := httptest.NewRequest(http.MethodGet, "/static/css/a.css", nil)
	again.Header.Set("If-None-Match", w.Header().Get("ETag"))
	w = httptest.NewRecorder()
	e.serveFile(w, again)
	if w.Code != http.StatusNotModified {
		t.Errorf("asked again with its tag: %d", w.Code)
	}
	w = httptest.NewRecorder()
	e.serveFile(w, httptest.NewRequest(http.MethodPost, "/static/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}
