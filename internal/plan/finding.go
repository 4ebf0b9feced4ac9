package plan

import "errors"

// Finding is one thing that a doctor looked at.
type Finding struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	What  string `json:"what"`
	Hint  string `json:"hint,omitempty"`
	Level int    `json:"level"` // the lowest level that needs it
}

// Bad is the finding with an error, and what that says about what to do.
func (f Finding) Bad(err error) Finding {
	f.What = err.Error()
	var h interface{ Hints() string }
	if errors.As(err, &h) {
		f.Hint = h.Hints()
	}
	return f
}
