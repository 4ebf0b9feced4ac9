package tui

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
)

var update = flag.Bool("update", false, "accept what is seen now")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; 'make golden' accepts it\n--- got\n%s\n--- want\n%s", name, got, want)
	}
}

var at = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// script plays messages into the interface, running the commands that answer at once.
type script struct {
	t *testing.T
	m tea.Model
}

func play(t *testing.T, env Environment, width, height int) *script {
	s := &script{t, New(env, view.Style{})}
	s.say(tea.WindowSizeMsg{Width: width, Height: height})
	return s
}

func (s *script) say(msg tea.Msg) tea.Cmd {
	m, cmd := s.m.Update(msg)
	s.m = m
	return cmd
}

// press types a key and takes in what the screen answers with.
func (s *script) press(k string) tea.Cmd {
	key := tea.KeyPressMsg{Text: k, Code: []rune(k)[0]}
	switch k {
	case "enter":
		key = tea.KeyPressMsg{Code: tea.KeyEnter}
	case "down":
		key = tea.KeyPressMsg{Code: tea.KeyDown}
	case "esc":
		key = tea.KeyPressMsg{Code: tea.KeyEscape}
	}
	cmd := s.say(key)
	if cmd == nil {
		return nil
	}
	return s.say(cmd())
}

func (s *script) screen() string { return s.m.(Model).content() }

func environment() Environment {
	return Environment{
		Name: "shop/dev",
		Status: func(context.Context) (plan.Status, error) {
			return plan.Status{App: "shop", Env: "dev", Target: "local", State: "absent"}, nil
		},
		Plan: func(_ context.Context, level int) (plan.Plan, error) {
			return plan.Plan{App: "shop", Env: "dev", Target: "local", To: level, Steps: []plan.Step{{ID: "create", Title: "Make what is missing", Gate: "answers", Expect: 0.8,
				Changes: []plan.Change{{Name: "db-use1-g1", Node: "db-use1-g1", Type: "local:index:Postgres", Op: plan.Create, Data: plan.NoData}}}}}, nil
		},
		Outputs: func() (map[string]string, error) { return map[string]string{"url": "http://127.0.0.1:20000"}, nil },
		Hints:   func(error) []string { return []string{"look at the logs"} },
	}
}

func TestScreens(t *testing.T) {
	for _, size := range []struct{ w, h int }{{80, 24}, {120, 40}} {
		name := func(s string) string { return fmt.Sprintf("%s-%dx%d", s, size.w, size.h) }
		env := environment()
		s := play(t, env, size.w, size.h)
		golden(t, name("looking"), s.screen())
		st, _ := env.Status(context.Background())
		s.say(statusMsg{status: st, at: at})
		golden(t, name("ladder"), s.screen())
		s.press("e")
		golden(t, name("explain"), s.screen())
		s.press("e")
		for range 4 {
			s.press("down")
		}
		for range 4 {
			s.press("k")
		}
		plan1, _ := env.Plan(context.Background(), 1)
		s.press("enter")
		s.say(planMsg{plan: plan1})
		golden(t, name("plan"), s.screen())
		s.press("y")
		m := s.m.(Model)
		m.walk.Title, m.walk = "shop/dev: to level 1", m.walk.Tick(at)
		s.m = m
		s.say(eventMsg{Kind: plan.StepStarted, Text: "Make what is missing", Time: at})
		s.say(eventMsg{Kind: plan.ResourceStarted, URN: "u", Name: "db-use1-g1", Op: plan.Create, Time: at})
		s.say(eventMsg{Kind: plan.Waiting, URN: "u", Text: "waiting for db-use1-g1 to accept connections: no answer"})
		s.say(tickMsg(at.Add(1500 * time.Millisecond)))
		golden(t, name("walk"), s.screen())
		s.say(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
		if m := s.m.(Model); m.soft.Err() == nil || m.now.Err() != nil {
			t.Error("the first ctrl+c must end the walk gracefully")
		}
		golden(t, name("stopping"), s.screen())
		s.say(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
		if m := s.m.(Model); m.now.Err() == nil {
			t.Error("the second ctrl+c must end it at once")
		}
		s.say(walkedMsg{outputs: map[string]string{"url": "http://127.0.0.1:20000"}})
		golden(t, name("outcome"), s.screen())
		s.say(statusMsg{err: errors.New("the record is damaged")})
		golden(t, name("failure"), s.screen())
	}
}

// A plan that would lose data cannot be approved here.
func TestRefusedPlan(t *testing.T) {
	s := play(t, environment(), 80, 24)
	s.say(planMsg{plan: plan.Plan{Steps: []plan.Step{{Changes: []plan.Change{{Name: "x", Op: plan.Delete}}}}, Violations: []plan.Violation{{Rule: "G1", What: "x holds data"}}}})
	s.press("y")
	if got := s.screen(); !strings.Contains(got, "--allow-data-loss") || s.m.(Model).screen != onPlan {
		t.Errorf("%s", got)
	}
}
