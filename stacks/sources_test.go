package stacks

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDigestSources(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	digest := func() string {
		t.Helper()
		d, err := DigestSources(dir, []string{filepath.Join(dir, "public")})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	write("app.py", "print(1)")
	write(".gitignore", "media/\n*.sqlite3\n")
	first := digest()
	for _, name := range []string{".git/HEAD", "node_modules/x/index.js", "__pycache__/a.pyc", "media/upload.jpg", "db.sqlite3", "public/index.html", "scale.yaml", "sub/.hidden"} {
		write(name, "anything")
		if digest() != first {
			t.Errorf("%s makes a new release", name)
		}
	}
	write("plan.json", "{\n  \"kind\": \"scale-plan\",\n  \"version\": 1\n}\n")
	if digest() != first {
		t.Error("a saved plan makes a new release")
	}
	for _, name := range []string{"app.py", "sub/new.py", "data.json"} {
		before := digest()
		write(name, "other")
		if digest() == before {
			t.Errorf("a change of %s makes no new release", name)
		}
	}
	before := digest()
	if err := os.Chmod(filepath.Join(dir, "app.py"), 0o755); err != nil {
		t.Fatal(err)
	}
	if digest() == before {
		t.Error("a file that can be run now makes no new release")
	}
}
