//go:build unix

package cmd_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func room(t testing.TB, dir string) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

func sweepProcesses(dir string) {
	for _, pid := range mentioning(dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		if len(mentioning(dir)) == 0 {
			return
		}
		<-tick.C
	}
}

func TestTwoUpsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(strings.Replace(web, "health: /healthz", "health: /healthz\n    migrate: sh -c 'while [ ! -e go-on ]; do sleep 0.05; done'", 1))
	w.write("public/index.html", "x")
	w.write(".gitignore", "go-on\n")
	first := w.command("up", "--yes")
	var errs bytes.Buffer
	first.Stderr = &errs
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first holds the environment", func() bool {
		return strings.Contains(w.scale("lock", "status").out, "which lives")
	})
	second := w.must(6, "up", "--yes")
	if !strings.Contains(second.err, "pid "+itoa(first.Process.Pid)) || !strings.Contains(second.err, "--lock-timeout") {
		t.Errorf("the second does not name the first: %s", second)
	}
	if r := w.must(6, "lock", "release"); !strings.Contains(r.err, "pid "+itoa(first.Process.Pid)) {
		t.Errorf("a living holder's lock: %s", r)
	}
	if s := w.status(); s.State != "changing" || !strings.Contains(s.Lock, itoa(first.Process.Pid)) {
		t.Errorf("status meanwhile: %+v", s)
	}
	waiting := make(chan result, 1)
	go func() { waiting <- finish(t, w.command("up", "--yes", "--lock-timeout", "1m")) }()
	w.write("go-on", "")
	if err := first.Wait(); err != nil {
		t.Fatalf("the first: %v %s", err, errs.String())
	}
	if r := <-waiting; r.code != 0 || !strings.Contains(r.err, "No changes") {
		t.Fatalf("the one that waited: %s", r)
	}

	// A dead holder is known to be dead.
	lease := filepath.Join(w.home, "environments", "shop", "dev", "lease")
	if err := os.WriteFile(lease, []byte(`{"pid":999999,"host":"elsewhere","command":"scale up","since":"2026-01-01T00:00:00Z"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.must(0, "lock", "status"); !strings.Contains(r.out, "ended without releasing it") {
		t.Errorf("a dead holder: %s", r)
	}
	if r := w.must(0, "lock", "release"); !strings.Contains(r.out, "cleared what") {
		t.Errorf("releasing a dead holder's lock: %s", r)
	}
}

// The real passwords are looked for in everything that is written, shown, or
// visible to other processes' owners.
func TestNoSecretIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stores := installed("versitygw", "redis-server")
	yaml := strings.Replace(web, "env: {", "secrets: [API_KEY]\n    env: {", 1)
	if stores {
		yaml += "files: true\nsessions: true\n"
	}
	w.project(yaml)
	w.write("public/index.html", "x")
	const apiKey = "k-1234567890-very-secret"
	w.env = []string{"API_KEY=" + apiKey, "SCALE_PASSPHRASE=correct-horse-battery"}
	var shown strings.Builder
	show := func(r result) result { shown.WriteString(r.out + r.err); return r }
	show(w.must(0, "up", "--yes"))
	w.project(strings.Replace(w.yaml(), "hello", "goodbye", 1))
	w.env[0] = "API_KEY=" + apiKey + "-2" // a change of the secret itself is planned, and not shown
	p := show(w.must(0, "preview", "--json", "--out", "plan.json"))
	if !strings.Contains(p.out, "env.API_KEY") {
		t.Errorf("the plan does not say that the secret changes: %s", p)
	}
	show(w.must(0, "up", "--yes", "--json"))
	for _, args := range [][]string{{"status", "--json"}, {"outputs", "--json"}, {"logs"}, {"history", "--json"}, {"doctor"}, {"preview", "-o", "markdown"}} {
		show(w.must(0, args...))
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(b)

	secrets := map[string]string{"the application's secret": apiKey, "the passphrase": "correct-horse-battery"}
	url := w.backendEnvironment("DATABASE_URL")
	m := regexp.MustCompile(`^postgres://app:([^@]+)@127\.0\.0\.1:`).FindStringSubmatch(url)
	if m == nil {
		t.Fatalf("the backend has no DATABASE_URL with a password")
	}
	secrets["the database's password"] = m[1]
	if stores {
		_, password, _ := strings.Cut(w.backendEnvironment("SESSION_URL"), "redis://app:")
		secrets["the session store's password"], _, _ = strings.Cut(password, "@")
		secrets["the file store's key"] = w.backendEnvironment("AWS_SECRET_ACCESS_KEY")
	}

	w.unseen(secrets, shown.String())
}

// What levels 3 to 5 have besides: replicas, caches, a service's own database, tokens.
func TestNoSecretIsSeenAtLevel5(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(strings.Replace(services, "from_level: 5", "from_level: 5\n    database: own", 1) + "regions: [us-east-1, eu-west-1]\n")
	w.write("public/index.html", "x")
	var shown strings.Builder
	for _, args := range [][]string{{"preview", "--level", "5", "--json"}, {"up", "--level", "5", "--yes"}, {"status", "--json"}, {"outputs", "--json"}, {"logs"}, {"history", "--json"},
		{"bench", "/api/liked", "--for", "1s", "--json"}, {"failover", "--to", "eu-west-1", "--yes"}, {"status"}, {"logs"}, {"preview", "-o", "markdown"}} {
		r := w.must(0, args...)
		shown.WriteString(r.out + r.err)
	}
	secrets := map[string]string{}
	for _, of := range []string{"web-blue-euw1-g1-1", "likes-blue-euw1-g1-1"} {
		for _, name := range []string{"DATABASE_URL", "DATABASE_REPLICA_URL", "CACHE_URL"} {
			u, err := neturl.Parse(w.environment(of, name))
			if err != nil {
				t.Fatal(err)
			}
			secrets["the password in "+name+" of "+of], _ = u.User.Password()
		}
	}
	token, err := os.ReadFile(w.environment("web-blue-euw1-g1-1", "SERVICE_LIKES_TOKEN_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["the token of web"] = string(token)
	b, err := os.ReadFile(w.home + "/environments/shop/dev/local/data/db-use1-g1-data.pgpass")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Split(strings.TrimSpace(string(b)), ":")
	secrets["the replicator's password"] = fields[len(fields)-1]
	w.unseen(secrets, shown.String())
}

// unseen looks for secrets in what was shown, in the process list, and in all files but
// those by which a program is told one.
func (w *world) unseen(secrets map[string]string, shown string) {
	t := w.t
	t.Helper()
	for name, secret := range secrets {
		if len(secret) < 8 {
			t.Fatalf("%s is %q", name, secret)
		}
		if strings.Contains(shown, secret) {
			t.Errorf("%s was shown", name)
		}
		for _, pid := range mentioning(w.home) {
			if args, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "cmdline")); bytes.Contains(args, []byte(secret)) {
				t.Errorf("%s is in the process list: %q", name, args)
			}
		}
		err := filepath.WalkDir(w.home, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.HasSuffix(p, ".pgpass") || filepath.Base(filepath.Dir(p)) == "tokens" {
				return err
			}
			b, err := os.ReadFile(p)
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s is in %s", name, p)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	w.modes()
}

// installed reports whether all of some programs are on PATH.
func installed(programs ...string) bool {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return false
		}
	}
	return true
}

// backendEnvironment is a variable of the running backend.
func (w *world) backendEnvironment(name string) string {
	w.t.Helper()
	return w.environment("web-use1-g1-1", name)
}

// environment is a variable of a component that runs, "" when it does not run.
func (w *world) environment(of, name string) string {
	w.t.Helper()
	pid := component(w.status(), of).PID
	if pid == 0 {
		return ""
	}
	b, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "environ"))
	if err != nil {
		w.t.Fatal(err)
	}
	for e := range bytes.SplitSeq(b, []byte{0}) {
		if v, ok := bytes.CutPrefix(e, []byte(name+"=")); ok {
			return string(v)
		}
	}
	return ""
}

// modes checks that nobody else can read what is kept: files 0600, sockets in
// directories of 0700. The database's own files are PostgreSQL's.
func (w *world) modes() {
	w.t.Helper()
	err := filepath.WalkDir(w.home, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasSuffix(d.Name(), "-data") {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case info.Mode().IsRegular() && info.Mode().Perm() != 0o600:
			w.t.Errorf("%s has mode %v", p, info.Mode())
		case info.Mode()&fs.ModeSocket != 0:
			if dir, err := os.Stat(filepath.Dir(p)); err != nil || dir.Mode().Perm() != 0o700 {
				w.t.Errorf("the directory of %s has mode %v (%v)", p, dir.Mode(), err)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

// Nothing listens anywhere but on loopback, and the database takes nobody but
// the backend's user with its password.
func TestOnlyLoopbackListens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(0, "up", "--yes")
	ours := map[string]bool{}
	for _, pid := range mentioning(w.home) {
		fds, _ := filepath.Glob(filepath.Join("/proc", itoa(pid), "fd", "*"))
		for _, fd := range fds {
			if link, err := os.Readlink(fd); err == nil && strings.HasPrefix(link, "socket:[") {
				ours[strings.Trim(link, "socket:[]")] = true
			}
		}
	}
	seen := 0
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" || !ours[f[9]] {
				continue
			}
			seen++
			if !strings.HasPrefix(f[1], "0100007F:") { // 127.0.0.1
				t.Errorf("something of ours listens on %s", f[1])
			}
		}
	}
	if seen != 4 {
		t.Errorf("%d listeners were seen, want those of entry, static server, backend and database", seen)
	}
}

func TestANewerAgentTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(web)
	w.write("public/index.html", "x")
	url := strings.TrimSpace(w.must(0, "up", "--yes").out)
	before := w.status()

	newer := filepath.Join(filepath.Dir(w.home), "scale-newer")
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(newer, b, 0o755); err != nil {
		t.Fatal(err)
	}
	stop, failures := make(chan struct{}), make(chan []string, 1)
	go func() {
		var failed []string
		for {
			select {
			case <-stop:
				failures <- failed
				return
			default:
			}
			resp, err := client.Get(url + "/healthz")
			if err != nil {
				failed = append(failed, err.Error())
				continue
			}
			if resp.StatusCode != 200 {
				failed = append(failed, resp.Status)
			}
			resp.Body.Close()
		}
	}()
	c := w.command("up", "--yes")
	c.Path = newer
	r := finish(t, c)
	close(stop)
	if r.code != 0 {
		t.Fatalf("up by a newer scale: %s", r)
	}
	if failed := <-failures; len(failed) != 0 {
		t.Errorf("%d requests failed: %q", len(failed), failed)
	}
	var after struct {
		Components []struct {
			Name string
			PID  int
		}
	}
	c = w.command("status", "--json")
	c.Path = newer
	if err := json.Unmarshal([]byte(finish(t, c).out), &after); err != nil {
		t.Fatal(err)
	}
	for _, x := range after.Components {
		same := component(before, x.Name).PID == x.PID
		if held := x.Name == "entry-use1-g1" || x.Name == "static-use1-g1"; held == same {
			t.Errorf("%s: pid %d, then %d", x.Name, component(before, x.Name).PID, x.PID)
		}
	}
}
