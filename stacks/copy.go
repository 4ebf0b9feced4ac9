package stacks

import (
	"context"

	"github.com/scale-levels/scale/stacks/engine"
)

// Copy is the environment as it stands, in another home and on another target: what is
// done to it there is not done here. standing is what the copy's state says stands.
func (e *Environment) Copy(ctx context.Context, home Home, target Target, command string) (c *Environment, standing []engine.Request, err error) {
	if !e.Exists() || e.record.Walk != nil {
		return nil, nil, &Error{What: e.Name() + " does not stand, or an unfinished walk is in the way", Hint: "'scale up' makes it stand"}
	}
	state, err := e.stack.Raw()
	if err != nil {
		return nil, nil, err
	}
	files := engine.Directory(home)
	if err := files.Write(e.recordFile(), e.record.was); err != nil {
		return nil, nil, err
	}
	pass := e.pass
	if pass.Value == "" && pass.File == "" && pass.Vault == nil {
		pass.File = e.passphraseFile()
	}
	if c, err = OpenIn(files, home, e.app, target, pass, command); err != nil {
		return nil, nil, err
	}
	if err := c.stack.Restore(state); err != nil {
		return nil, nil, err
	}
	standing, err = c.stack.Standing(ctx)
	return c, standing, err
}
