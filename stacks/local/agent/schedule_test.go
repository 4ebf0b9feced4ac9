//go:build unix

package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A job runs at its times and never twice at once; a run that fails is told, and the next
// comes all the same; what was asked to end ends in the middle of one.
func TestSchedule(t *testing.T) {
	root := t.TempDir()
	d, said := Dirs{Root: root}, filepath.Join(root, "said")
	for _, dir := range []string{d.Run(), d.Logs()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := Process{Name: "tick", Node: "tick", Kind: "job", Dir: root, At: "* * * * * *", Stop: "TERM", StopTimeout: 5 * time.Second, // with a field for seconds
		// The first run lasts over a second, the second fails, the third hangs.
		Argv: []string{"sh", "-c", `echo begin >> said; case $(grep -c begin said) in 1) sleep 1.2;; 2) exit 7;; *) sleep 60;; esac; echo end >> said`},
		Env:  []string{"PATH=" + os.Getenv("PATH")}}
	s := supervise(d, p, ident{}, false)
	defer s.end()
	<-s.ready
	state := func() Component { return s.component() }
	lines := func() []string {
		b, _ := os.ReadFile(said) // nothing has been said yet
		return strings.Fields(string(b))
	}
	settles(t, "it waits for its time", func() bool {
		c := state()
		return c.Healthy && strings.Contains(c.Detail, "it has not run yet; next at")
	})
	settles(t, "the first run has ended", func() bool { return strings.Contains(state().Detail, "ran at") })
	if got := strings.Join(lines(), " "); got != "begin end" {
		t.Errorf("a run that was longer than the time between two said %q", got)
	}
	settles(t, "the failure is told", func() bool {
		c := state()
		return c.State == Waiting && !c.Healthy && strings.Contains(c.Detail, "exit status 7")
	})
	settles(t, "the next run comes all the same", func() bool { c := state(); return c.State == Running && c.PID != 0 && len(lines()) == 4 })
	pid := state().PID
	s.end()
	if c := state(); c.State != Stopped || parents()[pid] != 0 {
		t.Errorf("it was asked to end, and is %s", c.State)
	}
}
