package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/levels"
)

// Comparison is two levels side by side, with what a load met at each, if there was one.
type Comparison struct {
	Version  int            `json:"version"`
	Levels   []levels.Level `json:"levels"`
	Measured []plan.Bench   `json:"measured,omitempty"`
}

// ComparisonText writes what two levels have and promise, and what was measured.
func ComparisonText(w io.Writer, c Comparison, s Style) {
	for _, l := range c.Levels {
		fmt.Fprintf(w, "%s  %s\n", s.Bold(fmt.Sprintf("%d  %s", l.Number, l.Name)), l.Summary)
		fmt.Fprintf(w, "   adds %s\n", strings.Join(l.Adds, ", "))
		for _, p := range l.Promises {
			fmt.Fprintf(w, "   promises %s: %s\n", p.What, s.Faint(p.Figure))
		}
		fmt.Fprintf(w, "   costs: %s\n\n", l.Disadvantages[0])
	}
	for _, b := range c.Measured {
		BenchText(w, b, s)
		fmt.Fprintln(w)
	}
	for _, l := range sideBySide(c.Measured, s) {
		fmt.Fprintln(w, l)
	}
}

// sideBySide are the times of each region's users at each level.
func sideBySide(bs []plan.Bench, s Style) []string {
	if len(bs) == 0 {
		return nil
	}
	rows := [][]string{{s.Faint("USERS IN")}}
	for _, b := range bs {
		rows[0] = append(rows[0], s.Faint(fmt.Sprintf("P50 AT %d", b.Level)), s.Faint("P99"), s.Faint("FAILED"))
	}
	for _, u := range bs[0].Users {
		row := []string{u.Region}
		for _, b := range bs {
			for _, v := range b.Users {
				if v.Region == u.Region {
					row = append(row, fmt.Sprintf("%.1f ms", v.P50), fmt.Sprintf("%.1f ms", v.P99), fmt.Sprint(v.Errors))
				}
			}
		}
		rows = append(rows, row)
	}
	return table(rows)
}
