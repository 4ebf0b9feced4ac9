// Package app is the guestbook: entries with a name and a message, uploads, a
// WebSocket to sign over, a stream of new entries, a page that shows which backend
// answered, likes that can be a service of their own, and a worker that counts words.
// It keeps nothing beside the database, the session store and the queue, so that any
// number of it may run.
//
// It knows nothing of scale but the names of the environment variables.
package app

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

//go:embed public
var public embed.FS

// Public is the directory of static files.
func Public() fs.FS {
	sub, err := fs.Sub(public, "public")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return sub
}

// settings are what the environment says.
type settings struct {
	addr              string
	level, region     string
	color             string
	database, replica string
	direct            string // past a pool of connections
	lent              bool   // by one that lends them for a transaction
	sessions, queue   string
	cache, strategy   string
	serveStatic       bool
	likesURL          string // of the service that keeps the likes; empty: they are kept here
	likesToken        string // the file with what it is called
	identity, keys    string // of this service, and the file by which it knows who calls
}

func fromEnvironment() settings {
	return settings{
		addr:  net.JoinHostPort(env("HOST", "127.0.0.1"), env("PORT", "8080")),
		level: env("SCALE_LEVEL", "none"), region: env("SCALE_REGION", "here"), color: env("SCALE_COLOR", "none"),
		database: os.Getenv("DATABASE_URL"), replica: os.Getenv("DATABASE_REPLICA_URL"),
		direct: env("DATABASE_DIRECT_URL", os.Getenv("DATABASE_URL")), lent: os.Getenv("DATABASE_POOL") == "transaction",
		sessions: os.Getenv("SESSION_URL"), queue: os.Getenv("QUEUE_URL"),
		cache: os.Getenv("CACHE_URL"), strategy: env("GUESTBOOK_CACHE", cacheNotify),
		likesURL: os.Getenv("SERVICE_LIKES_URL"), likesToken: os.Getenv("SERVICE_LIKES_TOKEN_FILE"),
		identity: os.Getenv("SERVICE_IDENTITY"), keys: os.Getenv("SERVICE_KEYS_FILE"),
		serveStatic: os.Getenv("STATIC_URL") == "", // alone, nobody else serves the files
	}
}

func env(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// Main runs one of the commands: serve, likes, work.
func Main(args []string) error {
	command := "serve"
	if len(args) > 0 {
		command = args[0]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch command {
	case "serve":
		return serve(ctx, fromEnvironment())
	case "likes":
		return serveLikes(ctx, fromEnvironment())
	case "work":
		return work(ctx, fromEnvironment())
	default:
		return fmt.Errorf("unknown command %q: it is serve, likes or work", command)
	}
}

// serve answers requests until it is asked to end, then lets those in flight finish.
func serve(ctx context.Context, s settings) error {
	st, err := open(ctx, s, connections)
	if err != nil {
		return err
	}
	if st, err = withCache(ctx, st, s); err != nil {
		return err
	}
	defer st.Close()
	v := &server{settings: s, store: st, likes: st, ending: ctx.Done()}
	if s.likesURL != "" {
		v.likes = newDistant(s)
	}
	if s.sessions != "" {
		if v.sessions, err = openSessions(s.sessions); err != nil {
			return err
		}
		defer v.sessions.Close()
	}
	if s.queue != "" {
		if v.queue, err = openQueue(ctx, s.queue); err != nil {
			return err
		}
		defer v.queue.Close()
	}
	err = listen(ctx, s, "guestbook", v.routes())
	v.chats.Wait() // the server does not wait for WebSockets
	return err
}

// serveLikes is the service that keeps the likes.
func serveLikes(ctx context.Context, s settings) error {
	st, err := open(ctx, s, likesConnections)
	if err != nil {
		return err
	}
	defer st.Close()
	return listen(ctx, s, "likes", likesService(st, s))
}

// listen answers requests until ctx ends, and then those in flight.
func listen(ctx context.Context, s settings, name string, h http.Handler) error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("%s listens on http://%s, level %s, region %s, color %s\n", name, l.Addr(), s.level, s.region, s.color)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		if err := srv.Shutdown(grace); err != nil {
			fmt.Fprintln(os.Stderr, name+": shutdown:", err)
		}
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-ended
	return nil
}

// work counts the words of new entries until it is asked to end: those in the queue, or
// without one all that it finds.
func work(ctx context.Context, s settings) error {
	st, err := open(ctx, s, 1)
	if err != nil {
		return err
	}
	defer st.Close()
	if s.queue != "" {
		q, err := openQueue(ctx, s.queue)
		if err != nil {
			return err
		}
		defer q.Close()
		fmt.Printf("takes entries from the queue, level %s, region %s\n", s.level, s.region)
		return fromQueue(ctx, st, q)
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		n, err := st.CountWords(ctx, nil)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if n > 0 {
			fmt.Printf("counted the words of %d entries\n", n)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}
