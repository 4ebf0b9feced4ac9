package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strings"
	"testing"

	"os"
)

const module = "github.com/scale-levels/scale/"

// The arrows of the house: which packages may import what. A package that is not
// named here may import nothing of ours.
var arrows = map[string][]string{
	"":                       {"cmd"},
	"cmd":                    {"tui", "stacks", "stacks/engine", "stacks/local", "stacks/aws", "stacks/rehearsal", "levels", "templates", "internal", "examples/guestbook/app"},
	"tui":                    {"tui", "levels", "internal/plan", "internal/view"},
	"stacks":                 {"stacks/engine", "stacks/rehearsal", "levels", "internal/topology", "internal/config", "internal/plan", "internal/fault"},
	"stacks/engine":          {"internal/plan", "internal/fault"},
	"stacks/aws":             {"stacks/engine", "stacks/rehearsal", "stacks/aws/program", "internal/plan", "internal/topology"},
	"stacks/aws/program":     {"internal/topology"},
	"stacks/bucket":          {"stacks/engine", "internal/plan"},
	"stacks/local":           {"stacks/engine", "stacks/rehearsal", "stacks/local/agent", "internal/fault", "internal/plan", "internal/topology", "templates"},
	"stacks/local/agent":     {"stacks/local/httpcache"},
	"stacks/local/httpcache": {},
	"stacks/rehearsal":       {"stacks/engine", "internal/plan", "internal/topology"},
	"stacks/contract":        {},
	"levels":                 {"internal/topology", "internal/config"},
	"internal/view":          {"internal/plan", "levels"},
	"examples/guestbook":     {"examples/guestbook/app"},
}

// only says which packages alone may import a path, or what begins with it.
var only = map[string][]string{
	"github.com/pulumi/pulumi/pkg": {"stacks/engine"},
	"github.com/pulumi/":           {"stacks", "stacks/engine", "stacks/local", "stacks/rehearsal", "stacks/aws", "stacks/aws/program"},
	"github.com/pulumi/pulumi-aws": {"stacks/aws", "stacks/aws/program"},
	"github.com/aws/":              {"stacks/aws", "stacks/bucket"},
	"github.com/caddyserver/":      {"stacks/local/agent"},
	"charm.land/bubbletea":         {"tui"},
	"charm.land/bubbles":           {"tui"},
	"github.com/spf13/cobra":       {"cmd"},
	"os/exec":                      {"stacks/local", "stacks/local/agent", "stacks/contract"},
	"go.yaml.in/":                  {"internal/config", "cmd", "stacks/aws"},
}

// pure packages do no I/O: they import nothing that could.
var pure = []string{"levels", "internal/topology", "internal/config", "internal/plan"}
var impure = []string{"os", "net", "os/exec", "net/http", "io/ioutil", "syscall"}

// home is the entry of a table that a package belongs to: itself or the nearest above.
func home[T any](table map[string]T, pkg string) (string, bool) {
	for p := pkg; ; p = path.Dir(p) {
		if _, ok := table[p]; ok {
			return p, true
		}
		if p == "." || p == "" {
			return "", false
		}
	}
}

func under(pkg string, list []string) bool {
	for _, l := range list {
		if pkg == l || strings.HasPrefix(pkg, l+"/") {
			return true
		}
	}
	return false
}

func exactlyOrTUI(pkg string, list []string) bool {
	for _, l := range list {
		if pkg == l || l == "tui" && strings.HasPrefix(pkg, "tui/") {
			return true
		}
	}
	return false
}

func TestArrows(t *testing.T) {
	seen := 0
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && file != "." {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		seen++
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(file)
		if pkg == "." {
			pkg = ""
		}
		for _, imp := range f.Imports {
			checkImport(t, file, pkg, strings.Trim(imp.Path.Value, `"`))
		}
		return nil
	})
	if err != nil || seen < 50 {
		t.Fatalf("%d files, %v", seen, err)
	}
}

func checkImport(t *testing.T, file, pkg, imp string) {
	t.Helper()
	if ours, ok := strings.CutPrefix(imp, module); ok {
		from, known := home(arrows, pkg)
		if !known || !under(ours, arrows[from]) {
			t.Errorf("%s imports %s: no arrow leads from %q there", file, ours, pkg)
		}
	}
	for prefix, may := range only {
		if strings.HasPrefix(imp, prefix) && !exactlyOrTUI(pkg, may) {
			t.Errorf("%s imports %s, which is for %v alone", file, imp, may)
		}
	}
	for _, p := range pure {
		if pkg == p {
			for _, i := range impure {
				if imp == i {
					t.Errorf("%s imports %s: the package does no I/O", file, imp)
				}
			}
		}
	}
}

// Only main ends the program.
func TestOnlyMainExits(t *testing.T) {
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || file == "main.go" || file == "examples/guestbook/main.go" {
			return err
		}
		b, err := os.ReadFile(file)
		if strings.Contains(string(b), "os.Exit(") {
			t.Errorf("%s calls os.Exit", file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
