package stacks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/scale-levels/scale/internal/fault"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
)

// Record is what is known of an environment beside the engine's state: facts,
// where scale.yaml is intent.
type Record struct {
	Version int    `json:"version"`
	App     string `json:"app"`
	Env     string `json:"env"`
	Target  string `json:"target"`
	Dir     string `json:"dir,omitempty"` // where the project's scale.yaml is; empty: the built-in example
	Salt    string `json:"salt"`
	// Made is when the environment was.
	Made time.Time `json:"made"`
	// Topology is what stands as of the last step that was finished.
	Topology topology.Topology `json:"topology"`
	// Pins are facts that were chosen once; those that are secret are encrypted.
	Pins    map[string]string `json:"pins"`
	Secrets map[string]string `json:"secrets"`
	Walk    *WalkState        `json:"walk,omitempty"`
	History []Entry           `json:"history"` // the newest last

	was  []byte // as it was read or written last
	made string // a passphrase that was made up and is not written yet
}

// WalkState is a walk that has begun and not ended.
type WalkState struct {
	Verb    string            `json:"verb"` // up, down
	To      int               `json:"to"`   // level
	Step    string            `json:"step"`
	At      int               `json:"at"` // of Of, from 1
	Of      int               `json:"of"`
	Began   time.Time         `json:"began"`
	By      string            `json:"by"` // host and pid
	Failed  string            `json:"failed,omitempty"`
	Doing   string            `json:"doing,omitempty"` // what is done that no resource says, noted before it is
	Pending topology.Topology `json:"pending"`         // what the step that had begun was to reach
	// Start is the last topology that stood whole: what a failure walks back to.
	Start topology.Topology `json:"start"`
}

// Entry is one line of the history.
type Entry struct {
	Time    time.Time     `json:"time"`
	Verb    string        `json:"verb"`
	From    int           `json:"from"`
	To      int           `json:"to"`
	Result  string        `json:"result"` // done, failed, cancelled
	Changes string        `json:"changes"`
	Took    time.Duration `json:"took"`
	By      string        `json:"by"`
	Error   string        `json:"error,omitempty"`
}

// maxHistory is how many entries a record keeps.
const maxHistory = 200

const recordVersion = 1

// secretPin is how the key of a pin starts whose value is kept encrypted.
const secretPin = "secret:"

// readRecord returns nil when there is none.
func readRecord(files engine.Files, file string) (*Record, error) {
	b, err := files.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if fit := (*Error)(nil); errors.As(err, &fit) {
		return nil, err
	}
	if err != nil {
		return nil, &Error{What: "the record cannot be read", Err: err, Hint: "set SCALE_HOME to a directory that you can read and write"}
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, &engine.DamagedError{File: files.Place(file), Why: err, Hint: "restore it from a backup; " + files.Place(file) + ".bak is the one before the last change"}
	}
	if r.Version > recordVersion {
		return nil, &engine.DamagedError{File: files.Place(file), Why: fmt.Errorf("it has version %d and this scale knows %d", r.Version, recordVersion), Hint: "use the newer scale that wrote it"}
	}
	r.was = b
	return &r, nil
}

// write replaces the record durably.
func (r *Record) write(files engine.Files, file string, s *engine.Secrets, pins map[string]string) error {
	r.Pins = map[string]string{}
	old := r.Secrets
	r.Secrets = map[string]string{}
	for k, v := range pins {
		if !strings.HasPrefix(k, secretPin) {
			r.Pins[k] = v
			continue
		}
		// A ciphertext is kept while its value is: encrypting again would change it.
		if c, ok := old[k]; ok {
			if was, err := s.Decrypt(c); err == nil && was == v {
				r.Secrets[k] = c
				continue
			}
		}
		c, err := s.Encrypt(v)
		if err != nil {
			return fmt.Errorf("encrypt the record: %w", err)
		}
		r.Secrets[k] = c
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if r.was != nil {
		if err := files.Write(file+".bak", r.was); err != nil {
			return fmt.Errorf("write the record: %w", err)
		}
	}
	b = append(b, '\n')
	if err := files.Write(file, b); err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	r.was = b
	fault.Point(fault.Record)
	return nil
}

// switching reports whether an unfinished step was to send the writes to tables elsewhere.
func (r *Record) switching() bool {
	return r.Walk != nil && r.Walk.Pending.Switching() && !r.Topology.Switching()
}

// now is what a walk starts from: what was recorded, and the data that an
// unfinished step may have made. Whatever else that step made is in the engine's
// state, and goes or stays as the wanted topology says.
func (r *Record) now() topology.Topology {
	return r.with(topology.Node.HoldsData)
}

// standing is what may be there, for a person to see: all of an unfinished step.
func (r *Record) standing() topology.Topology {
	return r.with(func(topology.Node) bool { return true })
}

// with is what was recorded and the chosen nodes of an unfinished step, without their links.
func (r *Record) with(also func(topology.Node) bool) topology.Topology {
	t := r.Topology.Clone()
	if r.Walk == nil {
		return t
	}
	if r.switching() {
		return r.Walk.Pending.Clone() // writes may go elsewhere by now
	}
	if len(t.Regions) == 0 {
		t.App, t.Env, t.Regions = r.Walk.Pending.App, r.Walk.Pending.Env, r.Walk.Pending.Regions
	}
	t.Generations = r.Walk.Pending.Clone().Generations // a walk only ever adds to them
	for _, n := range r.Walk.Pending.Clone().Nodes {
		// A replica that was to lead may do so: to make it follow again would be to lose
		// what has been written to it.
		if was, ok := t.Node(n.ID); !ok && also(n) || ok && was.Replica() && n.HoldsData() {
			t.Put(n, nil)
		}
	}
	return t
}

// found tells what an unfinished walk means for the next one.
func (w *WalkState) found() string {
	what := fmt.Sprintf("an earlier 'scale %s' to level %d by %s ended in step %d of %d (%s)", w.Verb, w.To, w.By, w.At, w.Of, w.Step)
	if w.Failed != "" {
		return what + " with a failure; this one goes on from there"
	}
	return what + " without finishing it; this one goes on from there"
}

func (r *Record) add(e Entry) {
	r.History = append(r.History, e)
	if n := len(r.History); n > maxHistory {
		r.History = r.History[n-maxHistory:]
	}
}

// digest names what a plan depends on, which the history is not.
func (r *Record) digest() string {
	return plan.Digest(struct {
		T topology.Topology
		P map[string]string
		W *WalkState
	}{r.Topology, r.Pins, r.Walk})
}
