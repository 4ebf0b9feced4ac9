// Package planned is the screen of a plan: what it does, and yes or no.
package planned

import (
	"strings"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/viewport"
	tea "charm.land/bubbletea/v2"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
)

// Keys are what the screen listens to.
var Keys = struct{ Yes, Back, Scroll key.Binding }{
	Yes:    key.NewBinding(key.WithKeys("y"), key.WithHelp("y", "yes, go on")),
	Back:   key.NewBinding(key.WithKeys("esc", "n", "backspace"), key.WithHelp("esc", "back, change nothing")),
	Scroll: key.NewBinding(key.WithKeys("up", "down"), key.WithHelp("↑↓", "scroll")),
}

// Approve says that the plan is to be taken.
type Approve struct{}

// Back says that it is not.
type Back struct{}

// Model is the screen's state.
type Model struct {
	Plan plan.Plan
	Note string
	view viewport.Model
}

// New shows a plan in a space of so many columns and lines.
func New(p plan.Plan, s view.Style, width, height int) Model {
	m := Model{Plan: p, view: viewport.New(viewport.WithWidth(width), viewport.WithHeight(height))}
	var b strings.Builder
	view.PlanText(&b, p, s)
	m.view.SetContent(b.String())
	return m
}

// Update answers a key.
func (m Model) Update(msg tea.KeyPressMsg) (Model, tea.Cmd) {
	m.Note = ""
	switch {
	case key.Matches(msg, Keys.Back):
		return m, func() tea.Msg { return Back{} }
	case key.Matches(msg, Keys.Yes):
		switch {
		case m.Plan.Empty():
			m.Note = "there is nothing to do"
			return m, nil
		case len(m.Plan.Violations) > 0:
			m.Note = "refused: what would lose data must be named on the command line, with --allow-data-loss"
			return m, nil
		case m.Plan.Starts != nil:
			m.Note = "it may begin only " + m.Plan.Why + "; 'scale up' waits for that, 'scale up --now' does not"
			return m, nil
		}
		return m, func() tea.Msg { return Approve{} }
	}
	var cmd tea.Cmd
	m.view, cmd = m.view.Update(msg)
	return m, cmd
}

// Resize takes the space of the screen in.
func (m Model) Resize(width, height int) Model {
	m.view.SetWidth(width)
	m.view.SetHeight(height)
	return m
}

// View draws the screen.
func (m Model) View(s view.Style) string {
	text := m.view.View()
	if m.Note != "" {
		text += "\n" + s.Warn(m.Note)
	}
	return text
}

// Help are the keys of the screen.
func (m Model) Help() []key.Binding { return []key.Binding{Keys.Yes, Keys.Back, Keys.Scroll} }
