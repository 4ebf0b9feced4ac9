//go:build unix

package agent

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A token is good for one link and ten minutes, over the change of the key too, and by
// every agent that has the same key.
func TestTokens(t *testing.T) {
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	link := Caller{"shop.dev", "web", "likes"}
	hour := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	late := hour.Add(-time.Minute) // the key changes at the full hour
	token, err := k.token(link, late)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := other.token(link, late)
	if err != nil {
		t.Fatal(err)
	}
	none := "eyJhbGciOiJub25lIn0." + strings.Split(token, ".")[1] + "."
	for name, c := range map[string]struct {
		token string
		link  Caller
		at    time.Time
		says  string // empty: it is good
	}{
		"at once":                {token, link, late, ""},
		"after the key changed":  {token, link, hour.Add(8 * time.Minute), ""},
		"after ten minutes":      {token, link, late.Add(tokenLife + time.Second), "has expired"},
		"after two keys":         {token, link, hour.Add(2 * time.Hour), "too long ago"},
		"to another service":     {token, Caller{"shop.dev", "web", "orders"}, late, "not one by which web calls orders"},
		"from another service":   {token, Caller{"shop.dev", "orders", "likes"}, late, "not one by which orders calls likes"},
		"in another environment": {token, Caller{"shop.prod", "web", "likes"}, late, "not one by which"},
		"of another key":         {forged, link, late, "not signed by this environment"},
		"unsigned":               {none, link, late, "none of ours"},
		"no token":               {"hello", link, late, "none of ours"},
	} {
		err := k.verify(c.token, c.link, c.at)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	a, errA := k.identityKeys(hour)
	b, errB := k.identityKeys(hour.Add(-time.Second))
	if errA != nil || errB != nil || len(a.Keys) != 3 || len(b.Key(a.Keys[1].KeyID)) != 1 {
		t.Errorf("who read the keys before the hour must know the one after: %v, %v", errA, errB)
	}
}

// What lies on disk is renewed, for this user alone, and goes with its edge; a token is
// asked for in words that help.
func TestTokenFiles(t *testing.T) {
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	d := Dirs{t.TempDir()}
	a := &Agent{dirs: d, key: k, specs: map[string]Edge{"web-calls-likes": {Kind: "call", Caller: Caller{"shop.dev", "web", "likes"}}, "entry": {Kind: "entry"}}}
	first, now := "", time.Now()
	for range 2 {
		if err := a.renewTokens(now); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(d.Token("web-calls-likes"))
		if err != nil || string(b) == first {
			t.Fatalf("the token was not renewed: %v", err)
		}
		first, now = string(b), now.Add(tokenRenew)
	}
	for _, f := range []string{d.Token("web-calls-likes"), d.ServiceKeys(), filepath.Dir(d.ServiceKeys())} {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
	if _, err := os.Stat(d.Token("entry")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an entry has a token: %v", err)
	}
	var all sync.WaitGroup // as many calls as are put at once
	for range 8 {
		all.Go(func() {
			if err := a.renewTokens(now); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(a.forgetToken("web-calls-likes"), a.forgetToken("entry")); err != nil {
		t.Error(err)
	}
	r := &http.Request{Header: http.Header{}}
	if err := k.identify(r, Caller{"shop.dev", "web", "mail-box"}); err == nil || !strings.Contains(err.Error(), "SERVICE_MAIL_BOX_TOKEN_FILE") {
		t.Errorf("without a token: %v", err)
	}
}

// A rule says how many instances are asked, and when nobody is any more.
func TestLimits(t *testing.T) {
	b := newBalancer()
	gaveUp := false
	trip := &trip{b: b, most: 2, giveUp: func() { gaveUp = true }}
	for i, want := range []bool{true, true, false} {
		if got := trip.next([]string{"a", "b"}) != ""; got != want || gaveUp == want {
			t.Errorf("attempt %d: %v, given up: %v", i+1, got, gaveUp)
		}
	}
	rule := Rule{Pools: []Share{{To: "likes-blue"}, {To: "likes-green"}}, Limits: Limits{OpenAfter: 2, OpenFor: time.Hour}}
	for i, status := range []int{500, 404, 500, 504} { // 404 is an answer: it begins to count anew
		ended, ok := b.admitted(rule)
		if !ok {
			t.Fatalf("request %d is not let through", i+1)
		}
		ended(status)
	}
	if _, ok := b.admitted(rule); ok {
		t.Error("after two failures in a row the circuit is closed")
	}
	rule.Limits.OpenFor = time.Minute
	if _, ok := b.admitted(rule); !ok {
		t.Error("other limits begin with an open circuit")
	}
	if _, ok := b.admitted(Rule{Pools: rule.Pools}); !ok {
		t.Error("without limits nothing is refused")
	}
}
