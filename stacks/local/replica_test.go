//go:build unix

package local

import (
	"os"
	"path/filepath"
	"testing"
)

// What a fenced leader held stays, however often its rejoining is begun again.
func TestRetiredFilesStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	write := func(signal, what string) {
		t.Helper()
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{standbySignal: signal, "what": what} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := func() string { b, _ := os.ReadFile(filepath.Join(dir+".retired", "what")); return string(b) }
	write(fencedMark, "the leader's")
	for _, killed := range []func(){
		func() {},                          // never
		func() {},                          // before the copy was there
		func() { write("", "the copy's") }, // after, and before anybody knew
	} {
		killed()
		if err := retire(dir); err != nil || kept() != "the leader's" {
			t.Fatalf("kept is %q (%v)", kept(), err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "what")); err != nil {
		t.Fatal("the copy was moved away")
	}
}
