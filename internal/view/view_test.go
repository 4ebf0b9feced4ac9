package view

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/levels"
)

var update = flag.Bool("update", false, "accept what is seen now")

// golden compares with testdata/NAME.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
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

var made = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// change is a plan with a bit of everything.
func change() plan.Plan {
	starts := time.Date(2026, 11, 22, 3, 0, 0, 0, time.Local)
	return plan.Plan{
		Kind: plan.PlanKind, Version: 1, App: "shop", Env: "prod", Target: "local", From: 1, To: 1, Made: made, Downtime: 1.4,
		Found:  []string{"an earlier 'scale up' to level 1 by host, pid 4711 ended in step 2 of 3"},
		Starts: &starts, Why: "when the maintenance window opens: Sun 03:00-05:00",
		Steps: []plan.Step{
			{ID: "close", Title: "Answer with the maintenance page", Gate: "closed", Closed: true, Expect: 0.2,
				Changes: []plan.Change{{Name: "entry-use1-g1", Node: "entry-use1-g1", Type: "local:index:Entry", Op: plan.Update,
					Diff: []plan.Property{{Path: "maintenance", After: "map"}}, Data: plan.NoData}}},
			{ID: "change", Title: "Change what stands behind the entry", Gate: "healthy", Closed: true, Expect: 1.2, Rehearse: true,
				Changes: []plan.Change{
					{Name: "db-use1-g1-data", Node: "db-use1-g1", Type: "local:index:DataDirectory", Op: plan.Replace,
						Diff: []plan.Property{{Path: "engine", Before: "postgres", After: "other", Replaces: true}}, Data: plan.Replaces},
					{Name: "web-use1-g1-1", Node: "web-use1-g1", Type: "local:index:Instance", Op: plan.Update,
						Diff: []plan.Property{{Path: "env.API_KEY", Before: "[secret]", After: "[secret]"}, {Path: "env.GREETING", Before: "hello", After: "a|b"}}, Data: plan.NoData},
					{Name: "web-use1-g1-2", Node: "web-use1-g1", Type: "local:index:Instance", Op: plan.Create, Data: plan.NoData},
					{Name: "web-use1-g1-3", Node: "web-use1-g1", Type: "local:index:Instance", Op: plan.Delete, Data: plan.NoData},
				}},
		},
		Violations: []plan.Violation{{Rule: "G1", Resource: "db-use1-g1-data", What: "db-use1-g1-data holds data and would be replaced because of engine"}},
	}
}

func TestPlan(t *testing.T) {
	var text, coloured, markdown, json bytes.Buffer
	PlanText(&text, change(), Style{})
	golden(t, "plan.txt", text.String())
	PlanText(&coloured, change(), Style{Color: true})
	golden(t, "plan-colour.txt", coloured.String())
	if strip(coloured.String()) != text.String() {
		t.Error("colour changes more than colour")
	}
	PlanMarkdown(&markdown, change())
	golden(t, "plan.md", markdown.String())
	p := change()
	p.Starts = nil // its time zone is this machine's
	if err := PlanJSON(&json, p); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", json.String())
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	worst := "Data: replaced, and what is in it is lost: db-use1-g1-data."
	if lines[2] != worst || !strings.HasSuffix(lines[len(lines)-1], worst) {
		t.Error("the worst change is not the first and the last thing that is said")
	}
}

func strip(s string) string {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return s
		}
		s = s[:i] + s[i+strings.IndexByte(s[i:], 'm')+1:]
	}
}

func TestNoChanges(t *testing.T) {
	var text, markdown bytes.Buffer
	p := plan.Plan{App: "shop", Env: "dev", Target: "local", From: 1, To: 1}
	PlanText(&text, p, Style{})
	PlanMarkdown(&markdown, p)
	golden(t, "empty.txt", text.String()+markdown.String())
}

func TestStatus(t *testing.T) {
	since := made.Add(-90 * time.Second)
	var b bytes.Buffer
	StatusText(&b, plan.Status{App: "shop", Env: "dev", Target: "local", Level: 1, State: "degraded", URL: "http://127.0.0.1:20000",
		Walk: "up to level 1, step 2 of 3 (Change what stands behind the entry)", Lock: `"scale up" (pid 1 on host)`, Supervisor: "agent, pid 7",
		Components: []plan.Component{
			{Name: "db-use1-g1", Kind: "database", State: "running", Healthy: true, Address: "127.0.0.1:20001", PID: 8, Since: &since},
			{Name: "web-use1-g1-1", Kind: "backend", State: "restarting", Address: "127.0.0.1:20002", Restarts: 3, Detail: "ended with exit status 1"},
		}, Data: []plan.DataPlace{{Name: "db-use1-g1-data", Place: "/data", Bytes: 47_000_000}}}, Style{}, made)
	StatusText(&b, plan.Status{App: "shop", Env: "dev", Target: "local", State: "absent"}, Style{}, made)
	StatusText(&b, plan.Status{App: "shop", Env: "dev", Target: "local", State: "down", Data: []plan.DataPlace{{Name: "db", Place: "/data", Bytes: 900}}}, Style{}, made)
	golden(t, "status.txt", b.String())
}

func TestLevels(t *testing.T) {
	var b bytes.Buffer
	LevelsText(&b, levels.All(), 1, Style{})
	for _, l := range levels.All() {
		LevelText(&b, l, Style{Width: 80})
	}
	golden(t, "levels.txt", b.String())
	for _, line := range strings.Split(b.String(), "\n")[3*len(levels.All()):] {
		if len([]rune(line)) > 80 {
			t.Errorf("a line of %d columns: %s", len([]rune(line)), line)
		}
	}
}

// Recorded events, as a terminal and as a file would show them.
func TestProgress(t *testing.T) {
	events := []plan.Event{
		{Kind: plan.Found, Text: "an earlier run ended in the middle of an update"},
		{Kind: plan.StepStarted, Text: "Make what is missing"},
		{Kind: plan.ResourceStarted, URN: "a", Name: "db-use1-g1", Type: "local:index:Postgres", Op: plan.Create},
		{Kind: plan.Waiting, URN: "a", Name: "db-use1-g1", Text: "waiting for db-use1-g1 to accept connections"},
		{Kind: plan.ResourceDone, URN: "a", Name: "db-use1-g1", Type: "local:index:Postgres", Op: plan.Create, Elapsed: 80 * time.Millisecond},
		{Kind: plan.ResourceFailed, URN: "b", Name: "web-use1-g1-1", Type: "local:index:Instance", Op: plan.Create, Elapsed: 1200 * time.Millisecond},
		{Kind: plan.Message, Level: "warning", Text: "going back"},
		{Kind: plan.GateFailed, Text: "web-use1-g1-1 is stopped"},
		{Kind: plan.StepDone, Text: "Make what is missing", Elapsed: 75 * time.Second},
	}
	var b bytes.Buffer
	p := NewProgress(&b, Style{}, false)
	for _, e := range events {
		p.Event(e)
	}
	p.Close()
	golden(t, "progress.txt", b.String())

	var track Track
	for _, e := range events[:4] {
		e.Time = made
		track.Event(e)
	}
	lines := track.Lines(made.Add(2*time.Second), 3, Style{Width: 60})
	if len(lines) != 2 || lines[0] != "⠸ Make what is missing  2.0 s" || len([]rune(lines[1])) > 60 || !strings.Contains(lines[1], "+ db-use1-g1  2.0 s  waiting for") {
		t.Errorf("under way: %q", lines)
	}
}
