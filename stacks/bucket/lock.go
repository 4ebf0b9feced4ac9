package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/scale-levels/scale/stacks/engine"
)

// renewal is how often a lock is renewed: often enough that a person waits for that of
// a dead run less than a minute, seldom enough that it costs nothing to speak of.
const renewal = 10 * time.Second

func (b *Bucket) expiry() time.Duration { return 4 * b.Renewal }

// held is the object of a lock: its holder, or nothing once it was released.
type held struct {
	engine.Holder
	Renewed int `json:"renewed,omitempty"`
}

// look reads a lock; age is how long ago it was written.
func (b *Bucket) look(key string) (h held, tag string, age time.Duration, err error) {
	out, err := b.client.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		if err = b.explain("read", key, err); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return h, "", 0, err
	}
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	if err != nil {
		return h, "", 0, b.explain("read", key, err)
	}
	now, ok := middleware.GetServerTime(out.ResultMetadata)
	if ok && out.LastModified != nil {
		age = now.Sub(*out.LastModified)
	}
	return h, sdk.ToString(out.ETag), age, json.Unmarshal(text, &h)
}

// TryLock implements engine.Files.
func (b *Bucket) TryLock(name, command string) (*engine.Lock, engine.Holder, error) {
	key := b.key(name)
	was, tag, age, err := b.look(key)
	if err != nil {
		return nil, engine.Holder{}, err
	}
	if was.PID != 0 && age < b.expiry() {
		return nil, was.Holder, nil
	}
	h := held{Holder: engine.Sign(command)}
	tag, err = b.putLock(key, h, tag)
	if changed := (errChanged{}); errors.As(err, &changed) { // somebody else was faster
		now, _, _, err := b.look(key)
		return nil, now.Holder, err
	}
	if err != nil {
		return nil, engine.Holder{}, err
	}
	stop, stopped := make(chan struct{}), make(chan string, 1)
	b.holds(key, time.Now())
	go b.renew(key, h, tag, stop, stopped)
	end := func() string {
		close(stop)
		b.holds(key, time.Time{})
		return <-stopped
	}
	return engine.NewLock(was.Holder,
		func() error { _, err := b.putLock(key, held{}, end()); return err },
		func() error { end(); return b.Remove(name) }), h.Holder, nil
}

// holds notes when a lock was renewed; the zero time, that it is held no more.
func (b *Bucket) holds(key string, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if delete(b.renewed, key); !at.IsZero() {
		b.renewed[key] = at.Round(0) // the wall clock goes on while a machine sleeps
	}
}

// fenced refuses writes under a lock that another run may have taken over by now: one
// that was not renewed in time, as on a machine that slept.
func (b *Bucket) fenced() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, at := range b.renewed {
		if time.Now().Round(0).Sub(at) > b.expiry()-b.Renewal {
			return errChanged{"s3://" + path.Join(b.name, key)}
		}
	}
	return nil
}

func (b *Bucket) putLock(key string, h held, tag string) (string, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return "", err
	}
	return b.put(key, text, tag)
}

// renew says again and again that the holder lives.
func (b *Bucket) renew(key string, h held, tag string, stop chan struct{}, stopped chan string) {
	tick := time.NewTicker(b.Renewal)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			stopped <- tag
			return
		case at := <-tick.C:
			h.Renewed++
			if now, err := b.putLock(key, h, tag); err == nil {
				tag = now
				b.holds(key, at)
			}
		}
	}
}

// Inspect implements engine.Files.
func (b *Bucket) Inspect(name string) (engine.LockState, error) {
	h, _, age, err := b.look(b.key(name))
	if err != nil || h.PID == 0 {
		return engine.LockState{Holder: h.Holder}, err
	}
	return engine.LockState{Holder: h.Holder, Held: age < b.expiry(), Stale: age >= b.expiry()}, nil
}
