package app

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	maxMessage = 2000     // characters
	maxUpload  = 10 << 20 // bytes
	shown      = 50       // entries on a page
)

type server struct {
	settings
	store store
}

func routes(s settings, st store) http.Handler {
	v := &server{s, st}
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", v.health)
	m.HandleFunc("GET /api/whoami", v.whoami)
	m.HandleFunc("GET /api/entries", v.list)
	m.HandleFunc("POST /api/entries", v.add)
	m.HandleFunc("POST /api/uploads", v.upload)
	m.HandleFunc("GET /api/uploads/{name}", v.download)
	if s.serveStatic {
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

func (v *server) add(w http.ResponseWriter, r *http.Request) {
	var in struct{ Name, Message string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&in); err != nil {
		fail(w, http.StatusBadRequest, "the body must be {\"name\": …, \"message\": …}")
		return
	}
	in.Name, in.Message = strings.TrimSpace(in.Name), strings.TrimSpace(in.Message)
	if in.Name == "" || in.Message == "" || len(in.Message) > maxMessage || len(in.Name) > 100 {
		fail(w, http.StatusBadRequest, "a name and a message of at most 2000 characters are needed")
		return
	}
	e, err := v.store.Add(r.Context(), in.Name, in.Message)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	reply(w, http.StatusCreated, e)
}

var safeName = regexp.MustCompile(`^[a-f0-9]{16}(\.[a-z0-9]{1,8})?$`)

// upload keeps a file under a name of its own.
func (v *server) upload(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	f, header, err := r.FormFile("file")
	if err != nil {
		fail(w, http.StatusBadRequest, "a form with a file of at most 10 MB is needed")
		return
	}
	defer f.Close()
	name, err := v.keep(f, strings.ToLower(filepath.Ext(header.Filename)))
	if err != nil {
		fail(w, http.StatusInternalServerError, "the file could not be kept")
		return
	}
	reply(w, http.StatusCreated, map[string]string{"url": "/api/uploads/" + name})
}

func (v *server) keep(f io.Reader, ext string) (string, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	name := hex.EncodeToString(b[:])
	if safeName.MatchString(name + ext) {
		name += ext
	}
	if err := os.MkdirAll(v.uploads, 0o700); err != nil {
		return "", err
	}
	out, err := os.OpenFile(filepath.Join(v.uploads, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, f)
	return name, errors.Join(err, out.Close())
}

func (v *server) download(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if !safeName.MatchString(name) {
		http.NotFound(w, r)
		return
	}
	f, err := os.Open(filepath.Join(v.uploads, name))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	// What a stranger uploaded is never run as a page of ours.
	w.Header().Set("Content-Disposition", "attachment")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, name, time.Time{}, f)
}
