package app

import (
	"context"
	"crypto/rand"
	"net/http"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"
)

// sessions are what is remembered of a visitor, where every instance finds it.
type sessions struct{ client *redis.Client }

const sessionLife = 30 * 24 * time.Hour

func openSessions(url string) (*sessions, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return &sessions{redis.NewClient(o)}, nil
}

func (s *sessions) Close() { _ = s.client.Close() }

// visit counts one visit and returns how many there were.
func (s *sessions) visit(ctx context.Context, id string) (int64, error) {
	n, err := s.client.Incr(ctx, "visits:"+id).Result()
	if err != nil {
		return 0, err
	}
	return n, s.client.Expire(ctx, "visits:"+id, sessionLife).Err()
}

var visitorForm = regexp.MustCompile(`^[A-Z2-7]{26}$`)

func (v *server) visits(w http.ResponseWriter, r *http.Request) {
	id := rand.Text()
	if c, err := r.Cookie("visitor"); err == nil && visitorForm.MatchString(c.Value) {
		id = c.Value
	}
	n, err := v.sessions.visit(r.Context(), id)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "the session store does not answer")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "visitor", Value: id, Path: "/", MaxAge: int(sessionLife.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode})
	reply(w, http.StatusOK, map[string]int64{"visits": n})
}
