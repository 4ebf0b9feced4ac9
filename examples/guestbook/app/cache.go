package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"
)

// The strategies of the cache in front of the database, as GUESTBOOK_CACHE names them.
const (
	cacheTTL     = "ttl"     // a query's answer holds for a second, whatever is written meanwhile
	cacheNotify  = "notify"  // a query's answer holds until somebody writes, wherever that is
	cacheObjects = "objects" // each entry is kept by itself; only which ones are the latest is asked for
	cacheOff     = "off"
)

// cached is a store with a region's cache in front of what is read most. A cache that
// does not answer is as good as none: everything comes from the store.
type cached struct {
	store
	client   *redis.Client
	strategy string
	asking   singleflight.Group // who misses the same at the same time asks once
}

const (
	shortly  = time.Second // how stale an answer may be by the strategy ttl
	atMost   = time.Minute // how long one holds that nobody has said anything about
	patience = 200 * time.Millisecond
)

// withCache puts the cache of a region in front of a store, where there is one.
func withCache(ctx context.Context, st store, s settings) (store, error) {
	if s.cache == "" || s.strategy == cacheOff {
		return st, nil
	}
	if !slices.Contains([]string{cacheTTL, cacheNotify, cacheObjects}, s.strategy) {
		return nil, fmt.Errorf("GUESTBOOK_CACHE is %q: it is ttl, notify, objects or off", s.strategy)
	}
	o, err := redis.ParseURL(s.cache)
	if err != nil {
		return nil, err
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.MaxRetries = patience, patience, patience, -1
	c := &cached{store: st, client: redis.NewClient(o), strategy: s.strategy}
	if s.strategy == cacheNotify && s.database != "" {
		go c.listen(ctx, s.direct)
	}
	return c, nil
}

// The epoch counts the writes that a region has heard of. It is part of the keys of
// what they make stale, so that who read before a write cannot leave an old answer
// behind it.
const epochKey = "entries:epoch"

func (c *cached) forget(ctx context.Context) {
	if c.strategy == cacheNotify {
		c.client.Incr(context.WithoutCancel(ctx), epochKey)
	}
}

// listen hears of writes in every region, from the one database that sees them all. What
// is read meanwhile from a replica that is behind is forgotten once it is not.
func (c *cached) listen(ctx context.Context, database string) {
	dirty := make(chan struct{}, 1)
	go func() {
		for {
			select {
			case <-dirty:
				if c.CaughtUp(ctx) == nil {
					c.forget(ctx)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	for ctx.Err() == nil {
		err := func() error {
			conn, err := pgx.Connect(ctx, database)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(ctx))
			if _, err := conn.Exec(ctx, "LISTEN "+written); err != nil {
				return err
			}
			for {
				c.forget(ctx) // at first too: nobody knows what was missed
				select {
				case dirty <- struct{}{}:
				default: // it is about to be asked
				}
				if _, err := conn.WaitForNotification(ctx); err != nil {
					return err
				}
			}
		}()
		if ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "guestbook: nobody says what is written:", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func (c *cached) Latest(ctx context.Context, n int) ([]entry, error) {
	if c.strategy == cacheObjects {
		return c.objects(ctx, n)
	}
	key, hold := "entries:latest:"+strconv.Itoa(n), shortly
	if c.strategy == cacheNotify {
		epoch, err := c.client.Get(ctx, epochKey).Result()
		if err != nil && err != redis.Nil {
			return c.store.Latest(ctx, n)
		}
		key, hold = key+":"+epoch, atMost
	}
	var es []entry
	if b, err := c.client.Get(ctx, key).Bytes(); err == nil && json.Unmarshal(b, &es) == nil {
		return es, nil
	}
	found, err, _ := c.asking.Do(key, func() (any, error) {
		es, err := c.store.Latest(context.WithoutCancel(ctx), n)
		if b, bad := json.Marshal(es); err == nil && bad == nil {
			c.client.Set(context.WithoutCancel(ctx), key, b, hold)
		}
		return es, err
	})
	if err != nil {
		return nil, err
	}
	return found.([]entry), nil
}

// objects asks the database which entries are the latest, and only for those that the
// cache does not have.
func (c *cached) objects(ctx context.Context, n int) ([]entry, error) {
	ids, err := c.LatestIDs(ctx, n)
	if err != nil || len(ids) == 0 {
		return []entry{}, err
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = entryKey(id)
	}
	found, err := c.client.MGet(ctx, keys...).Result()
	if err != nil {
		return c.store.Latest(ctx, n)
	}
	es := make([]entry, len(ids))
	for i, f := range found {
		if text, ok := f.(string); ok && json.Unmarshal([]byte(text), &es[i]) == nil {
			continue
		}
		all, err := c.store.Latest(ctx, n) // one is missing: all are asked for, by one query
		for _, e := range all {
			if b, bad := json.Marshal(e); bad == nil {
				c.client.Set(ctx, entryKey(e.ID), b, atMost)
			}
		}
		return all, err
	}
	return es, nil
}

func entryKey(id int64) string { return "entry:" + strconv.FormatInt(id, 10) }

func (c *cached) Add(ctx context.Context, name, message string) (entry, error) {
	e, err := c.store.Add(ctx, name, message)
	if err == nil {
		c.forget(ctx) // who has written sees it, before the database has told everyone
	}
	return e, err
}

func (c *cached) Close() {
	_ = c.client.Close()
	c.store.Close()
}
