package engine

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/pkg/v3/secrets"
	"github.com/pulumi/pulumi/pkg/v3/secrets/passphrase"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
)

// ErrPassphrase means that the passphrase does not open this state.
var ErrPassphrase = errors.New("wrong passphrase")

// Secrets encrypts and decrypts with a key derived from a passphrase (AES-256-GCM,
// PBKDF2, the format of the pulumi command). Deriving it takes about 150 ms, so it
// happens when the first value needs it, or early in the background after Warm.
type Secrets struct {
	salt  string // "" for new secrets, whose salt is made with the key
	key   func() (saltedKey, error)
	vault Vault // nil: by a passphrase
}

// Vault seals the key of secrets with one that it never gives out, such as one of a
// cloud's key management.
type Vault interface {
	// URL names the sealing key, as the pulumi command does: awskms://alias/name.
	URL() string
	Seal(key []byte) (sealed []byte, err error)
	Open(sealed []byte) (key []byte, err error)
}

// NewVaultSecrets opens the secrets whose sealed key a salt is, in base64; an empty salt
// makes a new key.
func NewVaultSecrets(v Vault, salt string) *Secrets {
	return &Secrets{salt: salt, vault: v, key: sync.OnceValues(func() (saltedKey, error) {
		if salt != "" {
			sealed, err := base64.StdEncoding.DecodeString(salt)
			if err != nil {
				return saltedKey{}, fmt.Errorf("read the sealed key: %w", err)
			}
			key, err := v.Open(sealed)
			if err != nil {
				return saltedKey{}, err
			}
			return saltedKey{config.NewSymmetricCrypter(key), salt}, nil
		}
		key := make([]byte, config.SymmetricCrypterKeyBytes)
		if _, err := rand.Read(key); err != nil {
			return saltedKey{}, err
		}
		sealed, err := v.Seal(key)
		return saltedKey{config.NewSymmetricCrypter(key), base64.StdEncoding.EncodeToString(sealed)}, err
	})}
}

// ByPassphrase reports whether a salt is that of a passphrase rather than a sealed key.
func ByPassphrase(salt string) bool { return strings.HasPrefix(salt, "v1:") }

type saltedKey struct {
	config.Crypter
	salt string
}

// NewSecrets opens the secrets of a salt; an empty salt makes a new one.
func NewSecrets(phrase, salt string) *Secrets {
	return &Secrets{salt: salt, key: sync.OnceValues(func() (saltedKey, error) {
		if salt != "" {
			c, err := derive(phrase, salt)
			return saltedKey{c, salt}, err
		}
		made, c, err := newSalt(phrase)
		return saltedKey{c, made}, err
	})}
}

// newSalt makes a salt in the pulumi command's form, "v1:salt:check", and its key.
func newSalt(phrase string) (string, config.Crypter, error) {
	raw := make([]byte, 8)
	if _, err := rand.Read(raw); err != nil {
		return "", nil, err
	}
	c := config.NewSymmetricCrypterFromPassphrase(phrase, raw)
	check, err := c.EncryptValue(context.Background(), checkValue)
	return "v1:" + base64.StdEncoding.EncodeToString(raw) + ":" + check, c, err
}

// checkValue is what a salt carries encrypted, to tell a wrong passphrase.
const checkValue = "pulumi"

// derive makes the key of a salt and tries it on the value that the salt carries.
// The passphrase package does the same behind a cache that ignores the passphrase.
func derive(phrase, salt string) (config.Crypter, error) {
	parts := strings.SplitN(salt, ":", 3)
	if len(parts) != 3 || parts[0] != "v1" {
		return nil, fmt.Errorf("the salt %q is not of the form v1:salt:check", salt)
	}
	raw, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("read the salt: %w", err)
	}
	c := config.NewSymmetricCrypterFromPassphrase(phrase, raw)
	if check, err := c.DecryptValue(context.Background(), parts[2]); err != nil || check != checkValue {
		return nil, ErrPassphrase
	}
	return c, nil
}

// Salt is what opens the same secrets again, together with the passphrase. It is
// no secret. That of new secrets is made with their key; it is empty if that fails.
func (s *Secrets) Salt() string {
	if s.salt != "" {
		return s.salt
	}
	k, _ := s.key() // whoever encrypts next is told of an error
	return k.salt
}

// Warm starts the derivation of the key in the background.
func (s *Secrets) Warm() { go func() { _, _ = s.key() }() }

// Verify reports ErrPassphrase when the passphrase is not the one of the salt.
func (s *Secrets) Verify() error { _, err := s.key(); return err }

// Encrypt is the ciphertext of v.
func (s *Secrets) Encrypt(v string) (string, error) {
	return s.EncryptValue(context.Background(), v)
}

// Decrypt is the plaintext of v.
func (s *Secrets) Decrypt(v string) (string, error) {
	return s.DecryptValue(context.Background(), v)
}

// Secrets is a secrets.Manager and both of its crypters.
var (
	_ secrets.Manager = (*Secrets)(nil)
	_ config.Crypter  = (*Secrets)(nil)
)

// sealed is the type of the pulumi command's managers of sealed keys.
const sealed = "cloud"

// Type is that of the pulumi command's manager of the same form.
func (s *Secrets) Type() string {
	if s.vault != nil {
		return sealed
	}
	return passphrase.Type
}

// State is what the checkpoint keeps: the salt, or the sealed key and by what.
func (s *Secrets) State() json.RawMessage {
	if s.vault != nil {
		b, _ := json.Marshal(map[string]string{"url": s.vault.URL(), "encryptedkey": s.Salt()}) // a map of strings has JSON
		return b
	}
	b, _ := json.Marshal(map[string]string{"salt": s.Salt()}) // a map of strings has JSON
	return b
}

// Encrypter is s.
func (s *Secrets) Encrypter() config.Encrypter { return s }

// Decrypter is s.
func (s *Secrets) Decrypter() config.Decrypter { return s }

// EncryptValue implements config.Encrypter.
func (s *Secrets) EncryptValue(ctx context.Context, v string) (string, error) {
	m, err := s.key()
	if err != nil {
		return "", err
	}
	return m.EncryptValue(ctx, v)
}

// DecryptValue implements config.Decrypter.
func (s *Secrets) DecryptValue(ctx context.Context, v string) (string, error) {
	m, err := s.key()
	if err != nil {
		return "", err
	}
	return m.DecryptValue(ctx, v)
}

// BatchEncrypt implements config.Encrypter; an empty batch derives no key.
func (s *Secrets) BatchEncrypt(ctx context.Context, vs []string) ([]string, error) {
	if len(vs) == 0 {
		return nil, nil
	}
	m, err := s.key()
	if err != nil {
		return nil, err
	}
	return m.BatchEncrypt(ctx, vs)
}

// BatchDecrypt implements config.Decrypter; an empty batch derives no key.
func (s *Secrets) BatchDecrypt(ctx context.Context, vs []string) ([]string, error) {
	if len(vs) == 0 {
		return nil, nil
	}
	m, err := s.key()
	if err != nil {
		return nil, err
	}
	return m.BatchDecrypt(ctx, vs)
}

// provider opens the manager that a checkpoint names.
type secretsProvider struct{ s *Secrets }

func (p secretsProvider) OfType(_ context.Context, ty string, state json.RawMessage) (secrets.Manager, error) {
	if ty != p.s.Type() {
		return nil, fmt.Errorf("the state's secrets are kept by %q, and the environment's by %q", ty, p.s.Type())
	}
	var v struct {
		Salt   string `json:"salt"`
		Sealed string `json:"encryptedkey"`
	}
	if err := json.Unmarshal(state, &v); err != nil {
		return nil, fmt.Errorf("read the state's secrets: %w", err)
	}
	if v.Salt+v.Sealed != p.s.Salt() {
		return nil, fmt.Errorf("the state was encrypted under another salt: %w", ErrPassphrase)
	}
	return p.s, nil
}
