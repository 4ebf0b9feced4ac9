package local

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A command that has yielded the processors still starts agents that have not.
func TestWhatIsStartedAsideDoesNotYield(t *testing.T) {
	niceOf := func() string {
		out, err := exec.Command("nice").Output() // prints its own
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	yield()
	ours, aside := niceOf(), ""
	unyielding(func() { aside = niceOf() })
	if ours == aside || ours != strconv.Itoa(niceness) {
		t.Errorf("niceness %s, and aside %s", ours, aside)
	}
}
