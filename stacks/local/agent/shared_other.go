//go:build unix && !linux

package agent

// ForgetShared does nothing here.
func ForgetShared(string) {}
