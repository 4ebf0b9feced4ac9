package aws_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
)

// kms answers Encrypt and Decrypt as KMS does, with keys that it never gives out. It
// stands in for a service that cannot be had here: what is tried is our side of it.
func kms(t *testing.T, known ...string) string {
	t.Helper()
	sealers := map[string]cipher.AEAD{}
	for _, k := range known {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		if sealers[k], err = cipher.NewGCM(block); err != nil {
			t.Fatal(err)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			KeyId                     string
			Plaintext, CiphertextBlob []byte
		}
		refuse := func(code string) {
			w.Header().Set("X-Amzn-Errortype", code)
			w.WriteHeader(http.StatusBadRequest)
		}
		sealer := cipher.AEAD(nil)
		if err := json.NewDecoder(r.Body).Decode(&in); err == nil {
			sealer = sealers[in.KeyId]
		}
		if sealer == nil {
			refuse("NotFoundException")
			return
		}
		nonce := make([]byte, sealer.NonceSize())
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Encrypt") {
			_, _ = rand.Read(nonce)
			_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": in.KeyId, "CiphertextBlob": sealer.Seal(nonce, nonce, in.Plaintext, nil)})
			return
		}
		plain, err := sealer.Open(nil, in.CiphertextBlob[:len(nonce)], in.CiphertextBlob[len(nonce):], nil)
		if err != nil {
			refuse("InvalidCiphertextException")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": in.KeyId, "Plaintext": plain})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestSecretsSealedByAKey(t *testing.T) {
	for k, v := range map[string]string{"AWS_ENDPOINT_URL_KMS": kms(t, "alias/scale", "alias/other"), "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": ""} {
		t.Setenv(k, v)
	}
	w := &world{TB: t, cloud: aws.NewRehearsal(), home: t.TempDir(), app: app(t, 1, 1)}
	open := func(key string) (err error) {
		t.Helper()
		w.target = aws.New(aws.Config{Domain: w.app.Domain, Rehearsal: w.cloud})
		pass := stacks.Passphrase{Value: "x"}
		if key != "" {
			if pass.Vault, err = aws.SealedBy("awskms://alias/"+key+"?region=us-east-1", ""); err != nil {
				t.Fatal(err)
			}
		}
		if w.env, err = stacks.Open(stacks.Home(w.home), w.app, w.target, pass, "test"); err == nil {
			_, err = w.env.Plan(t.Context(), goal(1), nil)
		}
		return err
	}
	if err := open("nobody's"); err == nil || !strings.Contains(err.Error(), "kms:Encrypt") {
		t.Fatalf("a key that is not there: %v", err)
	}
	if files, _ := os.ReadDir(w.home); len(files) > 0 {
		t.Fatalf("something was written: %v", files)
	}
	if err := open("scale"); err != nil {
		t.Fatal(err)
	}
	w.to(1)
	if err := open("scale"); err != nil {
		t.Fatal(err)
	}
	w.to(2)
	if p, err := w.env.Plan(t.Context(), goal(2), nil); err != nil || !p.Empty() {
		t.Fatalf("%v %v", p.Changes(), err)
	}
	state, err := os.ReadFile(filepath.Join(w.home, ".pulumi", "stacks", "shop", "dev.json"))
	if err != nil || !strings.Contains(string(state), `"url": "awskms://alias/scale?region=us-east-1"`) || !strings.Contains(string(state), `"encryptedkey"`) {
		t.Errorf("the state does not name its key as the pulumi command does (%v)", err)
	}
	dir := filepath.Join(t.TempDir(), "infra")
	if err := w.env.Eject(dir); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "Pulumi.dev.yaml")); !strings.Contains(string(b), "secretsprovider: awskms://alias/scale") || strings.Contains(string(b), "encryptionsalt") {
		t.Errorf("the ejected project's settings: %s", b)
	}
	var told *aws.Error
	if err := open("other"); !errors.As(err, &told) || !strings.Contains(err.Error(), "kms:Decrypt") {
		t.Errorf("another key: %v", err)
	}
	if err := open(""); !errors.As(err, &told) || !strings.Contains(told.Hints(), "secrets_key") {
		t.Errorf("no key: %v", err)
	}
}
