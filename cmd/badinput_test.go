//go:build unix

package cmd_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every case ends in one clear error with a hint, and nothing is changed.
func TestBadInput(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	port := taken.Addr().(*net.TCPAddr).Port

	up := []string{"up", "--yes"}
	for name, c := range map[string]struct {
		yaml string
		env  []string
		args []string
		code int
		says []string
	}{
		"no file":              {args: []string{"up", "--file", "other.yaml", "--yes"}, code: 3, says: []string{"other.yaml does not exist", "scale init"}},
		"an empty file":        {yaml: "\n", args: up, code: 3, says: []string{"scale.yaml: the file is empty", "scale init"}},
		"not YAML":             {yaml: "name: [", args: up, code: 3, says: []string{"is not YAML"}},
		"an unknown key":       {yaml: strings.Replace(web, "health:", "helth:", 1), args: up, code: 3, says: []string{"scale.yaml:5:5: services.web.helth", "did you mean health?"}},
		"an unknown root key":  {yaml: web + "databse: {}\n", args: up, code: 3, says: []string{"scale.yaml:10:1: databse", "did you mean database?"}},
		"a wrong type":         {yaml: strings.Replace(web, "health: /healthz", "instances: many", 1), args: up, code: 3, says: []string{"services.web.instances: must be a whole number"}},
		"a key twice":          {yaml: web + "name: again\n", args: up, code: 3, says: []string{"stands twice"}},
		"no instances":         {yaml: strings.Replace(web, "health: /healthz", "instances: 0", 1), args: up, code: 3, says: []string{"must be from 1 to 64"}},
		"a name not allowed":   {yaml: strings.Replace(web, "name: shop", "name: My Shop", 1), args: up, code: 3, says: []string{`"My Shop" is not allowed`, "lower case"}},
		"a reserved variable":  {yaml: strings.Replace(web, "GREETING", "PORT", 1), args: up, code: 3, says: []string{"PORT is set by the environment itself"}},
		"an unknown region":    {yaml: web + "regions: [us-est-1]\n", args: up, code: 3, says: []string{"us-est-1", "did you mean us-east-1?"}},
		"routes that collide":  {yaml: strings.Replace(web, "routes: [/api, /healthz]", "routes: [/]", 1), args: up, code: 3, says: []string{"both"}},
		"a wrong window":       {yaml: web + "maintenance: {window: sometimes}\n", args: up, code: 3, says: []string{"maintenance.window", "Sun 03:00-05:00"}},
		"no such environment":  {yaml: web + "environments: {dev: {level: 1}}\n", args: append(up, "--env", "dve"), code: 3, says: []string{`no environment "dve"`, "did you mean dev?"}},
		"no such level":        {yaml: web, args: append(up, "--level", "9"), code: 3, says: []string{"level 9 does not exist", "single node"}},
		"one service alone":    {yaml: web, args: append(up, "--level", "5"), code: 3, says: []string{"level 5 is for several services, and the application has one: web", "stay at level 4"}},
		"a call to nobody":     {yaml: strings.Replace(web, "health: /healthz", "calls: [likes]", 1), args: up, code: 3, says: []string{"services.web.calls[0]", "likes"}},
		"all from later on":    {yaml: strings.Replace(web, "health: /healthz", "from_level: 2", 1), args: up, code: 3, says: []string{"none is there from level 1 on"}},
		"a circuit, half":      {yaml: strings.Replace(web, "health: /healthz", "gateway: {open_for: 3}", 1), args: up, code: 3, says: []string{"services.web.gateway.open_for", "open_after"}},
		"workers, no queue":    {yaml: strings.Replace(counting, "queue: true\n", "", 1), args: up, code: 3, says: []string{"workers: there is no queue to take jobs from", "queue: true"}},
		"a name for two":       {yaml: strings.Replace(counting, "words:", "web:", 1), args: up, code: 3, says: []string{"workers.web", "the name of a service, too"}},
		"sync on AWS":          {yaml: strings.Replace(web, "size: small", "replication: sync", 1) + "domain: shop.example.com\nenvironments: {dev: {target: aws}}\n", args: []string{"preview"}, code: 3, says: []string{"database.replication", "target local"}},
		"an arbiter on AWS":    {yaml: strings.Replace(web, "size: small", "failover: automatic", 1) + "domain: shop.example.com\nenvironments: {dev: {target: aws}}\n", args: []string{"preview"}, code: 3, says: []string{"database.failover", "a person decides"}},
		"a pool on AWS":        {yaml: lent(web) + "domain: shop.example.com\nenvironments: {dev: {target: aws}}\n", args: []string{"preview"}, code: 3, says: []string{"database.pool", "target local"}},
		"a pool of a kind":     {yaml: strings.Replace(web, "size: small", "pool: statement", 1), args: []string{"preview"}, code: 3, says: []string{"database.pool", "transaction"}},
		"a cache on AWS":       {yaml: "http_cache: true\n" + web + "domain: shop.example.com\nenvironments: {dev: {target: aws}}\n", args: []string{"preview"}, code: 3, says: []string{"http_cache", "target local"}},
		"workers on AWS":       {yaml: counting + "domain: shop.example.com\nenvironments: {dev: {target: aws}}\n", args: []string{"preview"}, code: 3, says: []string{"queue", "target local"}},
		"a job for two":        {yaml: strings.Replace(counting, "  tick:", "  words:", 1), args: up, code: 3, says: []string{"schedule.words", "the name of a worker, too"}},
		"a job at no time":     {yaml: strings.Replace(counting, "* * * * *", "25:00", 1), args: up, code: 3, says: []string{"schedule.tick.at", "no time of cron's", "half past three"}},
		"a queue as a worker":  {yaml: strings.Replace(counting, "words:", "queue:", 1), args: up, code: 3, says: []string{"workers.queue", "the name of another part"}},
		"an identity forged":   {yaml: strings.Replace(web, "GREETING", "SERVICE_IDENTITY", 1), args: up, code: 3, says: []string{"SERVICE_IDENTITY is set by the environment itself"}},
		"a region twice":       {yaml: web + "regions: [us-east-1, us-east-1]\n", args: up, code: 3, says: []string{"us-east-1 stands twice"}},
		"no table's name":      {yaml: strings.Replace(web, "health: /healthz", "tables: [\"likes; --\"]", 1), args: up, code: 3, says: []string{"tables[0]", "is no table's name"}},
		"an unknown routing":   {yaml: web + "routing: nearest\n", args: up, code: 3, says: []string{"routing", "latency"}},
		"weights for nothing":  {yaml: web + "weights: {us-east-1: 2}\n", args: up, code: 3, says: []string{"weights: is only for routing: weighted"}},
		"weights of nowhere":   {yaml: web + "routing: weighted\nweights: {eu-west-1: 2}\n", args: up, code: 3, says: []string{"weights.eu-west-1", "us-east-1"}},
		"failover to nowhere":  {yaml: web, args: []string{"failover"}, code: 3, says: []string{"failover needs a region", "--to"}},
		"failover of nothing":  {yaml: web, args: []string{"failover", "--to", "us-east-1", "--yes"}, code: 3, says: []string{"has nothing in a region"}},
		"a purge of nothing":   {yaml: web, args: []string{"purge", "/"}, code: 3, says: []string{"nothing runs that could be purged", "scale up --level 3"}},
		"a negative level":     {yaml: web, args: append(up, "--level", "-1"), code: 3, says: []string{"level -1 does not exist"}},
		"no such command":      {args: []string{"upp"}, code: 3, says: []string{`no command "upp"`, "scale up"}},
		"no such flag":         {args: []string{"up", "--levle", "1"}, code: 3, says: []string{"--levle", "--help"}},
		"a wrong variable":     {args: up, env: []string{"SCALE_LEVEL=one"}, code: 3, says: []string{"SCALE_LEVEL"}},
		"no yes, no terminal":  {yaml: web, args: []string{"up"}, code: 3, says: []string{"no terminal", "--yes"}},
		"a past time":          {yaml: web, args: append(up, "--at", "2020-01-01 00:00"), code: 3, says: []string{"has passed"}},
		"a port that is taken": {yaml: web, args: append(up, "--port", fmt.Sprint(port)), code: 3, says: []string{fmt.Sprintf("port %d", port), "--port"}},
		"a missing program":    {yaml: strings.Replace(web, "[%BIN%, guestbook, serve]", "./server --fast", 1), args: up, code: 3, says: []string{`no program "./server"`, "build or install it"}},
		"a missing directory":  {yaml: strings.Replace(web, "dir: public", "dir: nowhere", 1), args: up, code: 3, says: []string{"static files cannot be read"}},
		"a missing secret":     {yaml: strings.Replace(web, "env: {", "secrets: [API_KEY]\n    env: {", 1), args: up, code: 3, says: []string{"API_KEY", "no value"}},
		"a program that ends": {yaml: strings.Replace(web, "[%BIN%, guestbook, serve]", "sh -c 'echo this is why >&2; exit 3'", 1), args: up, code: 3,
			says: []string{"exit status 3", "this is why", "nothing was changed"}},
		"a health path that never answers": {yaml: strings.Replace(web, "health: /healthz", "health: /never\n    start_timeout: 1", 1), args: up, code: 3,
			says: []string{"was not ready after 1s", "404", "nothing was changed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.env = c.env
			if c.yaml != "" {
				w.project(c.yaml)
			}
			w.write("public/index.html", "x")
			r := w.must(c.code, c.args...)
			for _, s := range c.says {
				if !strings.Contains(r.err, s) {
					t.Errorf("does not say %q: %s", s, r.err)
				}
			}
			if strings.Count(r.err, "error: ") != 1 || r.out != "" {
				t.Errorf("not one error: %s", r)
			}
			w.gone()
		})
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := strings.TrimSpace(w.must(0, "up", "--yes").out)
	env := filepath.Join(w.home, "environments", "guestbook", "dev")
	state := filepath.Join(w.home, ".pulumi", "stacks", "guestbook", "dev.json")
	record, key := filepath.Join(env, "record.json"), filepath.Join(env, "passphrase")

	for name, c := range map[string]struct {
		file, text string
		env        []string
		says       []string
	}{
		"a damaged state":           {file: state, text: "{\"version\": 3, \"checkp", says: []string{"dev.json is damaged", "backup"}},
		"an empty state":            {file: state, text: "", says: []string{"dev.json is damaged"}},
		"a damaged journal":         {file: state + ".journal", text: "{\"base\":\"x\"}\nnonsense\n", says: []string{"dev.json.journal is damaged", "move the journal away"}},
		"somebody else's journal":   {file: state + ".journal", text: "{\"base\":\"0123\"}\n", says: []string{"belongs to another version"}},
		"a damaged record":          {file: record, text: "{", says: []string{"record.json is damaged", "record.json.bak"}},
		"a newer record":            {file: record, text: `{"version": 99}`, says: []string{"version 99", "newer scale"}},
		"a wrong passphrase":        {env: []string{"SCALE_PASSPHRASE=wrong"}, says: []string{"not the one", "SCALE_PASSPHRASE"}},
		"a wrong passphrase's file": {file: key, text: "wrong\n", says: []string{"not the one"}},
		"an empty passphrase file":  {file: key, text: "\n", says: []string{"is empty"}},
	} {
		t.Run(name, func(t *testing.T) { // one after the other: they share the environment
			var was []byte
			if c.file != "" {
				var err error
				if was, err = os.ReadFile(c.file); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				if err := os.WriteFile(c.file, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w.env = c.env
			for _, args := range [][]string{{"up", "--yes"}, {"preview"}, {"down", "--yes"}} {
				r := w.must(3, args...)
				for _, s := range append(c.says, "hint: ") {
					if !strings.Contains(r.err, s) {
						t.Errorf("%v does not say %q: %s", args, s, r.err)
					}
				}
			}
			w.env = nil
			if c.file == "" {
				return
			}
			if now, err := os.ReadFile(c.file); err != nil || string(now) != c.text {
				t.Errorf("the damaged file was changed: %v", err)
			}
			if was == nil {
				if err := os.Remove(c.file); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(c.file, was, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	w.must(0, "preview", "--detailed-exitcode")
	if code, _ := get(t, url+"/healthz"); code != 200 {
		t.Fatalf("the application answers %d", code)
	}
}

func TestReadOnlyHome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if os.Geteuid() == 0 { // root writes everywhere but below what is no directory
		w.env = []string{"SCALE_HOME=/dev/null/scale"}
	} else {
		if err := os.Mkdir(w.home, 0o500); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.must(3, "up", "--yes"); !strings.Contains(r.err, "SCALE_HOME") {
		t.Fatalf("%s", r)
	}
}

// A small file system of its own plays the full disk, where one may be mounted.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := os.Mkdir(w.home, 0o711); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=200m,mode=0711", "tmpfs", w.home).CombinedOutput(); err != nil {
		t.Skipf("no file system of a certain size can be mounted here: %s", out)
	}
	t.Cleanup(func() {
		sweepProcesses(w.home)
		if out, err := exec.Command("umount", w.home).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	fill := func(leave int64) string {
		f, err := os.CreateTemp(w.home, "filler")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		block := make([]byte, 1<<20)
		for room(t, w.home) > leave {
			if _, err := f.Write(block[:min(int64(len(block)), max(4096, room(t, w.home)-leave))]); err != nil {
				break
			}
		}
		return f.Name()
	}
	filler := fill(50 << 20)
	if r := w.must(3, "up", "--yes"); !strings.Contains(r.err, "the disk is full") {
		t.Fatalf("%s", r)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(w.must(0, "up", "--yes").out)
	sign(t, url, "kept")

	// Full in the middle of a run: what is there stays readable, and the next run goes on.
	filler = fill(0)
	if r := w.scale("down", "--yes"); r.code == 0 {
		t.Fatalf("a down on a full disk: %s", r)
	} else if !strings.Contains(r.err, "no space left") {
		t.Fatalf("%s", r)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.must(0, "up", "--yes")
	if got := names(t, url); len(got) != 1 || got[0] != "kept" {
		t.Fatalf("after a full disk the guestbook has %v", got)
	}
	w.must(0, deleteAll...)
}
