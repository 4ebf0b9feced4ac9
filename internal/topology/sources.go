package topology

import "embed"

// Sources are those of this package, for 'scale eject'.
//
//go:embed clone.go sources.go specs.go topology.go validate.go
var Sources embed.FS
