//go:build unix

package agent

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Key seals what the agent keeps on disk about its components, since their
// environments hold passwords. It is handed over by the command that starts the
// agent, and lies encrypted in the environment's record.
type Key [32]byte

// NewKey makes a key.
func NewKey() (Key, error) {
	var k Key
	_, err := rand.Read(k[:])
	return k, err
}

// ParseKey reads the form that String writes.
func ParseKey(s string) (Key, error) {
	var k Key
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(k) {
		return k, errors.New("the agent's key is not 64 hexadecimal digits")
	}
	copy(k[:], b)
	return k, nil
}

func (k Key) String() string { return hex.EncodeToString(k[:]) }

func (k Key) aead() (cipher.AEAD, error) {
	b, err := aes.NewCipher(k[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(b)
}

// sealed is one component as it lies on disk: exactly one field is set.
type sealed struct {
	Process *Process `json:"process,omitempty"`
	Edge    *Edge    `json:"edge,omitempty"`
}

func (k Key) write(file string, s sealed) error {
	a, err := k.aead()
	if err != nil {
		return err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replace(file, a.Seal(nil, nil, b, []byte(filepath.Base(file))))
}

func (k Key) read(file string) (s sealed, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	a, err := k.aead()
	if err != nil {
		return s, err
	}
	plain, err := a.Open(nil, nil, b, []byte(filepath.Base(file)))
	if err != nil {
		return s, fmt.Errorf("%s was sealed with another key: %w", file, err)
	}
	return s, json.Unmarshal(plain, &s)
}

// replace writes a file so that a crash leaves the old or the new one. What the
// agent keeps is written again by the next 'up', so it need not survive a loss of power.
func replace(file string, b []byte) error {
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}
