package program

import "embed"

// Sources are those of this package, for 'scale eject'.
//
//go:embed *.go cloudinit.yaml
var Sources embed.FS
