//go:build unix

package local

import (
	"os"

	"github.com/scale-levels/scale/stacks/local/agent"
)

// RunAgent is the life of the agent of the environment at root: the process that
// Config.Agent starts. Its key comes on standard input, and it says on file
// descriptor 3 when it is ready.
func RunAgent(root, build string, takeover bool) error {
	ready := os.NewFile(3, "ready")
	defer ready.Close()
	return agent.Run(agent.Options{Root: root, Build: build, Takeover: takeover, Key: os.Stdin, Ready: ready})
}
