package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// queue holds the entries whose words are still to be counted, in a stream of Redis: what
// a worker took and did not finish, another takes after a while.
type queue struct{ client *redis.Client }

const (
	jobs    = "guestbook:words" // the stream
	workers = "workers"         // the group that shares it out
	// forgotten is how long a job is with one worker before another takes it.
	forgotten = 10 * time.Second
	// atOnce is how many jobs a worker takes.
	atOnce = 10
)

func openQueue(ctx context.Context, url string) (*queue, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	o.MaxRetries = 10 // a queue that restarts is waited for
	q := &queue{redis.NewClient(o)}
	err = q.client.XGroupCreateMkStream(ctx, jobs, workers, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") { // it is there
		return nil, errors.Join(err, q.client.Close())
	}
	return q, nil
}

// put adds an entry; when it returns, the job is on the disk.
func (q *queue) put(ctx context.Context, entry int64) error {
	return q.client.XAdd(ctx, &redis.XAddArgs{Stream: jobs, Values: []any{"entry", entry}}).Err()
}

// take waits a second for jobs; the older ones come first.
func (q *queue) take(ctx context.Context, worker string) ([]redis.XMessage, error) {
	left, _, err := q.client.XAutoClaim(ctx, &redis.XAutoClaimArgs{Stream: jobs, Group: workers, Consumer: worker, MinIdle: forgotten, Start: "0", Count: atOnce}).Result()
	if err != nil || len(left) > 0 {
		return left, err
	}
	streams, err := q.client.XReadGroup(ctx, &redis.XReadGroupArgs{Group: workers, Consumer: worker, Streams: []string{jobs, ">"}, Count: atOnce, Block: time.Second}).Result()
	if errors.Is(err, redis.Nil) || len(streams) == 0 {
		return nil, err
	}
	return streams[0].Messages, err
}

// done takes jobs that were done out of the queue.
func (q *queue) done(ctx context.Context, took []redis.XMessage) error {
	var ids []string
	for _, m := range took {
		ids = append(ids, m.ID)
	}
	p := q.client.TxPipeline()
	p.XAck(ctx, jobs, workers, ids...)
	p.XDel(ctx, jobs, ids...)
	_, err := p.Exec(ctx)
	return err
}

func (q *queue) Close() { _ = q.client.Close() }

// fromQueue counts the words of the entries in the queue until ctx ends. A job that was
// done is taken out after that: one that is done twice comes to the same.
func fromQueue(ctx context.Context, st store, q *queue) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	worker := fmt.Sprintf("%s-%d", host, os.Getpid())
	for ctx.Err() == nil {
		took, err := q.take(ctx, worker)
		if err != nil && !errors.Is(err, redis.Nil) {
			if ctx.Err() != nil {
				return nil
			}
			return err // whoever keeps it running starts it again
		}
		if len(took) == 0 {
			continue
		}
		ids := []int64{}
		for _, m := range took {
			if s, ok := m.Values["entry"].(string); ok {
				if id, err := strconv.ParseInt(s, 10, 64); err == nil {
					ids = append(ids, id)
				}
			}
		}
		finish := context.WithoutCancel(ctx) // what was begun is finished
		n, err := st.CountWords(finish, ids)
		if err != nil {
			return err
		}
		if err := q.done(finish, took); err != nil {
			return err
		}
		fmt.Printf("counted the words of %d entries\n", n)
	}
	return nil
}
