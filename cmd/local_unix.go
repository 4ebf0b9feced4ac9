//go:build unix

package cmd

import "github.com/scale-levels/scale/stacks/local"

func newLocal(c local.Config) (localTarget, error) { return local.New(c), nil }
