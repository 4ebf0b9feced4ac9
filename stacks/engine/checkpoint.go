package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/pulumi/pulumi/pkg/v3/resource/stack"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/encoding"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"

	"github.com/scale-levels/scale/internal/fault"
)

// DamagedError says that a file of the state cannot be read, and what to do about it.
type DamagedError struct {
	File string
	Why  error
	Hint string
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.File, e.Why) }
func (e *DamagedError) Unwrap() error { return e.Why }

// checkpoint is the state of one stack: a file in the layout that the pulumi
// command reads, beside it during an update the journal. Without files
// both are kept in memory only, which is what a rehearsal works on.
//
// Invariant: digest is the digest of the file's content that base was read
// from, with the entries of a left-behind journal applied.
type checkpoint struct {
	files  Files // nil: in memory
	file   string
	log    Log // the journal; nil: in memory
	name   tokens.QName
	adopts func(typ tokens.Type) bool // the type's provider finds a resource by its name
	unsure bool                       // a creation that failed may have happened
	digest string
	raw    []byte // as it was read or written last
	base   *apitype.DeploymentV3

	// written counts bytes, for the benchmarks.
	written struct{ journal, checkpoint int64 }
}

// recovered is what load found of an earlier run.
type recovery struct {
	entries int      // journal entries that had not been folded
	pending []string // names of resources whose creation was in flight
}

func (c *checkpoint) kept() bool { return c.files != nil }

func (c *checkpoint) journalFile() string { return c.file + ".journal" }

// backup is what lies beside a file: its content before the last change.
func backup(file string) string { return file + ".bak" }

func digest(b []byte) string {
	if b == nil {
		return "none"
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// load reads the checkpoint and applies a journal that a crash left. With write
// (the caller holds the lock) the result is made durable and the journal
// removed; without, it happens in memory only.
func (c *checkpoint) load(write bool) (found recovery, err error) {
	if !c.kept() {
		return found, nil
	}
	b, err := c.files.Read(c.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, fmt.Errorf("read the state: %w", err)
	}
	c.base, c.raw = nil, b
	if b != nil {
		if c.base, err = decodeCheckpoint(b); err != nil {
			return found, &DamagedError{c.place(), err, "restore " + c.place() + " from a backup (" + path.Base(backup(c.file)) + " is the one before the last change)"}
		}
	}
	c.digest = digest(b)
	j, err := readJournal(c.log, c.files.Place(c.journalFile()))
	if err != nil {
		return found, err
	}
	switch {
	case j.base == "": // none, or only a torn first line: nothing had begun
	case j.base == c.digest:
		if found, err = c.replay(j.entries, write); err != nil {
			return found, err
		}
	case j.folded == c.digest: // the crash came after the rename: already in the checkpoint
	default:
		return found, &DamagedError{c.files.Place(c.journalFile()), errors.New("it belongs to another version of " + path.Base(c.file)),
			"something else wrote the state while a run was under way; look at both, then move the journal away"}
	}
	if write {
		if err := c.log.Remove(); err != nil {
			return found, err
		}
	}
	return found, nil
}

// place is the checkpoint's name for people.
func (c *checkpoint) place() string {
	if !c.kept() {
		return "the state"
	}
	return c.files.Place(c.file)
}

func (c *checkpoint) replay(entries []apitype.JournalEntry, write bool) (found recovery, err error) {
	if len(entries) == 0 {
		return found, nil
	}
	d, b, pending, err := c.fold(entries)
	if err != nil {
		return found, &DamagedError{c.files.Place(c.journalFile()), err, "the journal is kept; restore the state from a backup, or report this"}
	}
	if write {
		if err := c.commit(b); err != nil {
			return found, err
		}
	}
	c.base, c.digest = d, digest(b)
	return recovery{len(entries), pending}, nil
}

func decodeCheckpoint(b []byte) (*apitype.DeploymentV3, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	cp, _, _, err := stack.UnmarshalVersionedCheckpointToLatestCheckpoint(encoding.JSON, b)
	if err != nil {
		return nil, err
	}
	return cp.Latest, nil
}

// commit notes the digest of b in the journal, then replaces the checkpoint by b and
// removes the journal. The note tells a later run that what it finds is this fold and
// not somebody else's write.
func (c *checkpoint) commit(b []byte) error {
	note, err := json.Marshal(line{Folded: digest(b)})
	if err != nil {
		return err
	}
	if err := c.log.Append(append(note, '\n')); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	fault.Point(fault.BeforeRename)
	if c.raw != nil {
		if err := c.files.Write(backup(c.file), c.raw); err != nil {
			return fmt.Errorf("keep the state before the change: %w", err)
		}
	}
	if err := c.files.Write(c.file, b); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	c.raw = b
	c.written.checkpoint += int64(len(b))
	fault.Point(fault.AfterRename)
	return c.log.Remove()
}

func (c *checkpoint) encode(d apitype.TypedDeployment) ([]byte, error) {
	cp, err := stack.DeploymentV3ToCheckpoint(c.name, d.Deployment, d.Version, d.Features)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(cp, "", "    ")
}
