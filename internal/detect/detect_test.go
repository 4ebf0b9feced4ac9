package detect

import (
	"testing"
	"testing/fstest"
)

func files(m map[string]string) fstest.MapFS {
	fs := fstest.MapFS{}
	for k, v := range m {
		fs[k] = &fstest.MapFile{Data: []byte(v)}
	}
	return fs
}

func TestProject(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  Guess
	}{
		"go": {map[string]string{"go.mod": "module x\nrequire github.com/jackc/pgx/v5 v5.0.0", "main.go": "package main\nos.Getenv(\"PORT\")"},
			Guess{Language: "Go", Why: "go.mod", Command: "go run .", Database: true}},
		"go with cmd": {map[string]string{"go.mod": "module x", "x.go": "package x", "cmd/server/main.go": "package main"},
			Guess{Language: "Go", Why: "go.mod", Command: "go run ./cmd/server"}},
		"node with a port of its own": {map[string]string{"package.json": `{"scripts":{"start":"node ."},"dependencies":{"pg":"8"}}`, "index.js": "app.listen(3000)"},
			Guess{Language: "Node", Why: "package.json", Command: "npm start", Database: true, Port: 3000}},
		"django": {map[string]string{"manage.py": "import django", "shop/settings.py": "WSGI_APPLICATION = 'shop.wsgi.application'\nos.environ['DATABASE_URL']\nSTATIC_ROOT = BASE / 'static'"},
			Guess{Language: "Python", Why: "manage.py", Command: "gunicorn --bind $HOST:$PORT shop.wsgi", Migrate: "python3 manage.py migrate --noinput", Route: "/static", Static: "static", Database: true}},
		"flask": {map[string]string{"app.py": "app = Flask(__name__)"},
			Guess{Language: "Python", Why: "app.py", Command: "flask --app app run --host $HOST --port $PORT"}},
		"rails": {map[string]string{"Gemfile": `gem "rails"` + "\n" + `gem "pg"`, "config/application.rb": ""},
			Guess{Language: "Ruby", Why: "config/application.rb", Command: "bundle exec rails server -b $HOST -p $PORT", Migrate: "bundle exec rails db:migrate", Health: "/up", Static: "public", Route: "/assets", Database: true}},
		"procfile first": {map[string]string{"Procfile": "web: ./run --port $PORT\nrelease: ./migrate\n", "go.mod": "module x"},
			Guess{Why: "Procfile", Command: "./run --port $PORT", Migrate: "./migrate"}},
		"nothing": {map[string]string{"README.md": ""}, Guess{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Project(files(c.files)); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
