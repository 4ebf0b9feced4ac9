//go:build unix

package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options of an agent.
type Options struct {
	Root     string // the environment's directory
	Build    string // names the executable
	Takeover bool   // an agent runs, and is to be replaced
	Key      io.Reader
	Ready    io.WriteCloser // is told "ready" or why not, and closed
}

// Run is the agent's whole life. It returns when the environment is shut down,
// or when another agent has taken over.
func Run(o Options) (err error) {
	d := Dirs{o.Root}
	defer func() {
		if err != nil {
			fmt.Fprintln(o.Ready, err)
		}
	}()
	line, err := bufio.NewReader(o.Key).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the key: %w", err)
	}
	key, err := ParseKey(strings.TrimSpace(line))
	if err != nil {
		return err
	}
	for _, dir := range []string{d.Run(), d.specs(), d.Logs()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	a := newAgent(d, key, o.Build, os.Stderr)
	var thanks func() error
	if o.Takeover {
		if thanks, err = a.takeOver(); err != nil {
			return fmt.Errorf("take over from the running agent: %w", err)
		}
		go func() {
			if err := a.hold(true); err != nil { // once the predecessor is gone
				a.log.Error("take the lock", "error", err)
			}
		}()
	} else if err := a.hold(false); err != nil {
		return err
	}
	if err := a.recover(o.Takeover); err != nil {
		return err
	}
	return a.serve(o, thanks)
}

var errRunning = errors.New("another agent runs here")

// hold takes the agent's lock for as long as the process lives.
func (a *Agent) hold(wait bool) error {
	f, err := os.OpenFile(a.dirs.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	err = unix.Flock(int(f.Fd()), how)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errRunning
	}
	if err != nil {
		f.Close()
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaving {
		return f.Close()
	}
	a.lock = f
	return nil
}

// unhold gives the lock to a successor, while streams are still served here.
func (a *Agent) unhold() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaving = true
	if a.lock != nil {
		_ = a.lock.Close()
	}
}

func (a *Agent) serve(o Options, thanks func() error) error {
	l, err := listenUnix(a.dirs.socket())
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	if thanks != nil {
		if err := thanks(); err != nil {
			return err
		}
	}
	fmt.Fprintln(o.Ready, "ready")
	if err := o.Ready.Close(); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	rotation := time.NewTicker(time.Second)
	defer rotation.Stop()
	renewal := time.NewTicker(tokenRenew)
	defer renewal.Stop()
	for {
		select {
		case at := <-renewal.C:
			if err := a.renewTokens(at); err != nil {
				a.log.Error("renew the tokens of services", "error", err)
			}
		case <-rotation.C:
			if err := rotate(a.dirs, MaxLog); err != nil {
				a.log.Error("rotate the logs", "error", err)
			}
		case s := <-signals:
			// Whoever ends the agent does not thereby end the application: the next command adopts it.
			a.log.Info("leaving", "signal", s.String())
			a.retire()
			return nil
		case err := <-served:
			return err
		case <-a.quit:
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			return srv.Shutdown(ctx)
		}
	}
}

// message is one line of the answer to a request that takes its time.
type message struct {
	Waiting string      `json:"waiting,omitempty"`
	Ready   bool        `json:"ready,omitempty"` // what lasts as long as the request does is there
	Done    bool        `json:"done,omitempty"`
	Error   string      `json:"error,omitempty"`
	Start   *StartError `json:"start,omitempty"`
	Host    string      `json:"host,omitempty"` // of a PortTakenError, as is Port
	Port    int         `json:"port,omitempty"`
}

func (a *Agent) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(a.Status()) // whoever asked is gone: nobody to tell
	})
	m.HandleFunc("PUT /v1/processes", func(w http.ResponseWriter, r *http.Request) {
		var p Process
		stream(w, r, &p, func(waiting func(string)) error {
			// What was asked for is finished even when whoever asked is gone.
			return a.PutProcess(context.WithoutCancel(r.Context()), p, waiting)
		})
	})
	m.HandleFunc("DELETE /v1/processes/{name}", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, nil, func(func(string)) error { return a.DeleteProcess(r.PathValue("name")) })
	})
	m.HandleFunc("POST /v1/processes/{name}/twin", func(w http.ResponseWriter, r *http.Request) {
		port, err := strconv.Atoi(r.URL.Query().Get("port"))
		if err != nil {
			http.Error(w, "a port is needed", http.StatusBadRequest)
			return
		}
		streamReady(w, r, nil, func(waiting func(string), ready func()) error {
			return a.Twin(r.Context(), r.PathValue("name"), port, waiting, ready)
		})
	})
	m.HandleFunc("PUT /v1/edges", func(w http.ResponseWriter, r *http.Request) {
		var e Edge
		stream(w, r, &e, func(func(string)) error { return a.PutEdge(e) })
	})
	m.HandleFunc("DELETE /v1/edges/{name}", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, nil, func(func(string)) error { return a.DeleteEdge(r.PathValue("name")) })
	})
	m.HandleFunc("POST /v1/purge", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(a.Purge(r.URL.Query().Get("path"))) // whoever asked is gone: nobody to tell
	})
	m.HandleFunc("POST /v1/chaos", func(w http.ResponseWriter, r *http.Request) {
		var d Disturbance
		streamReady(w, r, &d, func(_ func(string), ready func()) error { return a.Disturb(r.Context(), d, ready) })
	})
	m.HandleFunc("POST /v1/hold", func(w http.ResponseWriter, r *http.Request) {
		var h Hold
		streamReady(w, r, &h, func(_ func(string), ready func()) error { return a.Hold(r.Context(), h, ready) })
	})
	m.HandleFunc("POST /v1/lent", func(w http.ResponseWriter, r *http.Request) {
		var lent []Edge
		streamReady(w, r, &lent, func(_ func(string), ready func()) error { return a.Lend(r.Context(), lent, ready) })
	})
	m.HandleFunc("POST /v1/handover", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, nil, func(func(string)) error { return a.handOver() })
	})
	m.HandleFunc("POST /v1/shutdown", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, nil, func(func(string)) error { a.shutdown(); return nil })
		a.stop()
	})
	return m
}

// stream answers with messages, a line each; the last one says how it ended.
func stream(w http.ResponseWriter, r *http.Request, body any, do func(waiting func(string)) error) {
	streamReady(w, r, body, func(waiting func(string), _ func()) error { return do(waiting) })
}

// streamReady is a stream that says in between that what was asked for is there.
func streamReady(w http.ResponseWriter, r *http.Request, body any, do func(waiting func(string), ready func()) error) {
	var mu sync.Mutex
	enc := json.NewEncoder(w)
	send := func(m message) {
		mu.Lock()
		defer mu.Unlock()
		_ = enc.Encode(m) // whoever asked is gone: nobody to tell
		_ = http.NewResponseController(w).Flush()
	}
	if body != nil {
		if err := json.NewDecoder(r.Body).Decode(body); err != nil {
			send(message{Error: err.Error()})
			return
		}
	}
	err := do(func(what string) { send(message{Waiting: what}) }, func() { send(message{Ready: true}) })
	m := message{Done: err == nil}
	if err != nil {
		m.Error = err.Error()
	}
	_ = errors.As(err, &m.Start)
	var taken *PortTakenError
	if errors.As(err, &taken) {
		m.Host, m.Port = taken.Host, taken.Port
	}
	send(m)
}

func logFile(d Dirs) (*os.File, error) {
	if err := os.MkdirAll(d.Logs(), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(d.Logs(), "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}
