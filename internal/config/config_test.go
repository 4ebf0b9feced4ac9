package config

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseFillsDefaults(t *testing.T) {
	f, err := Parse("scale.yaml", []byte("name: shop\nservices:\n  web: {command: ./serve --fast 'two words'}\ndatabase: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.App("")
	if err != nil {
		t.Fatal(err)
	}
	s := a.Services[0]
	if a.Env != "dev" || a.Target != "local" || a.Regions[0] != "us-east-1" || a.Database.Size != "small" ||
		s.Health != "/" || s.Instances != 0 || s.StartTimeout != 60 || len(s.Command) != 3 || s.Command[2] != "two words" {
		t.Fatalf("%+v", a)
	}
}

func TestCommands(t *testing.T) {
	for in, want := range map[string]string{
		"./serve":                 "./serve",
		"gunicorn -b $HOST:$PORT": "sh|-c|gunicorn -b $HOST:$PORT",
		"a | b":                   "sh|-c|a | b",
		"NAME=x ./serve":          "sh|-c|NAME=x ./serve",
		`serve "a b" c\ d`:        "serve|a b|c d",
		"serve --name=x":          "serve|--name=x",
	} {
		if got, err := SplitCommand(in); err != nil || strings.Join(got, "|") != want {
			t.Errorf("%s: got %q %v, want %q", in, strings.Join(got, "|"), err, want)
		}
	}
	if _, err := SplitCommand("serve 'open"); err == nil {
		t.Error("an open quote was taken")
	}
}

func TestProblemsAreAllToldInOrder(t *testing.T) {
	_, err := Parse("scale.yaml", []byte("nam: x\nservices:\n  web:\n    comand: ./x\n    instances: [1]\n"))
	var p *Problem
	if !errors.As(err, &p) || p.Line != 1 {
		t.Fatalf("first problem: %v", err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 3 || !strings.Contains(lines[1], "scale.yaml:4:5: services.web.comand") {
		t.Fatalf("%q", lines)
	}
}

func TestWindow(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse("Mon 2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ window, now, want string }{
		{"Sun 03:00-05:00 UTC", "Fri 2026-11-20 12:00", "Sun 2026-11-22 03:00"},
		{"Sun 03:00-05:00 UTC", "Sun 2026-11-22 04:00", "Sun 2026-11-22 04:00"},
		{"Sun 03:00-05:00 UTC", "Sun 2026-11-22 05:00", "Sun 2026-11-29 03:00"},
		{"Mon-Fri 02:00-04:00 UTC", "Fri 2026-11-20 12:00", "Mon 2026-11-23 02:00"},
		{"Sat,Sun 02:00-04:00 UTC", "Sat 2026-11-21 04:30", "Sun 2026-11-22 02:00"},
		{"Fri-Mon 02:00-04:00 UTC", "Tue 2026-11-24 04:30", "Fri 2026-11-27 02:00"},
		{"daily 23:30-01:00 UTC", "Sat 2026-11-21 00:30", "Sat 2026-11-21 00:30"},
		{"Fri 23:30-01:00 UTC", "Sat 2026-11-21 00:30", "Sat 2026-11-21 00:30"},
		{"23:30-01:00 UTC", "Sat 2026-11-21 01:00", "Sat 2026-11-21 23:30"},
		{"", "Sat 2026-11-21 01:00", "Sat 2026-11-21 01:00"},
	} {
		w, err := ParseWindow(c.window)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Next(at(c.now)); !got.Equal(at(c.want)) {
			t.Errorf("%q at %s: got %s, want %s", c.window, c.now, got.Format("Mon 2006-01-02 15:04"), c.want)
		}
	}
	for _, bad := range []string{"Sun", "Sun 3-5", "Someday 03:00-05:00", "03:00-03:00", "03:00", "03:00-05:00 Nowhere/City", "25:00-26:00"} {
		if _, err := ParseWindow(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestAt(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"13:30": "2026-11-20T13:30:00Z", "03:00": "2026-11-21T03:00:00Z", "2026-12-01 03:30": "2026-12-01T03:30:00Z",
		"2026-12-01T03:30:00+02:00": "2026-12-01T03:30:00+02:00",
	} {
		if got, err := ParseAt(in, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: got %s %v, want %s", in, got.Format(time.RFC3339), err, want)
		}
	}
}

func TestRegionCodesAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, r := range Regions {
		c := RegionCode(r)
		if was := seen[c]; was != "" {
			t.Errorf("%s and %s are both %s", was, r, c)
		}
		seen[c] = r
	}
	if c := RegionCode("ap-southeast-2"); c != "apse2" {
		t.Errorf("ap-southeast-2 is %s", c)
	}
}

func TestSchemaKnowsEveryKey(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties           map[string]any
		Required             []string
		AdditionalProperties any
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"name", "services", "static", "database", "regions", "maintenance", "environments"} {
		if s.Properties[k] == nil {
			t.Errorf("the schema lacks %s", k)
		}
	}
	if s.AdditionalProperties != false || len(s.Required) != 2 {
		t.Errorf("required %v, additional %v", s.Required, s.AdditionalProperties)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("name: shop\nservices: {web: {command: x}}\n")
	f.Add("a: &x [*x]\n")
	f.Add("services: {web: {command: [a, {b: c}]}}")
	f.Fuzz(func(_ *testing.T, s string) {
		file, err := Parse("scale.yaml", []byte(s))
		if err == nil {
			_, _ = file.App("") // must not panic either
		}
	})
}

// Every part of the application is told of the services of others; what it says itself counts.
func TestExternalServices(t *testing.T) {
	f, err := Parse("scale.yaml", []byte("name: shop\nqueue: true\nservices:\n  web: {command: ./serve, env: {MAIL_URL: 'smtp://other'}}\n  api: {command: ./api, routes: [/api]}\nworkers:\n  mailer: {command: ./mail, secrets: [KEY]}\nexternal:\n  mail: {url: 'smtp://mail.example.com:587', secret: MAIL_PASSWORD}\n"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.App("")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range a.Runs() {
		want := "smtp://mail.example.com:587"
		if s.Name == "web" {
			want = "smtp://other"
		}
		if s.Env["MAIL_URL"] != want || s.Secrets[len(s.Secrets)-1] != "MAIL_PASSWORD" {
			t.Errorf("%s gets %v and %v", s.Name, s.Env, s.Secrets)
		}
	}
	for yaml, says := range map[string]string{
		"{url: 'smtp://me:secret@mail.example.com'}": "holds a password",
		"{url: mail}": "is not the address of a service",
		"{secret: X}": "is missing",
		"{url: 'smtp://mail.example.com', secret: 'DATABASE_URL'}": "is set by the environment itself",
	} {
		if _, err := Parse("scale.yaml", []byte("name: shop\nservices:\n  web: {command: ./serve}\nexternal:\n  mail: "+yaml+"\n")); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", yaml, err)
		}
	}
	if _, err := Parse("scale.yaml", []byte("name: shop\nservices:\n  web: {command: ./serve}\nexternal:\n  database: {url: 'postgres://x'}\n")); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("a service of others took DATABASE_URL: %v", err)
	}
}
