//go:build unix

package agent

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"
	"time"
)

// serveFile answers with a file of the release that is current: plain files, the
// index of a directory, no listings and nothing hidden. Caddy's own file server
// would do, but brings templates and their syntax highlighting with it, and with
// those 15 ms at every start of scale.
func (e Edge) serveFile(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name := path.Clean("/" + strings.TrimPrefix(r.URL.Path, strings.TrimSuffix(e.Prefix, "/")))[1:]
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			http.NotFound(w, r)
			return
		}
	}
	root, err := os.OpenRoot(e.Root)
	if err != nil {
		http.Error(w, "the release is not there", http.StatusServiceUnavailable)
		return
	}
	defer root.Close()
	if name == "" {
		name = "."
	}
	info, err := root.Stat(name)
	if err == nil && info.IsDir() {
		if !strings.HasSuffix(r.URL.Path, "/") {
			http.Redirect(w, r, r.URL.Path+"/", http.StatusMovedPermanently)
			return
		}
		name = path.Join(name, "index.html")
		info, err = root.Stat(name)
	}
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	f, err := root.Open(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	release, err := os.Readlink(e.Root)
	if err != nil {
		release = fmt.Sprintf("%x", info.ModTime().UnixNano())
	}
	// Every server of a release says the same. A browser asks each time whether it has
	// changed; the edges of a CDN, which are told of a new release, once a day.
	w.Header().Set("ETag", fmt.Sprintf(`"%s-%x"`, release, info.Size()))
	w.Header().Set("Cache-Control", "public, max-age=0, s-maxage=86400")
	http.ServeContent(w, r, path.Base(name), time.Time{}, f)
}
