package config

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Window is when changes that need downtime may start. The zero value is always.
type Window struct {
	days     [7]bool
	from, to time.Duration // since midnight; to before from means that it ends the next day
	zone     *time.Location
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseWindow reads '[days] HH:MM-HH:MM [zone]', where days are 'daily', a name,
// a range or a list of names, and the zone is an IANA name (this machine's
// without one).
func ParseWindow(s string) (Window, error) {
	w := Window{zone: time.Local}
	words := strings.Fields(s)
	if len(words) == 0 {
		return Window{}, nil
	}
	days := "daily"
	if !strings.Contains(words[0], ":") {
		days, words = words[0], words[1:]
	}
	if len(words) == 0 || len(words) > 2 {
		return w, fmt.Errorf("%q has no times", s)
	}
	if err := w.parseDays(days); err != nil {
		return w, err
	}
	from, to, ok := strings.Cut(words[0], "-")
	if !ok {
		return w, fmt.Errorf("%q has a beginning and no end", s)
	}
	var err, err2 error
	w.from, err = clock(from)
	w.to, err2 = clock(to)
	if err := errors.Join(err, err2); err != nil {
		return w, err
	}
	if w.from == w.to {
		return w, fmt.Errorf("%q ends when it begins", s)
	}
	if len(words) == 2 {
		if w.zone, err = time.LoadLocation(words[1]); err != nil {
			return w, fmt.Errorf("there is no time zone %q", words[1])
		}
	}
	return w, nil
}

func (w *Window) parseDays(s string) error {
	if strings.EqualFold(s, "daily") {
		for i := range w.days {
			w.days[i] = true
		}
		return nil
	}
	for _, part := range strings.Split(s, ",") {
		from, to, ranged := strings.Cut(part, "-")
		a, err := weekday(from)
		if err != nil {
			return err
		}
		b := a
		if ranged {
			if b, err = weekday(to); err != nil {
				return err
			}
		}
		for d := a; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == b {
				break
			}
		}
	}
	return nil
}

func weekday(s string) (int, error) {
	for i, n := range weekdays {
		if len(s) >= 3 && strings.HasPrefix(strings.ToLower(s), n) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q is not a day: Mon, Tue, …, daily", s)
}

func clock(s string) (time.Duration, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time of day: HH:MM", s)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// Next is the earliest moment at or after now at which a change may start.
func (w Window) Next(now time.Time) time.Time {
	if w.zone == nil {
		return now
	}
	local := now.In(w.zone)
	// A window that ends after midnight may have begun yesterday.
	for day := -1; day <= 8; day++ {
		d := time.Date(local.Year(), local.Month(), local.Day()+day, 0, 0, 0, 0, w.zone)
		if !w.days[d.Weekday()] {
			continue
		}
		from := onDay(d, w.from)
		to := onDay(d, w.to)
		if w.to < w.from {
			to = onDay(d.AddDate(0, 0, 1), w.to)
		}
		if now.Before(from) {
			return from
		}
		if now.Before(to) {
			return now
		}
	}
	return now // no day was chosen, which ParseWindow does not allow
}

// onDay is a time of day by the wall clock, also on days with a change of time.
func onDay(d time.Time, at time.Duration) time.Time {
	return time.Date(d.Year(), d.Month(), d.Day(), int(at/time.Hour), int(at%time.Hour/time.Minute), 0, 0, d.Location())
}

// ParseAt reads the time of --at: 'HH:MM' (today, or tomorrow when that has
// passed), 'YYYY-MM-DD HH:MM', or RFC 3339.
func ParseAt(s string, now time.Time) (time.Time, error) {
	if c, err := clock(s); err == nil {
		t := onDay(now, c)
		if t.Before(now) {
			t = onDay(now.AddDate(0, 0, 1), c)
		}
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			if t.Before(now) {
				return t, fmt.Errorf("%s has passed", t.Format("2006-01-02 15:04"))
			}
			return t, nil
		}
	}
	return now, fmt.Errorf("%q is not a time", s)
}
