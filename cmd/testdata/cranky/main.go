// Cranky is an application as it should not be: what it does wrong is named by
// CRANKY. It is what tests hold the gates and the doctor against.
package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
)

func main() {
	how := os.Getenv("CRANKY")
	if how == "alone" {
		for name, head := range map[string]string{"uploads.dat": "what was uploaded", "app.db": "SQLite format 3\x00"} {
			f, err := os.Create(name)
			if err != nil {
				panic(err)
			}
			fmt.Fprint(f, head)
			defer f.Close()
		}
	}
	if how == "crash" {
		panic("it crashes as it was told to")
	}
	sessions := map[string]bool{}
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if how == "errors" {
			fmt.Println("this release answers everything with 500")
			http.Error(w, "it is broken", http.StatusInternalServerError)
			return
		}
		c, err := r.Cookie("session")
		if how == "alone" && (err != nil || !sessions[c.Value]) {
			id := rand.Text()
			sessions[id] = true
			http.SetCookie(w, &http.Cookie{Name: "session", Value: id})
		}
		fmt.Fprintln(w, "color", os.Getenv("SCALE_COLOR"))
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
