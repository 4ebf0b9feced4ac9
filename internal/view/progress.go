package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/scale-levels/scale/internal/plan"
)

// Progress writes events as they come. Without a terminal it is a line a
// change; on one, what is under way stands below the lines that are done, with
// what it waits for and for how long.
type Progress struct {
	w     io.Writer
	style Style
	live  bool

	mu      sync.Mutex
	under   []underway
	drawn   int // lines of the live part
	stopped chan struct{}
	tick    *time.Ticker
	beat    int
	saidAt  map[string]time.Time
}

type underway struct {
	urn, text, waits string
	began            time.Time
}

// NewProgress starts writing; Close must be called.
func NewProgress(w io.Writer, s Style, live bool) *Progress {
	p := &Progress{w: w, style: s, live: live, stopped: make(chan struct{}), saidAt: map[string]time.Time{}}
	if !live {
		return p
	}
	p.tick = time.NewTicker(100 * time.Millisecond)
	go func() {
		for {
			select {
			case <-p.tick.C:
				p.mu.Lock()
				p.beat++
				p.redraw()
				p.mu.Unlock()
			case <-p.stopped:
				return
			}
		}
	}()
	return p
}

// Close removes the live part.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tick != nil {
		p.tick.Stop()
		close(p.stopped)
		p.tick = nil
	}
	p.under = nil
	p.redraw()
}

// Event is a plan.Sink.
func (p *Progress) Event(e plan.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := e.URN
	if key == "" {
		key = "step"
	}
	switch e.Kind {
	case plan.ResourceStarted:
		p.under = append(p.under, underway{urn: key, text: fmt.Sprintf("%s %s", Mark(e.Op, p.style), e.Name), began: e.Time})
	case plan.StepStarted:
		p.under = append(p.under, underway{urn: key, text: p.style.Bold(e.Text), began: e.Time})
	case plan.Waiting:
		p.waiting(key, e)
	case plan.ResourceDone, plan.ResourceFailed, plan.StepDone, plan.GateFailed:
		p.under = slices.DeleteFunc(p.under, func(u underway) bool { return u.urn == key })
	}
	if line := Line(e, p.style); line != "" {
		p.print(line)
		return
	}
	p.redraw()
}

func (p *Progress) waiting(key string, e plan.Event) {
	for i := range p.under {
		if p.under[i].urn == key {
			p.under[i].waits = e.Text
		}
	}
	// Without a terminal a person still wants to know what takes so long: every five seconds.
	if !p.live && time.Since(p.saidAt[key]) > 5*time.Second {
		if !p.saidAt[key].IsZero() {
			fmt.Fprintf(p.w, "  … %s %s\n", e.Name, e.Text)
		}
		p.saidAt[key] = time.Now()
	}
}

// Line is an event as a line that stays, "" for one that does not.
func Line(e plan.Event, s Style) string {
	switch e.Kind {
	case plan.ResourceDone:
		return fmt.Sprintf("  %s %s  %s", Mark(e.Op, s), e.Name, s.Faint(short(e.Type)+", "+Duration(e.Elapsed)))
	case plan.ResourceFailed:
		return fmt.Sprintf("  %s %s  %s", s.Bad("✗"), e.Name, s.Faint(short(e.Type)+", "+Duration(e.Elapsed)))
	case plan.StepDone:
		return fmt.Sprintf("%s %s  %s", s.Good("✓"), e.Text, s.Faint(Duration(e.Elapsed)))
	case plan.GateFailed:
		return s.Bad("✗ ") + e.Text
	case plan.Found:
		return s.Warn("found: ") + e.Text
	case plan.Message:
		if e.Level == "info" {
			return "  " + e.Text
		}
		return "  " + s.Warn(e.Level+": ") + e.Text
	default:
		return ""
	}
}

func (p *Progress) print(line string) {
	if !p.live {
		fmt.Fprintln(p.w, line)
		return
	}
	p.erase()
	fmt.Fprintln(p.w, line)
	p.draw()
}

func (p *Progress) redraw() {
	if p.live {
		p.erase()
		p.draw()
	}
}

// erase goes back to where the live part begins and clears from there.
func (p *Progress) erase() {
	if p.drawn > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.drawn)
	}
	p.drawn = 0
}

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

func (p *Progress) draw() {
	var b strings.Builder
	for _, l := range p.lines(time.Now()) {
		if p.style.Width > 0 {
			l = ansi.Truncate(l, p.style.Width-1, "…")
		}
		b.WriteString(l + "\n")
		p.drawn++
	}
	fmt.Fprint(p.w, b.String())
}

func (p *Progress) lines(now time.Time) []string {
	var ls []string
	for _, u := range p.under {
		l := fmt.Sprintf("%c %s  %s", spinner[p.beat%len(spinner)], u.text, p.style.Faint(Duration(now.Sub(u.began).Truncate(100*time.Millisecond))))
		if u.waits != "" {
			l += "  " + p.style.Faint(u.waits)
		}
		ls = append(ls, l)
	}
	return ls
}
