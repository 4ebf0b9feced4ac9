// Package view turns plans, events and status into lines of text, JSON and
// Markdown. The terminal interface draws with it too.
//
// It knows the types of package plan and levels in words, and no target, no
// engine and no terminal beyond whether it may use colour and how wide it is.
package view

import (
	"fmt"
	"strings"
	"time"
)

// Style says how text may look.
type Style struct {
	Color bool
	Width int  // columns; 0: as long as it takes
	Full  bool // every resource of a plan, however many there are
}

const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (s Style) paint(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold is text that stands out.
func (s Style) Bold(text string) string { return s.paint(bold, text) }

// Faint is text that steps back.
func (s Style) Faint(text string) string { return s.paint(faint, text) }

// Bad is text about something wrong.
func (s Style) Bad(text string) string { return s.paint(red, text) }

// Good is text about something that went well.
func (s Style) Good(text string) string { return s.paint(green, text) }

// Warn is text that asks for attention.
func (s Style) Warn(text string) string { return s.paint(yellow, text) }

// Accent is text that can be typed or followed.
func (s Style) Accent(text string) string { return s.paint(cyan, text) }

// Duration is a time a person reads: 340 ms, 1.2 s, 3 m 20 s.
func Duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d m %d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %d m", int(d.Hours()), int(d.Minutes())%60)
	}
}

// Bytes is a size a person reads.
func Bytes(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	}
}

// table lines columns up; the last one is not padded.
func table(rows [][]string) []string {
	var width []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], visible(c))
		}
	}
	var lines []string
	for _, r := range rows {
		var b strings.Builder
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-visible(c)+2))
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// visible is how many columns a text with colours takes; ours has no wide characters.
func visible(s string) int {
	n, escape := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n++
		}
	}
	return n
}
