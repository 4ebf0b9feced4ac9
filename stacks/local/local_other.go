//go:build !unix

package local

import "io/fs"

// Config is as on the systems that have the local target.
type Config struct {
	Root    string
	Agent   []string
	Arbiter []string
	Build   string
	Example fs.FS
	Domain  string
}

// ErrSystem says that processes in groups, adoption and handed-over listeners are of
// Unix.
var ErrSystem error = &Error{What: "the local target is not supported on this system",
	Hint: "it runs on Linux and macOS; on Windows, use WSL"}

// RunAgent refuses.
func RunAgent(string, string, bool) error { return ErrSystem }
