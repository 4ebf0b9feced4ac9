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

// Track follows events: what is under way, what each waits for, since when.
type Track struct{ under []underway }

type underway struct {
	key, name, text, waits string
	op                     plan.Op
	began                  time.Time
}

// key is what an event is about: a resource, or the step itself.
func key(e plan.Event) string {
	if e.URN == "" {
		return "step"
	}
	return e.URN
}

// Event takes one event in.
func (t *Track) Event(e plan.Event) {
	k := key(e)
	switch e.Kind {
	case plan.ResourceStarted, plan.StepStarted:
		t.under = append(t.under, underway{key: k, name: e.Name, text: e.Text, op: e.Op, began: e.Time})
	case plan.Waiting:
		for i := range t.under {
			if t.under[i].key == k {
				t.under[i].waits = e.Text
			}
		}
	case plan.ResourceDone, plan.ResourceFailed, plan.StepDone, plan.GateFailed:
		t.under = slices.DeleteFunc(t.under, func(u underway) bool { return u.key == k })
	}
}

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// Lines are what is under way at a moment; beat turns the spinner.
func (t *Track) Lines(now time.Time, beat int, s Style) []string {
	var ls []string
	for _, u := range t.under {
		text := s.Bold(u.text)
		if u.name != "" {
			text = Mark(u.op, s) + " " + u.name
		}
		l := fmt.Sprintf("%c %s  %s", spinner[beat%len(spinner)], text, s.Faint(Duration(now.Sub(u.began).Truncate(100*time.Millisecond))))
		if u.waits != "" {
			l += "  " + s.Faint(u.waits)
		}
		if s.Width > 0 {
			l = ansi.Truncate(l, s.Width-1, "…")
		}
		ls = append(ls, l)
	}
	return ls
}

// Progress writes events as they come. Without a terminal it is a line a
// change; on one, what is under way stands below the lines that are done, with
// what it waits for and for how long.
type Progress struct {
	w     io.Writer
	style Style
	live  bool

	mu      sync.Mutex
	track   Track
	drawn   int // lines of the live part
	stopped chan struct{}
	tick    *time.Ticker
	beat    int
	saidAt  map[string]time.Time // without a terminal: when each was last said to wait
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
	p.track = Track{}
	p.redraw()
}

// Event is a plan.Sink.
func (p *Progress) Event(e plan.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.track.Event(e)
	if e.Kind == plan.Waiting && !p.live {
		p.stillWaiting(e)
	}
	if line := Line(e, p.style); line != "" {
		p.print(line)
		return
	}
	p.redraw()
}

// stillWaiting tells, where nobody sees the live part, what takes so long: every
// five seconds.
func (p *Progress) stillWaiting(e plan.Event) {
	k := key(e)
	if time.Since(p.saidAt[k]) < 5*time.Second {
		return
	}
	if !p.saidAt[k].IsZero() {
		fmt.Fprintf(p.w, "  … %s %s\n", e.Name, e.Text)
	}
	p.saidAt[k] = time.Now()
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

func (p *Progress) draw() {
	lines := p.track.Lines(time.Now(), p.beat, p.style)
	p.drawn = len(lines)
	if len(lines) > 0 {
		fmt.Fprint(p.w, strings.Join(lines, "\n")+"\n")
	}
}
