//go:build unix

package cmd_test

import (
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
)

// terminal is a real one of a size, with a person's fingers at it.
type terminal struct {
	t      *testing.T
	screen vt10x.Terminal
	keys   io.Writer
	ended  chan error
}

func (w *world) terminal(cols, rows int, args ...string) *terminal {
	t := w.t.(*testing.T)
	c := w.command(args...)
	c.Env = append(c.Env, "TERM=xterm-256color")
	f, err := pty.StartWithSize(c, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)})
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, screen: vt10x.New(vt10x.WithSize(cols, rows), vt10x.WithWriter(f)), keys: f, ended: make(chan error, 1)}
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, err := f.Read(b)
			if n > 0 {
				_, _ = x.screen.Write(b[:n]) // a screen takes what it gets
			}
			if err != nil {
				break
			}
		}
		x.ended <- c.Wait()
	}()
	t.Cleanup(func() { _ = c.Process.Kill(); f.Close() })
	return x
}

func (x *terminal) see(texts ...string) {
	x.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		screen := x.screen.String()
		missing := ""
		for _, s := range texts {
			if !strings.Contains(screen, s) {
				missing = s
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case err := <-x.ended:
			x.ended <- err
			if strings.Contains(x.screen.String(), missing) {
				return
			}
			x.t.Fatalf("it ended (%v) without showing %q:\n%s", err, missing, x.screen.String())
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("never shown: %q in\n%s", missing, screen)
		}
	}
}

func (x *terminal) press(keys string) {
	x.t.Helper()
	if _, err := io.WriteString(x.keys, keys); err != nil {
		x.t.Fatal(err)
	}
}

func (x *terminal) end(code int) {
	x.t.Helper()
	err := <-x.ended
	got := 0
	if e, ok := err.(*exec.ExitError); ok {
		got = e.ExitCode()
	}
	if got != code {
		x.t.Fatalf("exit code %d (%v):\n%s", got, err, x.screen.String())
	}
}

// The interface, from the ladder to a running application and down again.
func TestInterfaceInARealTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.terminal(110, 34)
	x.see("nothing stands", "1  single node", "2  load balancer", "5  microservices", "q quit")
	x.press("e")
	x.see("Advantages", "Disadvantages")
	x.press("e\r")
	x.see("up to level 1", "5 to create", "Downtime: none", "y yes, go on")
	x.press("y")
	x.see("Done.", "http://127.0.0.1:")
	if s := w.status(); s.State != "up" {
		t.Fatalf("status: %+v", s)
	}
	x.press("\r")
	x.see("up at level 1", "web-use1-g1-1", "● stands")
	x.press("\r")
	x.see("No changes")
	x.press("y")
	x.see("there is nothing to do")
	x.press("\x1b")
	x.see("● stands")
	x.press("d")
	x.see("down from level 1", "all of it is kept")
	x.press("y")
	x.see("Done.")
	x.press("q")
	x.end(0)
	if s := w.status(); s.State != "down" {
		t.Fatalf("status: %+v", s)
	}
}

// 'up' on a terminal shows what is under way and asks first.
func TestUpInARealTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.terminal(100, 40, "up")
	x.see("Go on? [y/N]")
	x.press("n\r")
	x.see("Nothing was changed.")
	x.end(130)
	x = w.terminal(100, 60, "up")
	x.see("Go on? [y/N]")
	x.press("y\r")
	x.see("✓ Make what is missing", "answers at level 1", "http://127.0.0.1:")
	x.end(0)
}

func TestInitInARealTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("package.json", `{"scripts":{"start":"node ."},"dependencies":{"pg":"8"}}`)
	w.write("index.js", "require('http').createServer().listen(process.env.PORT)")
	x := w.terminal(100, 40, "init")
	x.see("This looks like a Node project", "Name of the application? [project]")
	x.press("My Shop\r")
	x.see("a name is 1 to 40 lower case letters")
	x.press("shop\r")
	x.see("What starts it? [npm start]")
	x.press("\r\r/healthz\r-\r\r")
	x.see("Wrote scale.yaml")
	x.end(0)
	for _, s := range []string{"name: shop", `command: "npm start"`, "health: /healthz", "engine: postgres"} {
		if !strings.Contains(w.yaml(), s) {
			t.Errorf("scale.yaml lacks %q:\n%s", s, w.yaml())
		}
	}
	w.must(3, "init")
}
