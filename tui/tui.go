// Package tui is the terminal interface: a folder a screen, tied together here.
// It lets people choose a level, see the plan, say yes, watch, and read what
// came of it.
//
// It consumes plans, events and status, and knows no target and no engine.
package tui

import (
	"context"
	"fmt"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/tui/ladder"
	"github.com/scale-levels/scale/tui/outcome"
	"github.com/scale-levels/scale/tui/planned"
	"github.com/scale-levels/scale/tui/walking"
)

// Environment is what the interface works on; level 0 is down.
type Environment struct {
	Status  func(context.Context) (plan.Status, error)
	Plan    func(ctx context.Context, level int) (plan.Plan, error)
	Walk    func(ctx, now context.Context, level int, approved plan.Plan, sink plan.Sink) error
	Outputs func() (map[string]string, error)
	Hints   func(error) []string
	Name    string
}

type screen int

const (
	onLadder screen = iota
	onPlan
	onWalk
	onOutcome
)

// Model ties the screens together. All work is done in commands; Update only
// takes in what they say.
type Model struct {
	env    Environment
	style  view.Style
	events chan plan.Event

	screen        screen
	ladder        ladder.Model
	plan          planned.Model
	walk          walking.Model
	outcome       outcome.Model
	busy          string // what is waited for before a screen can be shown
	level         int    // that was chosen
	width, height int

	soft, now             context.Context // of the walk
	cancelSoft, cancelNow context.CancelFunc
}

// The messages of the commands.
type (
	statusMsg struct {
		status plan.Status
		at     time.Time
		err    error
	}
	planMsg struct {
		plan plan.Plan
		err  error
	}
	eventMsg  plan.Event
	walkedMsg struct {
		outputs map[string]string
		err     error
	}
	tickMsg time.Time
)

// New is the interface on an environment.
func New(env Environment, style view.Style) Model {
	m := Model{env: env, style: style, events: make(chan plan.Event, 256), ladder: ladder.New(levels.All()), busy: "looking at " + env.Name, width: 80, height: 24}
	m.style.Width = m.width
	return m
}

// Run shows the interface until it is left.
func Run(ctx context.Context, env Environment, style view.Style) error {
	_, err := tea.NewProgram(New(env, style), tea.WithContext(ctx)).Run()
	return err
}

// Init looks at the environment.
func (m Model) Init() tea.Cmd { return m.look }

func (m Model) look() tea.Msg {
	st, err := m.env.Status(context.Background())
	return statusMsg{st, time.Now(), err}
}

func (m Model) makePlan(level int) tea.Cmd {
	return func() tea.Msg {
		p, err := m.env.Plan(context.Background(), level)
		return planMsg{p, err}
	}
}

// start walks; its events arrive through the channel, and its end as a message.
func (m Model) start(level int, p plan.Plan) tea.Cmd {
	return func() tea.Msg {
		err := m.env.Walk(m.soft, m.now, level, p, func(e plan.Event) { m.events <- e })
		if err != nil {
			return walkedMsg{nil, err}
		}
		out, err := m.env.Outputs()
		return walkedMsg{out, err}
	}
}

func (m Model) nextEvent() tea.Msg { return eventMsg(<-m.events) }

func tick() tea.Cmd {
	return tea.Tick(100*time.Millisecond, func(t time.Time) tea.Msg { return tickMsg(t) })
}

// Update takes one message in.
func (m Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height, m.style.Width = msg.Width, msg.Height, msg.Width
		m.plan, m.ladder = m.plan.Resize(m.width, m.room()), m.ladder.Resize(m.style, m.width, m.room())
		return m, nil
	case tea.KeyPressMsg:
		return m.press(msg)
	case statusMsg:
		m.busy = ""
		if msg.err != nil {
			return m.failed(msg.err), nil
		}
		m.ladder = m.ladder.Stand(msg.status, msg.at)
		return m, nil
	case ladder.Plan:
		m.level, m.busy = msg.Level, "planning"
		return m, m.makePlan(msg.Level)
	case ladder.Refresh, outcome.Back, planned.Back:
		m.screen = onLadder
		return m, m.look
	case planMsg:
		m.busy = ""
		if msg.err != nil {
			return m.failed(msg.err), nil
		}
		m.screen, m.plan = onPlan, planned.New(msg.plan, m.style, m.width, m.room())
		return m, nil
	case planned.Approve:
		return m.begin()
	case eventMsg:
		m.walk = m.walk.Event(plan.Event(msg), m.style)
		return m, m.nextEvent
	case tickMsg:
		if m.screen != onWalk {
			return m, nil
		}
		m.walk = m.walk.Tick(time.Time(msg))
		return m, tick()
	case walkedMsg:
		m.cancelSoft()
		m.cancelNow()
		if msg.err != nil {
			return m.failed(msg.err), nil
		}
		m.screen, m.outcome = onOutcome, outcome.Model{Outputs: msg.outputs}
		return m, nil
	}
	return m, nil
}

func (m Model) begin() (tea.Model, tea.Cmd) {
	m.soft, m.cancelSoft = context.WithCancel(context.Background())
	m.now, m.cancelNow = context.WithCancel(context.Background())
	title := fmt.Sprintf("%s: to level %d", m.env.Name, m.level)
	if m.level == 0 {
		title = m.env.Name + ": down"
	}
	m.screen, m.walk = onWalk, walking.New(title, time.Now())
	return m, tea.Batch(m.start(m.level, m.plan.Plan), m.nextEvent, tick())
}

func (m Model) failed(err error) Model {
	m.screen, m.outcome = onOutcome, outcome.Model{Err: err, Hints: m.env.Hints(err)}
	return m
}

var quit = key.NewBinding(key.WithKeys("q", "ctrl+c"), key.WithHelp("q", "quit"))

func (m Model) press(msg tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	if m.screen == onWalk {
		if key.Matches(msg, walking.Keys.Stop) {
			if m.walk.Stopping {
				m.cancelNow()
			}
			m.cancelSoft()
			m.walk.Stopping = true
		}
		return m, nil // the walk is not left behind
	}
	if key.Matches(msg, quit) {
		return m, tea.Quit
	}
	if m.busy != "" {
		return m, nil
	}
	var cmd tea.Cmd
	switch m.screen {
	case onLadder:
		m.ladder, cmd = m.ladder.Update(msg)
	case onPlan:
		m.plan, cmd = m.plan.Update(msg)
	case onOutcome:
		m.outcome, cmd = m.outcome.Update(msg)
	}
	return m, cmd
}

// room is how many lines a screen has above the help, which may take two.
func (m Model) room() int { return max(5, m.height-4) }

// View draws the screen that is shown.
func (m Model) View() tea.View {
	v := tea.NewView(m.content())
	v.AltScreen = true
	v.WindowTitle = "scale " + m.env.Name
	return v
}

func (m Model) content() string {
	body, keys := "", []key.Binding{}
	switch {
	case m.busy != "":
		body = m.style.Faint(m.busy + "…")
	case m.screen == onLadder:
		body, keys = m.ladder.View(m.style), m.ladder.Help()
	case m.screen == onPlan:
		body, keys = m.plan.View(m.style), m.plan.Help()
	case m.screen == onWalk:
		body, keys = m.walk.View(m.style, m.room()), m.walk.Help()
	case m.screen == onOutcome:
		body, keys = m.outcome.View(m.style), m.outcome.Help()
	}
	if m.screen != onWalk {
		keys = append(keys, quit)
	}
	return strings.TrimRight(body, "\n") + "\n\n" + help(keys, m.style)
}

// help lists the keys, on as many lines as the width asks for.
func help(keys []key.Binding, s view.Style) string {
	var b strings.Builder
	at := 0
	for i, k := range keys {
		n := len([]rune(k.Help().Key + " " + k.Help().Desc))
		switch {
		case i > 0 && at+3+n > s.Width:
			b.WriteString("\n")
			at = 0
		case i > 0:
			b.WriteString(s.Faint(" · "))
			at += 3
		}
		b.WriteString(k.Help().Key + " " + s.Faint(k.Help().Desc))
		at += n
	}
	return b.String()
}
