// Package detect guesses how a project is started, from the files that its
// framework leaves. It reads the files that it is handed and runs nothing.
package detect

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Guess is what was found out about a project; empty fields were not.
type Guess struct {
	Language string
	Why      string // the file that it follows from
	Command  string
	Migrate  string
	Health   string
	Static   string // directory of static files
	Route    string // where those are found
	Database bool
	// Port is the one that the program listens on by itself, whatever PORT says; 0
	// when it seems to read PORT.
	Port int
}

// Project looks at the files of a directory.
func Project(dir fs.FS) Guess {
	for _, look := range []func(fs.FS) (Guess, bool){procfile, golang, node, django, python, rails, ruby} {
		if g, ok := look(dir); ok {
			g.Port = ownPort(dir, g.Language)
			return g
		}
	}
	return Guess{}
}

func read(dir fs.FS, name string) (string, bool) {
	b, err := fs.ReadFile(dir, name)
	return string(b), err == nil
}

// procfile is what Heroku and its successors read: the web line says it all.
func procfile(dir fs.FS) (Guess, bool) {
	text, ok := read(dir, "Procfile")
	if !ok {
		return Guess{}, false
	}
	g := Guess{Why: "Procfile"}
	for line := range strings.Lines(text) {
		name, command, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "web":
			g.Command = strings.TrimSpace(command)
		case "release":
			g.Migrate = strings.TrimSpace(command)
		}
	}
	return g, g.Command != ""
}

func golang(dir fs.FS) (Guess, bool) {
	mod, ok := read(dir, "go.mod")
	if !ok {
		return Guess{}, false
	}
	g := Guess{Language: "Go", Why: "go.mod", Command: "go run .", Database: strings.Contains(mod, "jackc/pgx") || strings.Contains(mod, "lib/pq")}
	if mains, err := fs.Glob(dir, "*.go"); err == nil && !holdsMain(dir, mains) {
		if cmds, err := fs.Glob(dir, "cmd/*/main.go"); err == nil && len(cmds) > 0 {
			g.Command = "go run ./" + path.Dir(cmds[0])
		}
	}
	return g, true
}

func holdsMain(dir fs.FS, files []string) bool {
	return slices.ContainsFunc(files, func(f string) bool {
		text, _ := read(dir, f)
		return strings.Contains(text, "package main")
	})
}

func node(dir fs.FS) (Guess, bool) {
	text, ok := read(dir, "package.json")
	if !ok {
		return Guess{}, false
	}
	var p struct {
		Main         string
		Scripts      map[string]string
		Dependencies map[string]string
	}
	if json.Unmarshal([]byte(text), &p) != nil {
		return Guess{}, false
	}
	g := Guess{Language: "Node", Why: "package.json", Command: "node " + p.Main}
	if _, ok := p.Scripts["start"]; ok {
		g.Command = "npm start"
	} else if p.Main == "" {
		g.Command = ""
		for _, f := range []string{"server.js", "index.js", "app.js"} {
			if _, ok := read(dir, f); ok {
				g.Command = "node " + f
				break
			}
		}
	}
	_, g.Database = p.Dependencies["pg"]
	return g, true
}

var wsgi = regexp.MustCompile(`WSGI_APPLICATION\s*=\s*["']([\w.]+)\.application["']`)

func django(dir fs.FS) (Guess, bool) {
	manage, ok := read(dir, "manage.py")
	if !ok || !strings.Contains(manage, "django") {
		return Guess{}, false
	}
	g := Guess{Language: "Python", Why: "manage.py", Command: "python3 manage.py runserver --noreload $HOST:$PORT",
		Migrate: "python3 manage.py migrate --noinput", Route: "/static"}
	settings, err := fs.Glob(dir, "*/settings.py")
	if err != nil || len(settings) == 0 {
		return g, true
	}
	text, _ := read(dir, settings[0])
	if m := wsgi.FindStringSubmatch(text); m != nil {
		g.Command = "gunicorn --bind $HOST:$PORT " + m[1]
	}
	g.Database = strings.Contains(text, "postgresql") || strings.Contains(text, "DATABASE_URL")
	if m := regexp.MustCompile(`STATIC_ROOT\s*=.*?["']([\w/-]+)["']`).FindStringSubmatch(text); m != nil {
		g.Static = m[1]
	}
	return g, true
}

func python(dir fs.FS) (Guess, bool) {
	for _, f := range []string{"app.py", "main.py", "wsgi.py"} {
		text, ok := read(dir, f)
		if !ok {
			continue
		}
		g := Guess{Language: "Python", Why: f, Command: "python3 " + f}
		module := strings.TrimSuffix(f, ".py")
		switch {
		case strings.Contains(text, "FastAPI("):
			g.Command = fmt.Sprintf("uvicorn %s:app --host $HOST --port $PORT", module)
		case strings.Contains(text, "Flask("):
			g.Command = fmt.Sprintf("flask --app %s run --host $HOST --port $PORT", module)
		}
		g.Database = strings.Contains(text, "psycopg") || strings.Contains(text, "DATABASE_URL")
		return g, true
	}
	return Guess{}, false
}

func rails(dir fs.FS) (Guess, bool) {
	gems, ok := read(dir, "Gemfile")
	if _, has := read(dir, "config/application.rb"); !ok || !has {
		return Guess{}, false
	}
	return Guess{Language: "Ruby", Why: "config/application.rb", Command: "bundle exec rails server -b $HOST -p $PORT",
		Migrate: "bundle exec rails db:migrate", Health: "/up", Static: "public", Route: "/assets",
		Database: strings.Contains(gems, `"pg"`) || strings.Contains(gems, "'pg'")}, true
}

func ruby(dir fs.FS) (Guess, bool) {
	gems, ok := read(dir, "Gemfile")
	if _, has := read(dir, "config.ru"); !ok || !has {
		return Guess{}, false
	}
	g := Guess{Language: "Ruby", Why: "config.ru", Command: "bundle exec rackup --host $HOST --port $PORT",
		Database: strings.Contains(gems, `"pg"`) || strings.Contains(gems, "'pg'")}
	if strings.Contains(gems, "puma") {
		g.Command = "bundle exec puma -b tcp://$HOST:$PORT"
	}
	return g, true
}

var (
	sources  = map[string][]string{"Go": {"*.go", "cmd/*/*.go"}, "Node": {"*.js", "src/*.js", "*.ts", "src/*.ts", "*.mjs"}, "Python": {"*.py"}, "Ruby": {"*.rb", "config.ru", "config/puma.rb"}}
	listens  = regexp.MustCompile(`(?:listen\(\s*|ListenAndServe\(\s*["'][\w.]*:|port\s*[:=]\s*|Addr:\s*["'][\w.]*:)(\d{2,5})\b`)
	readPort = regexp.MustCompile(`\bPORT\b`)
)

// ownPort is the port in the sources of a program that never mentions PORT.
func ownPort(dir fs.FS, language string) int {
	found := 0
	for _, pattern := range sources[language] {
		files, err := fs.Glob(dir, pattern)
		if err != nil {
			continue
		}
		for _, f := range files {
			text, _ := read(dir, f)
			if readPort.MatchString(text) {
				return 0
			}
			if m := listens.FindStringSubmatch(text); m != nil && found == 0 {
				_, _ = fmt.Sscan(m[1], &found) // digits only
			}
		}
	}
	return found
}
