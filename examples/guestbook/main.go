// Command guestbook is a small web application to scale. It reads only the
// environment variables that every target sets, and runs alone too:
//
//	go run ./examples/guestbook serve
package main

import (
	"fmt"
	"os"

	"github.com/scale-levels/scale/examples/guestbook/app"
)

func main() {
	if err := app.Main(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "guestbook:", err)
		os.Exit(1)
	}
}
