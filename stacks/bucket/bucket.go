// Package bucket keeps the state of environments in an S3 bucket, for all machines that
// reach it: each file an object that is replaced only by who has seen it last, the
// journal an object for each group of entries, locks that their holders renew.
//
// It knows S3 and the engine's files; it knows nothing of environments or targets.
package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
)

// Bucket is an engine.Files in a bucket, under a prefix.
type Bucket struct {
	// Renewal is how often a held lock is renewed; one that was not for four times as
	// long is that of a run that ended, by the server's clock.
	Renewal time.Duration

	client       *s3.Client
	name, prefix string

	mu      sync.Mutex
	seen    map[string]string    // the entity tag of what was read or written last; "": there was none
	renewed map[string]time.Time // when each lock that is held was renewed last, by this machine's clock
}

// Open prepares a bucket by its URL, "s3://bucket/prefix?region=eu-west-1"; the region is
// otherwise that of the standard chain, as are the credentials. Nothing is asked yet.
func Open(ctx context.Context, address, profile string) (*Bucket, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return nil, &plan.Error{What: fmt.Sprintf("state: %q is no bucket", address), Hint: "write s3://bucket/prefix"}
	}
	opts := []func(*config.LoadOptions) error{config.WithSharedConfigProfile(profile), config.WithLogger(logging.Nop{})}
	if r := u.Query().Get("region"); r != "" {
		opts = append(opts, config.WithRegion(r))
	}
	c, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, &plan.Error{What: "the state " + address + " cannot be reached", Err: err, Hint: "check the credentials and the profile: scale doctor"}
	}
	if c.Region == "" {
		return nil, &plan.Error{What: "the region of the state's bucket is not known", Hint: "write it behind the bucket: " + address + "?region=eu-west-1; or set AWS_REGION"}
	}
	client := s3.NewFromConfig(c, func(o *s3.Options) {
		// A server at an address of its own has no name for each bucket.
		o.UsePathStyle = o.BaseEndpoint != nil
		o.RequestChecksumCalculation = sdk.RequestChecksumCalculationWhenRequired
	})
	return &Bucket{Renewal: renewal, client: client, name: u.Host, prefix: strings.Trim(u.Path, "/"), seen: map[string]string{}, renewed: map[string]time.Time{}}, nil
}

// Place implements engine.Files.
func (b *Bucket) Place(name string) string { return "s3://" + path.Join(b.name, b.key(name)) }

func (b *Bucket) key(name string) string { return path.Join(b.prefix, name) }

// Read implements engine.Files.
func (b *Bucket) Read(name string) ([]byte, error) {
	text, tag, err := b.get(b.key(name))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		b.saw(name, tag)
	}
	return text, err
}

func (b *Bucket) saw(name, tag string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[name] = tag
}

func (b *Bucket) get(key string) (text []byte, tag string, err error) {
	out, err := b.client.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return nil, "", b.explain("read", key, err)
	}
	defer out.Body.Close()
	if text, err = io.ReadAll(out.Body); err != nil {
		return nil, "", b.explain("read", key, err)
	}
	return text, sdk.ToString(out.ETag), nil
}

// Write implements engine.Files. A file that was read before is replaced only if it is
// still what was read.
func (b *Bucket) Write(name string, text []byte) error {
	if err := b.fenced(); err != nil {
		return err
	}
	b.mu.Lock()
	tag, known := b.seen[name]
	b.mu.Unlock()
	if !known {
		tag = anything
	}
	tag, err := b.put(b.key(name), text, tag)
	if err != nil {
		return err
	}
	if known {
		b.saw(name, tag)
	}
	return nil
}

// anything is the tag of what may be replaced whatever it is.
const anything = "*"

// put writes an object in the place of the one that has a tag; of none when it is empty.
func (b *Bucket) put(key string, text []byte, tag string) (string, error) {
	in := &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(text)}
	switch tag {
	case anything:
	case "":
		in.IfNoneMatch = sdk.String("*")
	default:
		in.IfMatch = &tag
	}
	out, err := b.client.PutObject(context.Background(), in)
	if err == nil {
		return sdk.ToString(out.ETag), nil
	}
	if !refused(err) {
		return "", b.explain("write", key, err)
	}
	// A first attempt may have been carried out and its answer lost.
	if now, tag, err := b.get(key); err == nil && bytes.Equal(now, text) {
		return tag, nil
	}
	return "", errChanged{"s3://" + path.Join(b.name, key)}
}

// errChanged means that another run wrote an object meanwhile.
type errChanged struct{ place string }

func (e errChanged) Error() string { return e.place + " was changed by another run meanwhile" }

// Hints returns what to do about it.
func (errChanged) Hints() string {
	return "that run took the environment over, or it was changed by hand: look at 'scale status', then go on with 'scale up'"
}

// refused reports whether a condition of a write did not hold.
func refused(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains([]string{"PreconditionFailed", "ConditionalRequestConflict"}, api.ErrorCode())
}

// Remove implements engine.Files.
func (b *Bucket) Remove(name string) error {
	key := b.key(name)
	_, err := b.client.DeleteObject(context.Background(), &s3.DeleteObjectInput{Bucket: &b.name, Key: &key})
	if err == nil || errors.Is(b.explain("", key, err), fs.ErrNotExist) {
		b.saw(name, "")
		return nil
	}
	return b.explain("remove", key, err)
}

// explain words what S3 said.
func (b *Bucket) explain(what, key string, err error) error {
	var api smithy.APIError
	place := "s3://" + path.Join(b.name, key)
	if strings.Contains(err.Error(), "failed to refresh cached credentials") || strings.Contains(err.Error(), "static credentials are empty") {
		return &plan.Error{What: "there are no AWS credentials, and the state is in " + place, Hint: "set AWS_PROFILE or --profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; '--rehearse' needs none"}
	}
	if !errors.As(err, &api) {
		return &plan.Error{What: "the state " + place + " cannot be reached", Err: err, Hint: "check the network, the credentials and the bucket's region"}
	}
	switch api.ErrorCode() {
	case "NoSuchKey", "NotFound":
		return fmt.Errorf("%s: %w", place, fs.ErrNotExist)
	case "NoSuchBucket":
		return &plan.Error{What: "the bucket of the state, " + b.name + ", does not exist", Hint: "make it, private, encrypted and with versions, then try again"}
	case "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return &plan.Error{What: "these credentials may not " + what + " " + place, Err: err, Hint: "they need s3:ListBucket on the bucket, s3:GetObject, s3:PutObject and s3:DeleteObject under the prefix"}
	}
	return &plan.Error{What: "S3 refused to " + what + " " + place, Err: err}
}

// Log implements engine.Files.
func (b *Bucket) Log(name string) engine.Log { return &log{b: b, name: name} }

// log is an object for each Append, numbered.
type log struct {
	b    *Bucket
	name string
	n    int // how many there are
}

func (l *log) part(n int) string { return l.b.key(fmt.Sprintf("%s/%08d", l.name, n)) }

func (l *log) parts() (keys []string, err error) {
	prefix := l.b.key(l.name) + "/"
	pages := s3.NewListObjectsV2Paginator(l.b.client, &s3.ListObjectsV2Input{Bucket: &l.b.name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return nil, l.b.explain("list", prefix, err)
		}
		for _, o := range page.Contents {
			keys = append(keys, sdk.ToString(o.Key))
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// Read implements engine.Log.
func (l *log) Read() ([]byte, error) {
	keys, err := l.parts()
	if err != nil {
		return nil, err
	}
	l.n = len(keys)
	if l.n == 0 {
		return nil, fs.ErrNotExist
	}
	texts, errs := make([][]byte, l.n), make([]error, l.n)
	side := make(chan struct{}, 16)
	var wait sync.WaitGroup
	for i, key := range keys {
		wait.Add(1)
		side <- struct{}{}
		go func() {
			defer wait.Done()
			texts[i], _, errs[i] = l.b.get(key)
			<-side
		}()
	}
	wait.Wait()
	return bytes.Join(texts, nil), errors.Join(errs...)
}

// Append implements engine.Log.
func (l *log) Append(lines []byte) error {
	if err := l.b.fenced(); err != nil {
		return err
	}
	if _, err := l.b.put(l.part(l.n+1), lines, ""); err != nil {
		return err
	}
	l.n++
	return nil
}

// Remove implements engine.Log. The first goes last: a log without its beginning would
// be damaged, one without its end is only shorter.
func (l *log) Remove() error {
	keys, err := l.parts()
	if err != nil {
		return err
	}
	slices.Reverse(keys)
	for group := range slices.Chunk(keys, 1000) { // as many as S3 deletes at once
		for len(group) > 1 {
			n := len(group) - 1
			var ids []types.ObjectIdentifier
			for _, k := range group[:n] {
				ids = append(ids, types.ObjectIdentifier{Key: sdk.String(k)})
			}
			out, err := l.b.client.DeleteObjects(context.Background(), &s3.DeleteObjectsInput{Bucket: &l.b.name, Delete: &types.Delete{Objects: ids, Quiet: sdk.Bool(true)}})
			if err != nil {
				return l.b.explain("remove", l.b.key(l.name), err)
			}
			if len(out.Errors) > 0 {
				return fmt.Errorf("remove %s: %s", sdk.ToString(out.Errors[0].Key), sdk.ToString(out.Errors[0].Message))
			}
			group = group[n:]
		}
		if _, err := l.b.client.DeleteObject(context.Background(), &s3.DeleteObjectInput{Bucket: &l.b.name, Key: &group[0]}); err != nil {
			return l.b.explain("remove", group[0], err)
		}
	}
	l.n = 0
	return nil
}

// Close implements engine.Log.
func (l *log) Close() error { return nil }
