package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/scale-levels/scale/levels"
)

// LevelsText writes the ladder, a level a paragraph; here is where an environment stands.
func LevelsText(w io.Writer, ls []levels.Level, here int, s Style) {
	for _, l := range ls {
		mark := "  "
		if l.Number == here {
			mark = s.Good("▶ ")
		}
		name := s.Bold(fmt.Sprintf("%d  %s", l.Number, l.Name))
		if len(l.Targets) == 1 {
			name += s.Faint("  (on " + l.Targets[0] + ")")
		}
		fmt.Fprintf(w, "%s%s\n     %s\n     %s\n", mark, name, l.Summary, s.Faint("adds "+strings.Join(l.Adds, ", ")))
	}
}

// LevelText writes all there is to say about one level.
func LevelText(w io.Writer, l levels.Level, s Style) {
	width := s.Width
	fmt.Fprintf(w, "%s\n%s\n", s.Bold(fmt.Sprintf("Level %d: %s", l.Number, l.Name)), wrap(l.Summary, width, 0))
	fmt.Fprintf(w, "\n%s\n", wrap("This version builds it on "+strings.Join(l.Targets, " and ")+".", width, 0))
	fmt.Fprintf(w, "\n%s\n", s.Bold("Components"))
	var rows [][]string
	for _, c := range l.Components {
		rows = append(rows, []string{"  " + c.Name, c.Count, string(c.Exposure), c.What})
	}
	for _, line := range table(rows) {
		fmt.Fprintln(w, wrap(line, width, hang(rows)))
	}
	section := func(title string, items []string) {
		fmt.Fprintf(w, "\n%s\n", s.Bold(title))
		for _, i := range items {
			fmt.Fprintln(w, wrap("  · "+i, width, 4))
		}
	}
	section("Advantages", l.Advantages)
	section("Disadvantages", l.Disadvantages)
	fmt.Fprintf(w, "\n%s\n", s.Bold("Decide"))
	for _, d := range l.Decisions {
		fmt.Fprintln(w, wrap("  "+s.Accent(d.Question), width, 2))
		fmt.Fprintln(w, wrap("    "+d.Answer, width, 4))
	}
}

// hang is where the last column of a table begins.
func hang(rows [][]string) int {
	n := 0
	for i := range len(rows[0]) - 1 {
		w := 0
		for _, r := range rows {
			w = max(w, visible(r[i]))
		}
		n += w + 2
	}
	return n
}

// wrap breaks a line at blanks; the lines after the first are indented.
func wrap(line string, width, indent int) string {
	if width <= indent+20 || visible(line) <= width {
		return line
	}
	lead := line[:len(line)-len(strings.TrimLeft(line, " "))]
	var b strings.Builder
	b.WriteString(lead)
	at := len(lead)
	for i, word := range strings.Split(strings.TrimLeft(line, " "), " ") {
		if n := visible(word); i > 0 && at+1+n > width {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		} else if i > 0 {
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += visible(word)
	}
	return b.String()
}

// LevelMarkdown writes a level as a page of the documentation.
func LevelMarkdown(w io.Writer, l levels.Level) {
	fmt.Fprintf(w, "# Level %d: %s\n\n%s\n", l.Number, l.Name, l.Summary)
	fmt.Fprintf(w, "\nIt adds %s.\n", strings.Join(l.Adds, ", "))
	fmt.Fprintf(w, "\nThis version builds it on %s.\n", strings.Join(l.Targets, " and "))
	fmt.Fprint(w, "\n## Components\n\n| component | count | reachable by | what it is |\n|---|---|---|---|\n")
	for _, c := range l.Components {
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", c.Name, c.Count, c.Exposure, c.What)
	}
	list := func(title string, items []string) {
		fmt.Fprintf(w, "\n## %s\n\n", title)
		for _, i := range items {
			fmt.Fprintf(w, "- %s\n", i)
		}
	}
	list("Advantages", l.Advantages)
	list("Disadvantages", l.Disadvantages)
	fmt.Fprint(w, "\n## Decide\n\n")
	for _, d := range l.Decisions {
		fmt.Fprintf(w, "- **%s** %s\n", d.Question, d.Answer)
	}
	if len(l.Promises) == 0 {
		return
	}
	fmt.Fprint(w, "\n## What it promises, measured\n\nOn this machine; [performance](../performance.md) and [local](../local.md) say how.\n\n| promise | measured | repeat |\n|---|---|---|\n")
	for _, p := range l.Promises {
		fmt.Fprintf(w, "| %s | %s | `%s` |\n", p.What, p.Figure, p.Repeat)
	}
}
