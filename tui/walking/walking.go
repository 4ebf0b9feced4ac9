// Package walking is the screen of a walk under way: what is done, what is
// waited for and for how long.
package walking

import (
	"strings"
	"time"

	"charm.land/bubbles/v2/key"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
)

// Keys are what the screen listens to.
var Keys = struct{ Stop key.Binding }{
	Stop: key.NewBinding(key.WithKeys("ctrl+c"), key.WithHelp("ctrl+c", "finish what has begun and stop; twice: at once")),
}

// Model is the screen's state.
type Model struct {
	Title    string
	Stopping bool
	track    view.Track
	done     []string
	beat     int
	now      time.Time
}

// New starts with nothing under way.
func New(title string, now time.Time) Model { return Model{Title: title, now: now} }

// Event takes one event in.
func (m Model) Event(e plan.Event, s view.Style) Model {
	m.track.Event(e)
	if l := view.Line(e, s); l != "" {
		m.done = append(m.done, l)
	}
	return m
}

// Tick lets time pass.
func (m Model) Tick(now time.Time) Model {
	m.now, m.beat = now, m.beat+1
	return m
}

// View draws the screen: as much of what is done as there is room for.
func (m Model) View(s view.Style, height int) string {
	under := m.track.Lines(m.now, m.beat, s)
	room := max(3, height-len(under)-3)
	done := m.done[max(0, len(m.done)-room):]
	lines := append([]string{s.Bold(m.Title), ""}, done...)
	lines = append(lines, under...)
	if m.Stopping {
		lines = append(lines, s.Warn("stopping: what has begun is finished first"))
	}
	return strings.Join(lines, "\n") + "\n"
}

// Help are the keys of the screen.
func (m Model) Help() []key.Binding { return []key.Binding{Keys.Stop} }
