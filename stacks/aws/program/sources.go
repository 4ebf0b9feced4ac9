package program

import "embed"

// Sources are those of this package, for 'scale eject'.
//
//go:embed *.go cloudinit.yaml move.sh
var Sources embed.FS
