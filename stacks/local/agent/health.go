//go:build unix

package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// probe asks a health path: no redirects followed, no connection kept.
var probe = &http.Client{
	Timeout:       2 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
}

// check returns "" when the process is healthy, or what it answered.
func (h Health) check(ctx context.Context) string {
	switch {
	case h.HTTP != "":
		return checkHTTP(ctx, h.HTTP)
	case h.Postgres != "":
		return checkPostgres(ctx, h.Postgres)
	case h.Redis != "":
		return checkRedis(ctx, h.Redis)
	default:
		return ""
	}
}

// tell is what there is to say of a healthy process, and whether that may be so for long.
func (h Health) tell(ctx context.Context) (what string, settled bool) {
	if !h.Follows {
		return "", true
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, h.Postgres)
	if err != nil {
		return "", true
	}
	defer c.Close(context.WithoutCancel(ctx))
	var follows bool
	var status string
	var behind int64
	var since float64
	err = c.QueryRow(ctx, `SELECT pg_is_in_recovery(), coalesce((SELECT status FROM pg_stat_wal_receiver), ''),
		coalesce(greatest(pg_wal_lsn_diff((SELECT latest_end_lsn FROM pg_stat_wal_receiver), pg_last_wal_replay_lsn()), 0), 0)::bigint,
		coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)::float8`).Scan(&follows, &status, &behind, &since)
	switch {
	case err != nil, !follows: // it has been promoted
		return "", true
	case status != "streaming":
		return fmt.Sprintf("does not follow its leader now; the last change it has is %.0f s old", since), false
	case behind == 0:
		return "has all that its leader has", true
	}
	return fmt.Sprintf("%d kB and at most %.1f s behind its leader", behind>>10, since), true
}

// checkRedis asks without logging in: a server that asks for a password serves.
func checkRedis(ctx context.Context, address string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return "nothing listens on the port yet"
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err.Error()
	}
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		return err.Error()
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && (strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH")) {
		return ""
	}
	return "the last answer was " + strings.TrimSpace(line)
}

func checkHTTP(ctx context.Context, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("User-Agent", "scale-health-check")
	resp, err := probe.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens on the port yet"
	case err != nil && os.IsTimeout(err):
		return "no answer within 2 s"
	case err != nil:
		return err.Error()
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode < 400 {
		return ""
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // what there is of it helps
	return strings.TrimSpace(fmt.Sprintf("the last answer was %s %s", resp.Status, strings.Join(strings.Fields(string(body)), " ")))
}

func checkPostgres(ctx context.Context, dsn string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err == nil {
		_ = c.Close(ctx)
		return ""
	}
	var pg *pgconn.PgError
	var op *net.OpError
	switch {
	case errors.As(err, &pg):
		return pg.Message
	case errors.As(err, &op) && errors.Is(op, syscall.ECONNREFUSED):
		return "nothing listens on the port yet"
	default:
		return "no answer" // pgx's own text quotes the connection string
	}
}

// clearStalePostmaster removes a lock file whose process has ended or is not a
// PostgreSQL on this directory. PostgreSQL itself asks only whether the number is
// taken, and after a reboot it may be another program's; in a container without an
// init, a zombie keeps it.
func clearStalePostmaster(dataDir string) {
	file := filepath.Join(dataDir, "postmaster.pid")
	b, err := os.ReadFile(file)
	if err != nil {
		return
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return
	}
	_, alive := startTime(pid)
	if real, err := filepath.EvalSymlinks(dataDir); err == nil {
		dataDir = real // as the link to a process's directory reads
	}
	cwd, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	if !alive || err == nil && cwd != dataDir {
		_ = os.Remove(file)
	}
}
