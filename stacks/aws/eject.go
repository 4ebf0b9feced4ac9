package aws

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/aws/program"
	"github.com/scale-levels/scale/stacks/engine"
)

//go:embed ejected
var ejected embed.FS

// The versions that an ejected project requires: those that made the state.
const (
	pulumiVersion = "v3.250.0"
	pluginVersion = "v6.83.2"
)

// Eject writes a plain Pulumi project that goes on with what stands; passphrase is
// where that of the secrets is, in words.
func (a *AWS) Eject(dir string, t topology.Topology, pins map[string]string, x engine.Export, passphrase string) error {
	app, env := t.App, t.Env
	module := "ejected/" + app
	data := map[string]any{"Module": module, "App": app, "Env": env, "Level": t.Level, "Account": pins[pinAccount], "Passphrase": passphrase,
		"Password": pinPassword, "Secret": pinSecret}
	files := map[string][]byte{
		"go.mod":     fmt.Appendf(nil, "module %s\n\ngo 1.25\n\nrequire (\n\tgithub.com/pulumi/pulumi-aws/sdk/v6 %s\n\tgithub.com/pulumi/pulumi/sdk/v3 %s\n)\n", module, pluginVersion, pulumiVersion),
		".gitignore": []byte(".pulumi/backups\n"),
	}
	for _, name := range []string{"main.go", "README.md"} {
		b, err := render(name, data)
		if err != nil {
			return err
		}
		files[name] = b
	}
	for sub, from := range map[string]fs.FS{"program": program.Sources, "topology": topology.Sources} {
		if err := copySources(files, sub, from, module); err != nil {
			return err
		}
	}
	var err error
	if files["topology.json"], err = json.MarshalIndent(t, "", "  "); err != nil {
		return err
	}
	if files["settings.json"], err = json.MarshalIndent(a.settings(pins), "", "  "); err != nil {
		return err
	}
	if files["Pulumi.yaml"], err = yaml.Marshal(map[string]any{"name": app, "runtime": "go", "description": "Ejected from scale",
		"options": map[string]any{}, "config": map[string]any{"pulumi:disable-default-providers": []string{"*"}}}); err != nil {
		return err
	}
	secrets := map[string]any{}
	for k, v := range x.Secrets {
		if strings.HasPrefix(k, pinPassword) || strings.HasPrefix(k, pinSecret) {
			secrets[k] = map[string]string{"secure": v}
		}
	}
	settings := map[string]any{"encryptionsalt": x.Salt, "config": map[string]any{app + ":secrets": secrets}}
	if x.Sealed != "" {
		delete(settings, "encryptionsalt")
		settings["secretsprovider"], settings["encryptedkey"] = x.Sealed, x.Salt
	}
	if files["Pulumi."+env+".yaml"], err = yaml.Marshal(settings); err != nil {
		return err
	}
	files[filepath.Join(".pulumi", "stacks", app, env+".json")] = x.State
	files[filepath.Join(".pulumi", "meta.yaml")] = []byte("version: 1\n")
	return write(dir, files)
}

func render(name string, data any) ([]byte, error) {
	t, err := template.ParseFS(ejected, "ejected/"+name+".tmpl")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, data)
	return b.Bytes(), err
}

// copySources takes a package over, with the project's own import paths.
func copySources(files map[string][]byte, sub string, from fs.FS, module string) error {
	return fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") {
			return err
		}
		b, err := fs.ReadFile(from, name)
		files[filepath.Join(sub, name)] = bytes.ReplaceAll(b, []byte(`"github.com/scale-levels/scale/internal/topology"`), []byte(`"`+module+`/topology"`))
		return err
	})
}

// write makes the project's directory, which must be new or empty.
func write(dir string, files map[string][]byte) error {
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		return &Error{What: dir + " is not empty", Hint: "name another directory with --dir; nothing was written"}
	}
	for name, b := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}
