// Command scale takes a web application to a scaling level of its architecture,
// and from there to any other.
package main

import (
	"os"

	"github.com/scale-levels/scale/cmd"
)

func main() { os.Exit(cmd.Main(os.Args[1:])) }
