//go:build unix

package agent

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// accessLog has a line for each request of an entry, once it has been answered: when
// it came, what it asked for, the status, how long it took, and who answered. What
// stands behind the question mark is left out: it may be a secret.
type accessLog struct {
	dirs  Dirs
	mu    sync.Mutex
	files map[string]*os.File // by the entry's name
}

func newAccessLog(d Dirs) *accessLog { return &accessLog{dirs: d, files: map[string]*os.File{}} }

// printable keeps a line a line, whatever a request is made of.
var printable = strings.NewReplacer("\n", "%0A", "\r", "%0D", " ", "%20", "\t", "%09", "\x1b", "%1B")

func (l *accessLog) add(entry string, r *http.Request, came time.Time, status int, by string) {
	if by == "" {
		by = "-"
	}
	line := fmt.Sprintf("%s %s %s %d %.1fms %s\n", came.UTC().Format("2006-01-02T15:04:05.000Z"), printable.Replace(r.Method),
		printable.Replace(r.URL.EscapedPath()), status, float64(time.Since(came).Microseconds())/1000, by)
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[entry]
	if f == nil {
		var err error
		if f, err = os.OpenFile(l.dirs.Log(entry), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return // a disk that is full stops no request
		}
		l.files[entry] = f
	}
	_, _ = f.WriteString(line)
}
