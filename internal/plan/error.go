package plan

// Error is something that a person can set right: what happened, and what to do.
type Error struct {
	What, Hint string
	// Tool: a program is missing, rather than a setting wrong.
	Tool bool
	Err  error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.What + ": " + e.Err.Error()
	}
	return e.What
}
func (e *Error) Unwrap() error { return e.Err }

// Hints returns what to do about it.
func (e *Error) Hints() string { return e.Hint }

// MissingTool reports whether the error is a missing program.
func (e *Error) MissingTool() bool { return e.Tool }
