package aws

import (
	"context"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/scale-levels/scale/stacks/engine"
)

// sealer is an engine.Vault: a key of AWS KMS.
type sealer struct {
	address, profile string
	id, region       string
}

// SealedBy is the vault of a key's URL, as the pulumi command writes it:
// awskms://alias/name?region=eu-west-1, or a key's id in the place of its alias. Nothing
// is asked yet.
func SealedBy(address, profile string) (engine.Vault, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "awskms" || u.Host == "" || u.Query().Get("region") == "" {
		return nil, &Error{What: "secrets_key: " + address + " is no key", Hint: "write awskms://alias/name?region=eu-west-1"}
	}
	return &sealer{address: address, profile: profile, id: strings.TrimSuffix(u.Host+u.Path, "/"), region: u.Query().Get("region")}, nil
}

// URL implements engine.Vault.
func (s *sealer) URL() string { return s.address }

func (s *sealer) client(ctx context.Context) (*kms.Client, error) {
	c, err := (&account{profile: s.profile}).load(ctx, s.region)
	if err != nil {
		return nil, err
	}
	return kms.NewFromConfig(c), nil
}

// Seal implements engine.Vault.
func (s *sealer) Seal(key []byte) ([]byte, error) {
	ctx := context.Background()
	c, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	out, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: &s.id, Plaintext: key})
	if err != nil {
		return nil, explain(err, "kms:Encrypt with "+s.address)
	}
	return out.CiphertextBlob, nil
}

// Open implements engine.Vault.
func (s *sealer) Open(sealed []byte) ([]byte, error) {
	ctx := context.Background()
	c, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	out, err := c.Decrypt(ctx, &kms.DecryptInput{KeyId: &s.id, CiphertextBlob: sealed})
	if err != nil {
		return nil, explain(err, "kms:Decrypt with "+s.address)
	}
	return out.Plaintext, nil
}
