package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// look is how often an event stream looks for new entries.
const look = 200 * time.Millisecond

// events streams entries as they are written, from the one after Last-Event-ID. It
// ends in order when the program ends; a browser then connects again by itself.
func (v *server) events(w http.ResponseWriter, r *http.Request) {
	last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		es, err := v.store.Latest(r.Context(), 1)
		if err != nil {
			fail(w, http.StatusServiceUnavailable, "the database does not answer")
			return
		}
		if len(es) > 0 {
			last = es[0].ID
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	fmt.Fprint(w, "retry: 100\n\n")
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		es, err := v.store.Since(r.Context(), last)
		if err != nil {
			return
		}
		for _, e := range es {
			b, err := json.Marshal(e)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.ID, b)
			last = e.ID
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-t.C:
		case <-v.ending:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// chat signs the guestbook over a WebSocket, and answers each message with the
// entry that it became. When the program ends it says so, and the client goes on
// elsewhere.
func (v *server) chat(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	v.chats.Add(1)
	defer v.chats.Done()
	defer c.CloseNow()
	ctx, cancel := context.WithCancel(context.Background()) // a hijacked connection outlives its request
	defer cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		select {
		case <-v.ending:
			_ = c.Close(websocket.StatusGoingAway, "another instance goes on")
		case <-ctx.Done():
		}
	}()
	for {
		var in signature
		if err := wsjson.Read(ctx, c, &in); err != nil {
			break
		}
		if !in.check() {
			_ = c.Close(websocket.StatusPolicyViolation, "a name and a message are needed")
			break
		}
		e, err := v.store.Add(ctx, in.Name, in.Message)
		if err != nil {
			_ = c.Close(websocket.StatusTryAgainLater, "the database does not answer")
			break
		}
		if err := wsjson.Write(ctx, c, e); err != nil {
			break
		}
	}
	cancel()
	<-closed
}
