//go:build unix

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Client talks to the agent of an environment.
type Client struct{ dirs Dirs }

// ErrNotRunning means that no agent answers.
var ErrNotRunning = errors.New("no agent is running")

// Connect finds the running agent, or ErrNotRunning.
func Connect(ctx context.Context, d Dirs) (*Client, Status, error) {
	c := &Client{d}
	s, err := c.Status(ctx)
	return c, s, err
}

// Start starts an agent and waits until it is ready. argv is the command that
// calls Run; with takeover a running agent is replaced.
func Start(ctx context.Context, d Dirs, argv []string, key Key) (*Client, error) {
	log, err := logFile(d)
	if err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c := exec.Command(argv[0], argv[1:]...)
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(key.String()+"\n"), log, log
	c.ExtraFiles = []*os.File{w}
	c.Dir, c.Env = "/", environment()
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = c.Start()
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	go func() { _ = c.Wait() }() // it outlives us, or says below why not
	said := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(r, 4096)) // an agent that died says nothing
		said <- strings.TrimSpace(string(b))
	}()
	select {
	case s := <-said:
		switch s {
		case "ready":
			return &Client{d}, nil
		case errRunning.Error():
			cl, _, err := Connect(ctx, d)
			return cl, err
		}
		if s == "" {
			s = "it ended; " + strings.Join(Tail(filepath.Join(d.Logs(), "agent.log"), 5), "; ")
		}
		return nil, fmt.Errorf("start the agent: %s", s)
	case <-time.After(handoverPatience):
		return nil, errors.New("start the agent: it was not ready in time; see " + filepath.Join(d.Logs(), "agent.log"))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// environment is what the agent gets of ours: nothing that could hold a secret.
func environment() []string {
	var env []string
	for _, k := range []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// Alive reports whether any component still runs, with or without an agent.
func Alive(d Dirs) bool {
	files, err := filepath.Glob(filepath.Join(d.Run(), "*.pid"))
	if err != nil {
		return false
	}
	for _, f := range files {
		if i, err := readIdent(f); err == nil && i.alive() {
			return true
		}
	}
	return false
}

func (c *Client) http() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialUnix(ctx, c.dirs.socket())
		},
	}}
}

// Status asks how everything stands.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := c.request(ctx, http.MethodGet, "/v1/status", nil)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// PutProcess makes a process run and waits until it is ready.
func (c *Client) PutProcess(ctx context.Context, p Process, waiting func(string)) error {
	return c.do(ctx, http.MethodPut, "/v1/processes", p, waiting)
}

// DeleteProcess ends a process for good.
func (c *Client) DeleteProcess(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/v1/processes/"+name, nil, nil)
}

// Twin runs a second process like a backend, on another port, until stop is called.
func (c *Client) Twin(ctx context.Context, name string, port int) (stop func(), err error) {
	return c.while(ctx, fmt.Sprintf("/v1/processes/%s/twin?port=%d", name, port), nil)
}

// Disturb makes things go wrong until stop is called, or the caller ends.
func (c *Client) Disturb(ctx context.Context, d Disturbance) (stop func(), err error) {
	return c.while(ctx, "/v1/chaos", d)
}

// Lend makes edges that are there until stop is called, or the caller ends.
func (c *Client) Lend(ctx context.Context, edges []Edge) (stop func(), err error) {
	return c.while(ctx, "/v1/lent", edges)
}

// while asks for what lasts as long as it is asked for: until stop is called.
func (c *Client) while(ctx context.Context, path string, body any) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- c.follow(ctx, http.MethodPost, path, body, func(m message) {
			if m.Ready {
				close(ready)
			}
		})
	}()
	select {
	case <-ready:
		return func() { cancel(); <-ended }, nil
	case err := <-ended:
		cancel()
		return nil, err
	}
}

// PutEdge makes an edge as described.
func (c *Client) PutEdge(ctx context.Context, e Edge) error {
	return c.do(ctx, http.MethodPut, "/v1/edges", e, nil)
}

// DeleteEdge closes an edge.
func (c *Client) DeleteEdge(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/v1/edges/"+name, nil, nil)
}

// Purge makes the edges of the CDN forget a path, or all below one that ends in "*",
// and returns how many answers that were.
func (c *Client) Purge(ctx context.Context, path string) (n int, err error) {
	resp, err := c.request(ctx, http.MethodPost, "/v1/purge?path="+url.QueryEscape(path), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return n, json.NewDecoder(resp.Body).Decode(&n)
}

// Shutdown ends every component and the agent, and returns when it is gone.
func (c *Client) Shutdown(ctx context.Context) error {
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	id, ok := identify(s.PID)
	if err := c.do(ctx, http.MethodPost, "/v1/shutdown", nil, nil); err != nil {
		return err
	}
	if ok && !ended(ctx, id, handoverPatience) {
		return fmt.Errorf("the agent (pid %d) does not end", s.PID)
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, &b)
	if err != nil {
		return nil, err
	}
	resp, err := c.http().Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotRunning
	}
	return resp, err
}

// do sends a request and follows its answer to the end.
func (c *Client) do(ctx context.Context, method, path string, body any, waiting func(string)) error {
	return c.follow(ctx, method, path, body, func(m message) {
		if waiting != nil && m.Waiting != "" {
			waiting(m.Waiting)
		}
	})
}

func (c *Client) follow(ctx context.Context, method, path string, body any, tell func(message)) error {
	resp, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the agent answered %s to %s %s: it may be of another version", resp.Status, method, path)
	}
	d := json.NewDecoder(resp.Body)
	for {
		var m message
		if err := d.Decode(&m); err != nil {
			return fmt.Errorf("the agent ended in the middle of its answer: %w", err)
		}
		switch {
		case m.Waiting != "", m.Ready:
			tell(m)
		case m.Start != nil:
			return m.Start
		case m.Port != 0:
			return &PortTakenError{Host: m.Host, Port: m.Port, Err: syscall.EADDRINUSE}
		case m.Error != "":
			return errors.New(m.Error)
		case m.Done:
			return nil
		}
	}
}
