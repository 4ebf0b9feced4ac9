//go:build unix

package agent

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A service shows who it is by a token that is signed for one link, from it to the
// service that it calls: a JWT by the rules of SPIFFE (JWT-SVID), in the header
// Authorization. It lies in a file that is written anew long before the token ends, and
// is checked where the call comes in; the receiver gets it too and can check it again.
//
// The keys follow from the agent's own by the hour: each hour has its key, and whichever
// agent holds that own key, this one or its successor, has the same ones without being
// told, and without a restart of anything.
const (
	keyPeriod  = time.Hour
	tokenLife  = 10 * time.Minute
	tokenRenew = time.Minute
)

// Caller says who calls whom, in the trust domain of an environment.
type Caller struct {
	Domain string `json:"domain"` // shop.dev
	From   string `json:"from"`   // a service
	To     string `json:"to"`     // a service
}

// ID names the service that calls.
func (c Caller) ID() string { return "spiffe://" + c.Domain + "/" + c.From }

// Audience names the service that is called.
func (c Caller) Audience() string { return "spiffe://" + c.Domain + "/" + c.To }

func periodOf(t time.Time) int64 { return t.Unix() / int64(keyPeriod/time.Second) }

// identityKey signs in one period.
func (k Key) identityKey(period int64) (jose.JSONWebKey, error) {
	id := strconv.FormatInt(period, 10)
	seed, err := hkdf.Key(sha256.New, k[:], nil, "service identity, period "+id, ed25519.SeedSize)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	return jose.JSONWebKey{Key: ed25519.NewKeyFromSeed(seed), KeyID: id, Algorithm: string(jose.EdDSA), Use: "sig"}, nil
}

// identityKeys are the public ones of a moment: of the period before, whose tokens may
// still be valid, of this one, and of the next, for who reads them rarely.
func (k Key) identityKeys(at time.Time) (set jose.JSONWebKeySet, err error) {
	for p := periodOf(at) - 1; p <= periodOf(at)+1; p++ {
		key, err := k.identityKey(p)
		if err != nil {
			return set, err
		}
		set.Keys = append(set.Keys, key.Public())
	}
	return set, nil
}

// token is what a caller shows from a moment on.
func (k Key) token(c Caller, at time.Time) (string, error) {
	key, err := k.identityKey(periodOf(at))
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: "spiffe://" + c.Domain, Subject: c.ID(), Audience: jwt.Audience{c.Audience()},
		IssuedAt: jwt.NewNumericDate(at), Expiry: jwt.NewNumericDate(at.Add(tokenLife)),
	}).Serialize()
}

// verify returns why a token does not show that c.From calls c.To, nil when it does.
func (k Key) verify(token string, c Caller, at time.Time) error {
	t, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return errors.New("the token is none of ours")
	}
	keys, err := k.identityKeys(at)
	if err != nil {
		return err
	}
	var claims jwt.Claims
	if err := t.Claims(keys, &claims); err != nil {
		return errors.New("the token is not signed by this environment, or too long ago")
	}
	err = claims.ValidateWithLeeway(jwt.Expected{Subject: c.ID(), AnyAudience: jwt.Audience{c.Audience()}, Time: at}, 0)
	switch {
	case errors.Is(err, jwt.ErrExpired):
		return errors.New("the token has expired: read its file for each call")
	case err != nil:
		return fmt.Errorf("the token is not one by which %s calls %s", c.From, c.To)
	}
	return nil
}

// identify looks at the token of a request.
func (k Key) identify(r *http.Request, c Caller) error {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return fmt.Errorf("a call to %s needs a token: Authorization: Bearer, from the file SERVICE_%s_TOKEN_FILE", c.To, strings.ToUpper(strings.ReplaceAll(c.To, "-", "_")))
	}
	return k.verify(token, c, time.Now())
}

// unknown answers a request that does not show who calls.
func unknown(w http.ResponseWriter, why error) error {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	return json.NewEncoder(w).Encode(map[string]string{"error": why.Error()})
}

// forgetToken removes that of a call that is gone.
func (a *Agent) forgetToken(name string) error {
	a.tokens.Lock()
	defer a.tokens.Unlock()
	return removeAll(a.dirs.Token(name))
}

// renewTokens writes the tokens of all calls, and the keys by which they are known.
func (a *Agent) renewTokens(at time.Time) error {
	a.tokens.Lock() // calls are put side by side, and each asks for it
	defer a.tokens.Unlock()
	a.mu.Lock()
	calls := map[string]Caller{}
	for name, e := range a.specs {
		if e.Kind == "call" {
			calls[name] = e.Caller
		}
	}
	if a.leaving {
		clear(calls) // the successor does it
	}
	a.mu.Unlock()
	if len(calls) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(a.dirs.ServiceKeys()), 0o700); err != nil {
		return err
	}
	set, err := a.key.identityKeys(at)
	if err != nil {
		return err
	}
	b, err := json.Marshal(set)
	if err != nil {
		return err
	}
	errs := []error{replace(a.dirs.ServiceKeys(), b)}
	for name, c := range calls {
		token, err := a.key.token(c, at)
		errs = append(errs, err)
		if err == nil {
			errs = append(errs, replace(a.dirs.Token(name), []byte(token)))
		}
	}
	return errors.Join(errs...)
}
