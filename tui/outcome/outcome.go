// Package outcome is the screen after a walk: how it ended, and the outputs.
package outcome

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"github.com/scale-levels/scale/internal/view"
)

// Keys are what the screen listens to.
var Keys = struct{ Back key.Binding }{
	Back: key.NewBinding(key.WithKeys("enter", "esc"), key.WithHelp("enter", "back to the levels")),
}

// Back leaves the screen.
type Back struct{}

// Model is the screen's state.
type Model struct {
	Err     error
	Hints   []string
	Outputs map[string]string
}

// Update answers a key.
func (m Model) Update(msg tea.KeyPressMsg) (Model, tea.Cmd) {
	if key.Matches(msg, Keys.Back) {
		return m, func() tea.Msg { return Back{} }
	}
	return m, nil
}

// View draws the screen.
func (m Model) View(s view.Style) string {
	var b strings.Builder
	if m.Err != nil {
		fmt.Fprintf(&b, "%s\n%s\n", s.Bad("It did not work."), m.Err)
		for _, h := range m.Hints {
			fmt.Fprintf(&b, "%s %s\n", s.Accent("hint:"), h)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "%s\n\n", s.Good("Done."))
	for _, k := range slices.Sorted(maps.Keys(m.Outputs)) {
		fmt.Fprintf(&b, "%s  %s\n", s.Faint(k), s.Accent(m.Outputs[k]))
	}
	return b.String()
}

// Help are the keys of the screen.
func (m Model) Help() []key.Binding { return []key.Binding{Keys.Back} }
