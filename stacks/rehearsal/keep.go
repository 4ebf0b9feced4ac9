package rehearsal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/stacks/engine"
)

// entry is one line of the file that a cloud is kept in: what stands from then on,
// or does not any more.
type entry struct {
	Type, Name, ID, In  string
	Gone                bool
	Inputs, Out, Config map[string]any
}

// Keep makes what stands outlive the process, in a file to which every change adds
// a line. A line that a killed process left half written is nothing that happened.
func (c *Cloud) Keep(file string) error {
	c.file = file
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		c.whole += int64(len(line))
		if e.Gone {
			if _, err := c.gone(e.Type, e.ID); err != nil {
				return err
			}
			continue
		}
		r := engine.Request{Type: e.Type, Name: e.Name, Inputs: resource.NewPropertyMapFromMap(e.Inputs), Config: resource.NewPropertyMapFromMap(e.Config)}
		t := c.thing(r, e.ID, resource.NewPropertyMapFromMap(e.Out))
		t.In = e.In
		c.world.put(t)
	}
	return nil
}

// open opens the file for the first change, without the half line at its end.
func (c *Cloud) open() (err error) {
	if err := os.MkdirAll(filepath.Dir(c.file), 0o700); err != nil {
		return err
	}
	if c.log, err = os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return err
	}
	return c.log.Truncate(c.whole)
}

// Forget removes the file.
func (c *Cloud) Forget() error {
	if c.log != nil {
		_ = c.log.Close() // what was written is given up
		c.log = nil
	}
	if err := os.Remove(c.file); c.file != "" && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (c *Cloud) write(e entry) error {
	if c.file == "" {
		return nil
	}
	if c.log == nil {
		if err := c.open(); err != nil {
			return err
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = c.log.Write(append(b, '\n'))
	return err
}

func (c *Cloud) thing(r engine.Request, id string, out resource.PropertyMap) *Thing {
	t := &Thing{Type: r.Type, Name: r.Name, ID: id, Inputs: r.Inputs, Out: out, Config: r.Config}
	if c.Model != nil {
		t.unique = c.Model.Unique(r)
	}
	return t
}

func (c *Cloud) stands(t *Thing) (entry, error) {
	c.world.put(t)
	return entry{Type: t.Type, Name: t.Name, ID: t.ID, In: t.In, Inputs: t.Inputs.Mappable(), Out: t.Out.Mappable(), Config: t.Config.Mappable()}, nil
}

func (c *Cloud) gone(typ, id string) (entry, error) {
	c.world.remove(typ, id)
	for _, t := range c.world.things {
		if t.In == id {
			c.world.remove(t.Type, t.ID)
		}
	}
	return entry{Type: typ, ID: id, Gone: true}, nil
}
