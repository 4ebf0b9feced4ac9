package topology

import "embed"

// Sources are those of this package, for 'scale eject'.
//
//go:embed sources.go topology.go validate.go
var Sources embed.FS
