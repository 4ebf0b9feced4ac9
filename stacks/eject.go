package stacks

import (
	"fmt"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
)

// ejecter is a target whose environments a plain Pulumi project can go on with.
type ejecter interface {
	Eject(dir string, t topology.Topology, pins map[string]string, x engine.Export, passphrase string) error
}

// Eject writes what stands as a plain Pulumi project.
func (e *Environment) Eject(dir string) error {
	t, ok := e.target.(ejecter)
	switch {
	case !ok:
		return &Error{What: fmt.Sprintf("%s is for the target %s, whose parts no Pulumi plugin knows", e.Name(), e.target.Name()), Hint: "what stands on aws can be ejected; '--rehearse' tries it"}
	case !e.Exists(), e.record.Walk != nil:
		return &Error{What: e.Name() + " does not stand, or an unfinished walk is in the way", Hint: "'scale up' makes it stand"}
	}
	state, err := e.stack.Raw()
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	x := engine.Export{State: state, Salt: e.record.Salt, Secrets: e.record.Secrets}
	where := "SCALE_PASSPHRASE, or the file " + e.passphraseFile()
	if !engine.ByPassphrase(x.Salt) {
		x.Sealed, where = e.from, "none: the key "+e.from+" opens them"
	}
	return t.Eject(dir, e.record.Topology, e.record.Pins, x, where)
}
