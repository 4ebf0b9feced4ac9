package stacks

import (
	"path/filepath"
)

// Home is where environments are kept on this machine.
type Home string

// dir is the directory of one environment.
func (h Home) dir(app, env string) string {
	return filepath.Join(string(h), "environments", app, env)
}

// Root is where a target keeps what belongs to one environment.
func (h Home) Root(app, env string) string { return filepath.Join(h.dir(app, env), "local") }

// Rehearsal is where rehearsed environments are kept, apart from real ones.
func (h Home) Rehearsal() Home { return Home(filepath.Join(string(h), "rehearsal")) }

// Account is the file that keeps what stands in a rehearsed account.
func (h Home) Account(app, env string) string { return filepath.Join(h.dir(app, env), "account") }

// Environments lists what is kept, as app and environment.
func (h Home) Environments() ([][2]string, error) {
	files, err := filepath.Glob(filepath.Join(h.dir("*", "*"), "record.json"))
	if err != nil {
		return nil, err
	}
	var all [][2]string
	for _, f := range files {
		env := filepath.Dir(f)
		all = append(all, [2]string{filepath.Base(filepath.Dir(env)), filepath.Base(env)})
	}
	return all, nil
}
