package view

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/scale-levels/scale/internal/plan"
)

// StatusText writes how an environment stands.
func StatusText(w io.Writer, st plan.Status, s Style, now time.Time) {
	head := fmt.Sprintf("%s/%s on %s", st.App, st.Env, st.Target)
	switch st.State {
	case "absent":
		fmt.Fprintf(w, "%s: nothing stands. %s makes it.\n", s.Bold(head), s.Accent("scale up"))
		return
	case "up":
		head = s.Bold(head) + ": " + s.Good("up") + fmt.Sprintf(" at level %d", st.Level)
	case "down":
		head = s.Bold(head) + ": down; the data is kept"
	default:
		head = s.Bold(head) + ": " + s.Warn(st.State) + fmt.Sprintf(" at level %d", st.Level)
	}
	fmt.Fprintln(w, head)
	if st.URL != "" {
		fmt.Fprintf(w, "  %s\n", s.Accent(st.URL))
	}
	if st.Walk != "" {
		fmt.Fprintf(w, "  walk: %s\n", s.Warn(st.Walk))
	}
	if st.Lock != "" {
		fmt.Fprintf(w, "  held by %s\n", st.Lock)
	}
	if len(st.Components) > 0 {
		rows := [][]string{{s.Faint("  COMPONENT"), s.Faint("KIND"), s.Faint("STATE"), s.Faint("ADDRESS"), s.Faint("PID"), s.Faint("RESTARTS"), s.Faint("SINCE")}}
		for _, c := range st.Components {
			rows = append(rows, component(c, s, now))
		}
		for _, l := range table(rows) {
			fmt.Fprintln(w, l)
		}
	}
	if st.Supervisor != "" && st.State != "down" {
		fmt.Fprintf(w, "  %s\n", s.Faint(st.Supervisor))
	}
	for _, d := range st.Data {
		fmt.Fprintf(w, "  data: %s, %s in %s\n", d.Name, Bytes(d.Bytes), d.Place)
	}
	if st.State == "stopped" {
		fmt.Fprintf(w, "  nothing runs, as after a restart of the machine: %s starts it again with its data\n", s.Accent("scale up"))
	}
}

func component(c plan.Component, s Style, now time.Time) []string {
	state := c.State
	switch {
	case c.Healthy && (c.State == "running" || c.State == "waiting"):
		state = s.Good(state)
	case c.State == "running":
		state = s.Warn("not healthy")
	default:
		state = s.Bad(state)
	}
	pid, since := "-", "-"
	if c.PID != 0 {
		pid = fmt.Sprint(c.PID)
	}
	if c.Since != nil {
		since = Duration(now.Sub(*c.Since).Truncate(time.Second)) + " ago"
	}
	row := []string{"  " + c.Name, c.Kind, state, cmp.Or(c.Address, "-"), pid, fmt.Sprint(c.Restarts), since}
	if c.Detail != "" {
		row[len(row)-1] += "  " + s.Faint(strings.TrimSpace(c.Detail))
	}
	return row
}
