package app

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	maxMessage = 2000     // characters
	maxUpload  = 10 << 20 // bytes
	shown      = 50       // entries on a page
)

type server struct {
	settings
	store    store
	likes    likes
	sessions *sessions       // nil without a session store
	queue    *queue          // nil without a queue
	ending   <-chan struct{} // closed when the program is asked to end
	chats    sync.WaitGroup
}

func (v *server) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", v.health)
	m.HandleFunc("GET /api/whoami", v.whoami)
	m.HandleFunc("GET /api/entries", v.list)
	m.HandleFunc("POST /api/entries", v.add)
	m.HandleFunc("GET /api/liked", v.liked)
	likesRoutes(m, v.likes)
	m.HandleFunc("GET /api/events", v.events)
	m.HandleFunc("GET /api/chat", v.chat)
	m.HandleFunc("POST /api/uploads", v.upload)
	m.HandleFunc("GET /api/uploads/{name}", v.download)
	if v.sessions != nil {
		m.HandleFunc("GET /api/visits", v.visits)
	}
	if v.serveStatic {
		m.Handle("GET /", http.FileServerFS(Public()))
	}
	return m
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

func fail(w http.ResponseWriter, status int, what string) {
	reply(w, status, map[string]string{"error": what})
}

func (v *server) health(w http.ResponseWriter, r *http.Request) {
	if err := v.store.Ping(r.Context()); err != nil {
		fail(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	reply(w, http.StatusOK, map[string]string{"status": "ok"})
}

// whoami says which backend answered.
func (v *server) whoami(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"backend": v.addr, "pid": os.Getpid(), "color": v.color, "region": v.region, "level": v.level})
}

func (v *server) list(w http.ResponseWriter, r *http.Request) {
	es, err := v.store.Latest(r.Context(), shown)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	reply(w, http.StatusOK, es)
}

// signature is what somebody writes into the guestbook.
type signature struct {
	Name, Message string
	// Delay is how many milliseconds the answer is to take, to try what becomes of
	// requests in flight.
	Delay int
}

const maxDelay = 5000

func (n *signature) check() bool {
	n.Name, n.Message = strings.TrimSpace(n.Name), strings.TrimSpace(n.Message)
	return n.Name != "" && n.Message != "" && len(n.Message) <= maxMessage && len(n.Name) <= 100 && n.Delay >= 0 && n.Delay <= maxDelay
}

func (v *server) add(w http.ResponseWriter, r *http.Request) {
	var in signature
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&in); err != nil {
		fail(w, http.StatusBadRequest, "the body must be {\"name\": …, \"message\": …}")
		return
	}
	if !in.check() {
		fail(w, http.StatusBadRequest, "a name and a message of at most 2000 characters are needed")
		return
	}
	time.Sleep(time.Duration(in.Delay) * time.Millisecond)
	e, err := v.store.Add(r.Context(), in.Name, in.Message)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	if v.queue != nil {
		if err := v.queue.put(r.Context(), e.ID); err != nil {
			fail(w, http.StatusServiceUnavailable, "the entry is written, and the queue does not answer")
			return
		}
	}
	reply(w, http.StatusCreated, e)
}

var safeName = regexp.MustCompile(`^[A-Z2-7]{16}(\.[a-z0-9]{1,8})?$`)

// upload keeps a file under a name of its own.
func (v *server) upload(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	f, header, err := r.FormFile("file")
	if err != nil {
		fail(w, http.StatusBadRequest, "a form with a file of at most 10 MB is needed")
		return
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		fail(w, http.StatusBadRequest, "the file did not arrive whole")
		return
	}
	name := rand.Text()[:16]
	if ext := strings.ToLower(filepath.Ext(header.Filename)); safeName.MatchString(name + ext) {
		name += ext
	}
	if err := v.store.Keep(r.Context(), name, b); err != nil {
		fail(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	reply(w, http.StatusCreated, map[string]string{"url": "/api/uploads/" + name})
}

func (v *server) download(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if !safeName.MatchString(name) {
		http.NotFound(w, r)
		return
	}
	b, err := v.store.Upload(r.Context(), name)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	if b == nil {
		http.NotFound(w, r)
		return
	}
	// What a stranger uploaded is never run as a page of ours.
	w.Header().Set("Content-Disposition", "attachment")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
}
