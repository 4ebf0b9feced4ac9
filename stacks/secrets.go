package stacks

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/scale-levels/scale/stacks/engine"
)

// secretsVersion is the pin that counts how often a service's secrets have changed:
// it stands in the topology for their values.
func secretsVersion(service string) string { return "secrets-version:" + service }

// takeSecrets fills in the application's own secrets.
func (e *Environment) takeSecrets() error {
	if err := e.Unlock(); err != nil {
		return err
	}
	for _, s := range e.app.Runs() {
		changed, err := e.target.Secrets(s.Name, s.Secrets, e.pins)
		if err != nil {
			return err
		}
		if k := secretsVersion(s.Name); changed {
			n, _ := strconv.Atoi(e.pins[k]) // the first change finds none
			e.pins[k] = strconv.Itoa(n + 1)
		}
	}
	return nil
}

// Passphrase is where the passphrase of the secrets comes from; with neither
// set, from a file of the environment, made with it.
type Passphrase struct {
	Value, File string
	// Vault, when not nil, keeps the secrets instead, and there is no passphrase.
	Vault engine.Vault
}

// passphraseFile is on this machine, wherever the rest is.
func (e *Environment) passphraseFile() string {
	return filepath.Join(e.home.dir(e.app.Name, e.app.Env), "passphrase")
}

// unlock opens the secrets of a record that exists.
func (e *Environment) unlock(pass Passphrase) error {
	if sealed := !engine.ByPassphrase(e.record.Salt); sealed != (pass.Vault != nil) {
		if sealed {
			return &Error{What: "the secrets of " + e.Name() + " are sealed by a key, and scale.yaml names none", Hint: "put 'secrets_key: awskms://…' back under the environment"}
		}
		return &Error{What: "the secrets of " + e.Name() + " are under a passphrase, and scale.yaml names a key", Hint: "take 'secrets_key' out: an environment keeps what it was made with"}
	}
	if pass.Vault != nil {
		e.secrets, e.from = engine.NewVaultSecrets(pass.Vault, e.record.Salt), pass.Vault.URL()
		e.hold(e.record)
		return nil
	}
	phrase, from, err := e.phrase(pass)
	if errors.Is(err, os.ErrNotExist) {
		return &Error{What: fmt.Sprintf("the passphrase of %s/%s is needed: neither SCALE_PASSPHRASE nor its file is there", e.app.Name, e.app.Env),
			Hint: "set SCALE_PASSPHRASE, or put the passphrase into " + e.passphraseFile()}
	}
	if err != nil {
		return err
	}
	e.secrets, e.from = engine.NewSecrets(phrase, e.record.Salt), from
	e.hold(e.record)
	return nil
}

// hold takes a record up with its plain pins.
func (e *Environment) hold(r *Record) {
	e.record, e.pins, e.locked = r, maps.Clone(r.Pins), true
	if e.pins == nil {
		e.pins = map[string]string{}
	}
}

// Warm derives the key in the background: whoever is going to plan needs it soon.
func (e *Environment) Warm() { e.secrets.Warm() }

// Unlock decrypts the secret pins. Deriving the key takes about 150 ms, so only
// what uses a secret asks for it.
func (e *Environment) Unlock() error {
	if !e.locked {
		return nil
	}
	for k, c := range e.record.Secrets {
		v, err := e.secrets.Decrypt(c)
		if errors.Is(err, engine.ErrPassphrase) {
			return &Error{What: fmt.Sprintf("the passphrase from %s is not the one that %s/%s was made with", e.from, e.app.Name, e.app.Env), Err: err,
				Hint: "set SCALE_PASSPHRASE to that one; without it the secrets in the state cannot be read"}
		}
		if err != nil {
			return err
		}
		e.pins[k] = v
	}
	e.locked = false
	return nil
}

func (e *Environment) phrase(pass Passphrase) (phrase, from string, err error) {
	switch {
	case pass.Value != "":
		return pass.Value, "SCALE_PASSPHRASE", nil
	case pass.File != "":
		from = pass.File
	default:
		from = e.passphraseFile()
	}
	b, err := os.ReadFile(from)
	if err == nil && strings.TrimSpace(string(b)) == "" {
		err = &Error{What: from + " is empty", Hint: "put the passphrase into it, or set SCALE_PASSPHRASE"}
	}
	return strings.TrimSpace(string(b)), from, err
}

// begin makes the secrets of an environment that has no record yet. A passphrase
// that was made up is written with the record, not before.
func (e *Environment) begin(pass Passphrase) error {
	if pass.Vault != nil {
		e.secrets = engine.NewVaultSecrets(pass.Vault, "")
		return e.secrets.Verify() // a key that may not be used is told before anything else
	}
	phrase, _, err := e.phrase(pass)
	if errors.Is(err, os.ErrNotExist) && pass.File == "" && e.shared() {
		return &Error{What: fmt.Sprintf("the passphrase of %s/%s must be chosen: its state is shared, and one made up here would be on this machine only", e.app.Name, e.app.Env),
			Hint: "set SCALE_PASSPHRASE, or put the passphrase into " + e.passphraseFile() + "; whoever changes the environment needs the same"}
	}
	if errors.Is(err, os.ErrNotExist) && pass.File == "" {
		var b [24]byte
		if _, err := rand.Read(b[:]); err != nil {
			return err
		}
		phrase, err = hex.EncodeToString(b[:]), nil
		e.record.made = phrase
	} else if err != nil {
		return &Error{What: "the passphrase cannot be read", Err: err, Hint: "set SCALE_PASSPHRASE or SCALE_PASSPHRASE_FILE"}
	}
	e.secrets = engine.NewSecrets(phrase, "")
	return nil
}
