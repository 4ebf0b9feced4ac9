package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/jackc/pgx/v5"
)

// Likes are a part of the guestbook with data of its own, which nothing else reads: it
// is what becomes a service first. As long as it is none, the guestbook does its work.
type likes interface {
	// Like counts one more for an entry and returns how many that makes.
	Like(ctx context.Context, entry int64) (int, error)
	// Likes are the counts of those entries that anybody likes.
	Likes(ctx context.Context, entries []int64) (map[int64]int, error)
}

// likesRoutes are what the outside asks for; at level 5 the gateway sends that to the service.
func likesRoutes(m *http.ServeMux, l likes) {
	m.HandleFunc("POST /api/likes/{entry}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PathValue("entry"), 10, 64)
		if err != nil {
			fail(w, http.StatusBadRequest, "an entry is a number")
			return
		}
		n, err := l.Like(r.Context(), id)
		if err != nil {
			fail(w, http.StatusServiceUnavailable, "the database does not answer")
			return
		}
		reply(w, http.StatusCreated, map[string]int{"likes": n})
	})
}

// likesService is the service of its own: what the outside asks for, and what only
// services do that show who they are.
func likesService(st store, s settings) http.Handler {
	m := http.NewServeMux()
	likesRoutes(m, st)
	m.HandleFunc("GET /api/likes/healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := st.Ping(r.Context()); err != nil {
			fail(w, http.StatusServiceUnavailable, "the database does not answer")
			return
		}
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	m.HandleFunc("GET /api/likes/counts", func(w http.ResponseWriter, r *http.Request) {
		who, err := caller(r, s.identity, s.keys)
		if err != nil {
			fail(w, http.StatusUnauthorized, err.Error())
			return
		}
		var entries []int64
		for _, e := range strings.Split(r.URL.Query().Get("of"), ",") {
			if id, err := strconv.ParseInt(e, 10, 64); err == nil {
				entries = append(entries, id)
			}
		}
		n, err := st.Likes(r.Context(), entries)
		if err != nil {
			fail(w, http.StatusServiceUnavailable, "the database does not answer")
			return
		}
		w.Header().Set("X-Called-By", who)
		reply(w, http.StatusOK, n)
	})
	return m
}

// caller is the service that sent a request, by the token that it shows: a JWT-SVID,
// signed with one of the keys in a file that changes by the hour. Where there are no
// keys, the network alone says who may call.
func caller(r *http.Request, audience, keysFile string) (string, error) {
	if keysFile == "" {
		return "somebody", nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errors.New("only services may ask this, and must show who they are")
	}
	b, err := os.ReadFile(keysFile)
	if err != nil {
		return "", errors.New("the keys of services cannot be read")
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(b, &keys); err != nil {
		return "", errors.New("the keys of services cannot be read")
	}
	var claims jwt.Claims
	t, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || t.Claims(keys, &claims) != nil || claims.ValidateWithLeeway(jwt.Expected{AnyAudience: jwt.Audience{audience}, Time: time.Now()}, 0) != nil {
		return "", errors.New("the token is none for this service, or too old")
	}
	return claims.Subject, nil
}

// distant are the likes as another service keeps them.
type distant struct {
	url, token string // its address, and the file that says who asks; empty: nobody wants to know
	client     *http.Client
}

func newDistant(s settings) distant {
	return distant{s.likesURL, s.likesToken, &http.Client{Timeout: 3 * time.Second}}
}

// Likes implements likes.
func (d distant) Likes(ctx context.Context, entries []int64) (n map[int64]int, err error) {
	of := strings.Trim(strings.ReplaceAll(fmt.Sprint(entries), " ", ","), "[]")
	return n, d.call(ctx, http.MethodGet, "/api/likes/counts?of="+url.QueryEscape(of), &n)
}

// Like implements likes. The gateway sends those to the service; while it moves, some come here.
func (d distant) Like(ctx context.Context, entry int64) (int, error) {
	var answer struct{ Likes int }
	err := d.call(ctx, http.MethodPost, fmt.Sprintf("/api/likes/%d", entry), &answer)
	return answer.Likes, err
}

func (d distant) call(ctx context.Context, method, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, nil)
	if err != nil {
		return err
	}
	if d.token != "" {
		token, err := os.ReadFile(d.token) // it is another one every minute
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+string(token))
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("the service likes answers %s", resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// liked answers with the entries and who likes them. What it cannot learn it leaves out:
// a guestbook without likes is better than none.
func (v *server) liked(w http.ResponseWriter, r *http.Request) {
	es, err := v.store.Latest(r.Context(), shown)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	ids := make([]int64, len(es))
	for i, e := range es {
		ids[i] = e.ID
	}
	answer := struct {
		Entries []entry       `json:"entries"`
		Likes   map[int64]int `json:"likes"` // null when nobody could say
	}{Entries: es}
	if answer.Likes, err = v.likes.Likes(r.Context(), ids); err != nil {
		fmt.Fprintln(os.Stderr, "guestbook: answers without likes:", err)
		answer.Likes = nil
	}
	reply(w, http.StatusOK, answer)
}

// Like implements likes.
func (p *postgres) Like(ctx context.Context, entry int64) (n int, err error) {
	err = p.leader.QueryRow(ctx, `INSERT INTO likes VALUES ($1, 1) ON CONFLICT (entry) DO UPDATE SET n = likes.n + 1 RETURNING n`, entry).Scan(&n)
	return n, err
}

// Likes implements likes.
func (p *postgres) Likes(ctx context.Context, entries []int64) (map[int64]int, error) {
	return again(ctx, p.replica, func() (map[int64]int, error) {
		rows, err := p.replica.Query(ctx, `SELECT entry, n FROM likes WHERE entry = ANY($1)`, entries)
		if err != nil {
			return nil, err
		}
		counts := map[int64]int{}
		var e int64
		var n int
		_, err = pgx.ForEachRow(rows, []any{&e, &n}, func() error { counts[e] = n; return nil })
		return counts, err
	})
}

// Like implements likes.
func (m *memory) Like(_ context.Context, entry int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.liked == nil {
		m.liked = map[int64]int{}
	}
	m.liked[entry]++
	return m.liked[entry], nil
}

// Likes implements likes.
func (m *memory) Likes(_ context.Context, entries []int64) (map[int64]int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[int64]int{}
	for _, e := range entries {
		if n := m.liked[e]; n > 0 {
			counts[e] = n
		}
	}
	return counts, nil
}
