package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	pulumi "github.com/pulumi/pulumi/pkg/v3/engine"

	"github.com/pulumi/pulumi/pkg/v3/backend"
	"github.com/pulumi/pulumi/pkg/v3/resource/stack"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"

	"github.com/scale-levels/scale/internal/fault"
)

// line is one line of the journal file: exactly one field is set.
type line struct {
	Base   string                `json:"base,omitempty"`   // first: digest of the checkpoint that the entries apply to
	Entry  *apitype.JournalEntry `json:"entry,omitempty"`  //
	Folded string                `json:"folded,omitempty"` // last: digest of the checkpoint that is about to be written
}

type journalContent struct {
	base, folded string
	entries      []apitype.JournalEntry
}

// readJournal stops at a torn last line, whose writer was never answered;
// anything else that does not parse is damage.
func readJournal(log Log, place string) (c journalContent, err error) {
	text, err := log.Read()
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the journal: %w", err)
	}
	for n := 1; ; n++ {
		b, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			return c, nil
		}
		text = rest
		var l line
		if err := json.Unmarshal(b, &l); err != nil {
			return c, &DamagedError{place, fmt.Errorf("line %d: %w", n, err),
				"the checkpoint beside it is sound: move the journal away to go on from there, after looking for what its last lines made"}
		}
		switch {
		case l.Base != "":
			c.base = l.Base
		case l.Folded != "":
			c.folded = l.Folded
		case l.Entry != nil:
			c.entries = append(c.entries, *l.Entry)
		}
	}
}

// journal records each step of an update before the engine goes on: one
// appended line a step, made durable in groups, folded into the checkpoint at
// the end. It implements the engine's Journal.
type journal struct {
	c  *checkpoint
	sm *Secrets

	mu      sync.Mutex
	entries []apitype.JournalEntry
	held    []byte // lines that may wait for the next one: nothing real has happened yet
	changed bool   // an entry could not be elided: there is something to fold
	failed  error  // the first failed write; none is tried after it
	closed  bool   // an operation that was ended at once may still report in
	queue   chan waiter
	idle    chan struct{} // closed when the writer has ended
}

type waiter struct {
	lines []byte
	done  chan error
}

var _ pulumi.Journal = (*journal)(nil)

// errClosed is what an operation hears that goes on after the update was ended
// at once: that it had begun is in the journal, how it ended is found out by the
// next run.
var errClosed = errors.New("the update has ended")

func (c *checkpoint) open(sm *Secrets) *journal { return &journal{c: c, sm: sm} }

// AddJournalEntry returns when the entry is durable.
func (j *journal) AddJournalEntry(e pulumi.JournalEntry) error {
	entry, err := stack.BatchEncrypt(context.Background(), j.sm, func(ctx context.Context, enc config.Encrypter) (apitype.JournalEntry, error) {
		return backend.SerializeJournalEntry(ctx, e, enc)
	})
	if err != nil {
		return err
	}
	if !j.c.kept() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.closed {
			return errClosed
		}
		j.entries, j.changed = append(j.entries, entry), j.changed || !e.ElideWrite
		return nil
	}
	b, err := json.Marshal(line{Entry: &entry})
	if err != nil {
		return err
	}
	if err := j.add(entry, append(b, '\n'), e.ElideWrite); err != nil {
		return err
	}
	if !e.ElideWrite {
		fault.Point(fault.Journal)
	}
	return nil
}

func (j *journal) add(entry apitype.JournalEntry, b []byte, elide bool) error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return errClosed
	}
	j.entries = append(j.entries, entry)
	if elide {
		j.held = append(j.held, b...)
		j.mu.Unlock()
		return nil
	}
	if j.queue == nil {
		if err := j.create(); err != nil {
			j.mu.Unlock()
			return fmt.Errorf("start the journal: %w", err)
		}
	}
	w := waiter{append(j.held, b...), make(chan error, 1)}
	j.held, j.changed = nil, true
	j.queue <- w
	j.mu.Unlock()
	return <-w.done
}

func (j *journal) create() error {
	b, err := json.Marshal(line{Base: j.c.digest})
	if err != nil {
		return err
	}
	if err := j.append(append(b, '\n')); err != nil {
		return err
	}
	j.queue, j.idle = make(chan waiter, 256), make(chan struct{})
	go j.write()
	return nil
}

// write makes what is waiting durable with one write and one sync.
func (j *journal) write() {
	defer close(j.idle)
	for w := range j.queue {
		group, lines := []waiter{w}, w.lines
		for more := true; more; {
			select {
			case w, ok := <-j.queue:
				if more = ok; ok {
					group, lines = append(group, w), append(lines, w.lines...)
				}
			default:
				more = false
			}
		}
		err := j.append(lines)
		for _, w := range group {
			w.done <- err
		}
	}
}

// append adds lines durably; after a failure, none.
func (j *journal) append(b []byte) error {
	if j.failed != nil {
		return j.failed
	}
	if err := j.c.log.Append(b); err != nil {
		j.failed = fmt.Errorf("write the journal: %w", err)
		return j.failed
	}
	j.c.written.journal += int64(len(b))
	return nil
}

// Close folds the journal into the checkpoint. An update in which every entry
// could be elided writes nothing at all.
func (j *journal) Close() error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	defer func() { j.entries, j.held = nil, nil }() // the engine goes on holding the journal
	if j.queue != nil {
		close(j.queue)
		<-j.idle
	}
	if !j.changed {
		return nil
	}
	if j.c.kept() {
		if len(j.held) > 0 { // so that the file says all that the checkpoint will say
			if err := j.append(j.held); err != nil {
				return err
			}
		}
		if j.failed != nil {
			return errors.Join(j.failed, j.c.log.Close())
		}
	}
	fault.Point(fault.BeforeFold)
	d, b, _, err := j.c.fold(j.entries)
	if err != nil {
		return err
	}
	if j.c.kept() {
		if err := j.c.commit(b); err != nil {
			return err
		}
	}
	j.c.base, j.c.digest = d, digest(b)
	return nil
}
