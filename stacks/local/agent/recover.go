//go:build unix

package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// recover takes up what an agent before this one kept. When any of it still
// runs, that agent died alone: everything is brought back. When nothing does,
// the machine has started anew, and things are left to the next 'up'.
func (a *Agent) recover(handedOver bool) error {
	kept, err := a.kept()
	if err != nil {
		return err
	}
	running := map[string]ident{}
	for name, s := range kept {
		if s.Process == nil {
			continue
		}
		id, err := readIdent(a.dirs.ident(name))
		if err != nil {
			return err
		}
		if !id.alive() {
			id = a.orphan(*s.Process)
		}
		if id.alive() {
			running[name] = id
		}
	}
	for _, f := range leftTwins(a.dirs) {
		sweep(context.Background(), a.dirs, f, time.Second)
		_ = os.Remove(a.dirs.ident(f))
	}
	a.adopted = len(running)
	if len(running) == 0 && !handedOver {
		return nil
	}
	var edges []Edge
	for name, s := range kept {
		switch {
		case s.Edge != nil:
			a.specs[name] = *s.Edge
			edges = append(edges, *s.Edge)
		case s.Process.Once && running[name].PID == 0:
			// an interrupted one is asked for again by the next 'up'
		default:
			a.procs[name] = supervise(a.dirs, *s.Process, running[name], true)
		}
	}
	// The edges open once what is behind them is known to be healthy, and all at
	// once: a server that is added later would reload the others.
	a.settle(running)
	if err := a.edges.put(edges...); err != nil {
		return fmt.Errorf("open the edges again: %w", err)
	}
	if err := a.renewTokens(time.Now()); err != nil {
		return err
	}
	a.log.Info("recovered", "adopted", len(running), "kept", len(kept))
	return nil
}

// leftTwins are the names of twins that an agent left behind when it died.
func leftTwins(d Dirs) []string {
	files, err := filepath.Glob(d.ident("*-" + twin))
	if err != nil {
		return nil
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".pid")
	}
	return files
}

// settle waits a moment for adopted processes to be seen healthy.
func (a *Agent) settle(adopted map[string]ident) {
	patience := time.After(2 * time.Second)
	for name := range adopted {
		if s := a.proc(name); s != nil {
			select {
			case <-s.ready:
			case <-patience:
				return
			}
		}
	}
}

// orphan looks for a process that was started and whose file was not written.
func (a *Agent) orphan(p Process) ident {
	var oldest ident
	for _, i := range marked(a.dirs.marker(p.Name)) {
		if oldest.PID == 0 || i.Start < oldest.Start {
			oldest = i
		}
	}
	return oldest
}

func (a *Agent) kept() (map[string]sealed, error) {
	files, err := filepath.Glob(filepath.Join(a.dirs.specs(), "*"))
	if err != nil {
		return nil, err
	}
	kept := map[string]sealed{}
	for _, f := range files {
		if strings.HasSuffix(f, ".tmp") {
			continue
		}
		s, err := a.key.read(f)
		if err != nil {
			return nil, err
		}
		kept[filepath.Base(f)] = s
	}
	return kept, nil
}
