package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

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
// command reads, beside it during an update the journal. With an empty file
// name both are kept in memory only, which is what a rehearsal works on.
//
// Invariant: digest is the digest of the file's content that base was read
// from, with the entries of a left-behind journal applied.
type checkpoint struct {
	file   string
	name   tokens.QName
	adopts func(typ tokens.Type) bool // the type's provider finds a resource by its name
	unsure bool                       // a creation that failed may have happened
	digest string
	base   *apitype.DeploymentV3

	// written counts bytes, for the benchmarks.
	written struct{ journal, checkpoint int64 }
}

// recovered is what load found of an earlier run.
type recovery struct {
	entries int      // journal entries that had not been folded
	pending []string // names of resources whose creation was in flight
}

func (c *checkpoint) journalFile() string { return c.file + ".journal" }

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
	if c.file == "" {
		return found, nil
	}
	b, err := os.ReadFile(c.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return found, fmt.Errorf("read the state: %w", err)
	}
	c.base = nil
	if b != nil {
		if c.base, err = decodeCheckpoint(b); err != nil {
			return found, &DamagedError{c.file, err, "restore " + c.file + " from a backup (" + filepath.Base(c.file) + ".bak is the one before the last change)"}
		}
	}
	c.digest = digest(b)
	j, err := readJournal(c.journalFile())
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
		return found, &DamagedError{c.journalFile(), errors.New("it belongs to another version of " + filepath.Base(c.file)),
			"something else wrote the state while a run was under way; look at both, then move the journal away"}
	}
	if write {
		if err := remove(c.journalFile()); err != nil {
			return found, err
		}
	}
	return found, nil
}

func (c *checkpoint) replay(entries []apitype.JournalEntry, write bool) (found recovery, err error) {
	if len(entries) == 0 {
		return found, nil
	}
	d, b, pending, err := c.fold(entries)
	if err != nil {
		return found, &DamagedError{c.journalFile(), err, "the journal is kept; restore the state from a backup, or report this"}
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

// commit notes the digest of b in the journal, then replaces the checkpoint by b:
// temporary file, sync, rename, sync the directory, remove the journal. The note
// tells a later run that what it finds is this fold and not somebody else's write.
func (c *checkpoint) commit(b []byte) error {
	if err := appendLine(c.journalFile(), line{Folded: digest(b)}); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	fault.Point(fault.BeforeRename)
	if old, err := os.ReadFile(c.file); err == nil {
		if err := os.WriteFile(c.file+".bak", old, 0o600); err != nil {
			return fmt.Errorf("keep the state before the change: %w", err)
		}
	}
	if err := WriteFile(c.file, b); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	c.written.checkpoint += int64(len(b))
	fault.Point(fault.AfterRename)
	return remove(c.journalFile())
}

func (c *checkpoint) encode(d apitype.TypedDeployment) ([]byte, error) {
	cp, err := stack.DeploymentV3ToCheckpoint(c.name, d.Deployment, d.Version, d.Features)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(cp, "", "    ")
}

// WriteFile replaces a file so that a crash leaves the old or the new content:
// temporary file, sync, rename, sync the directory. Mode 0600.
func WriteFile(name string, b []byte) (err error) {
	tmp := name + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp)
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrInvalid) {
		return err
	}
	return nil
}

func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
