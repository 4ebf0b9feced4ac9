// Package templates holds the files that scale writes or serves, and their
// typed rendering. It knows nothing of where they go.
package templates

import (
	"embed"
	"strings"
	"text/template"
)

//go:embed *.tmpl *.html
var files embed.FS

// MaintenancePage is what an entry answers with when the project has no page of its own.
func MaintenancePage() (string, error) {
	b, err := files.ReadFile("maintenance.html")
	return string(b), err
}

// ScaleYAML is what 'scale init' asks about.
type ScaleYAML struct {
	Name     string
	Service  string
	Command  string
	Migrate  string
	Health   string
	Routes   []string
	Static   string // directory; empty: none
	Route    string // of the static files
	Database bool
	Region   string
}

// Render writes the file that the answers describe.
func (s ScaleYAML) Render() (string, error) {
	t, err := template.New("scale.yaml.tmpl").Funcs(template.FuncMap{"join": strings.Join}).ParseFS(files, "scale.yaml.tmpl")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, s)
	return b.String(), err
}
