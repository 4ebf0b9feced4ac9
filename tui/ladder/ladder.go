// Package ladder is the screen of the levels: what each is and adds, and where
// the environment stands.
package ladder

import (
	"fmt"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/viewport"
	tea "charm.land/bubbletea/v2"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/levels"
)

// Keys are what the screen listens to.
var Keys = struct{ Up, Down, Choose, TakeDown, Explain, Refresh, Scroll, Close key.Binding }{
	Up:       key.NewBinding(key.WithKeys("up", "k"), key.WithHelp("↑", "up")),
	Down:     key.NewBinding(key.WithKeys("down", "j"), key.WithHelp("↓", "down")),
	Choose:   key.NewBinding(key.WithKeys("enter"), key.WithHelp("enter", "plan this level")),
	TakeDown: key.NewBinding(key.WithKeys("d"), key.WithHelp("d", "plan taking it down")),
	Explain:  key.NewBinding(key.WithKeys("e"), key.WithHelp("e", "explain")),
	Refresh:  key.NewBinding(key.WithKeys("r"), key.WithHelp("r", "look again")),
	Scroll:   key.NewBinding(key.WithKeys("up", "down"), key.WithHelp("↑↓", "scroll")),
	Close:    key.NewBinding(key.WithKeys("esc"), key.WithHelp("esc", "back to the levels")),
}

// Plan asks for the plan of going to a level; 0 is down.
type Plan struct{ Level int }

// Refresh asks to look again at how the environment stands.
type Refresh struct{}

// Model is the screen's state.
type Model struct {
	Levels []levels.Level
	Status plan.Status
	Now    time.Time // of the status
	Note   string    // what the last key could not do, and why
	cursor int
	detail bool // the level is explained, in text
	text   viewport.Model
}

// New starts at the level that stands.
func New(ls []levels.Level) Model { return Model{Levels: ls, text: viewport.New()} }

// Stand takes a fresh status in.
func (m Model) Stand(s plan.Status, now time.Time) Model {
	m.Status, m.Now = s, now
	return m
}

// Update answers a key.
func (m Model) Update(msg tea.KeyPressMsg) (Model, tea.Cmd) {
	m.Note = ""
	if m.detail {
		return m.read(msg)
	}
	switch {
	case key.Matches(msg, Keys.Up):
		m.cursor = max(0, m.cursor-1)
	case key.Matches(msg, Keys.Down):
		m.cursor = min(len(m.Levels)-1, m.cursor+1)
	case key.Matches(msg, Keys.Explain):
		m.detail = true
		m.text.GotoTop()
	case key.Matches(msg, Keys.Refresh):
		return m, send(Refresh{})
	case key.Matches(msg, Keys.TakeDown):
		if m.Status.State == "absent" || m.Status.State == "down" {
			m.Note = "nothing stands that could be taken down"
			return m, nil
		}
		return m, send(Plan{0})
	case key.Matches(msg, Keys.Choose):
		l := m.Levels[m.cursor]
		if !l.On(m.target()) {
			m.Note = fmt.Sprintf("this version cannot build level %d (%s) on %s", l.Number, l.Name, m.target())
			return m, nil
		}
		return m, send(Plan{l.Number})
	}
	return m, nil
}

// target is where the environment stands or would.
func (m Model) target() string {
	if m.Status.Target == "" {
		return "local"
	}
	return m.Status.Target
}

// read scrolls through the explanation until it is closed.
func (m Model) read(msg tea.KeyPressMsg) (Model, tea.Cmd) {
	if key.Matches(msg, Keys.Explain) || key.Matches(msg, Keys.Close) {
		m.detail = false
		return m, nil
	}
	var cmd tea.Cmd
	m.text, cmd = m.text.Update(msg)
	return m, cmd
}

// Resize takes the space of the screen in.
func (m Model) Resize(s view.Style, width, height int) Model {
	m.text.SetWidth(width)
	m.text.SetHeight(height)
	return m.explain(s)
}

// explain fills the text of the chosen level in.
func (m Model) explain(s view.Style) Model {
	var b strings.Builder
	view.LevelText(&b, m.Levels[m.cursor], s)
	m.text.SetContent(b.String())
	return m
}

func send(msg tea.Msg) tea.Cmd { return func() tea.Msg { return msg } }

// View draws the screen.
func (m Model) View(s view.Style) string {
	if m.detail {
		return m.explain(s).text.View()
	}
	var b strings.Builder
	view.StatusText(&b, m.Status, s, m.Now)
	b.WriteByte('\n')
	for i, l := range m.Levels {
		b.WriteString(m.line(i, l, s) + "\n")
	}
	b.WriteByte('\n')
	l := m.Levels[m.cursor]
	b.WriteString(l.Summary + "\n" + s.Faint("adds "+strings.Join(l.Adds, ", ")) + "\n")
	if m.Note != "" {
		b.WriteString("\n" + s.Warn(m.Note) + "\n")
	}
	return b.String()
}

func (m Model) line(i int, l levels.Level, s view.Style) string {
	mark := "  "
	if i == m.cursor {
		mark = s.Accent("› ")
	}
	text := fmt.Sprintf("%d  %s", l.Number, l.Name)
	switch {
	case i == m.cursor:
		text = s.Bold(text)
	case !l.On(m.target()):
		text = s.Faint(text)
	}
	if l.Number == m.Status.Level && m.Status.State != "absent" && m.Status.State != "down" {
		text += s.Good("  ● stands")
	}
	if !l.On(m.target()) {
		text += s.Faint("  not on " + m.target() + " yet")
	}
	return mark + text
}

// Help are the keys of the screen.
func (m Model) Help() []key.Binding {
	if m.detail {
		return []key.Binding{Keys.Scroll, Keys.Close}
	}
	return []key.Binding{Keys.Up, Keys.Down, Keys.Choose, Keys.TakeDown, Keys.Explain, Keys.Refresh}
}
