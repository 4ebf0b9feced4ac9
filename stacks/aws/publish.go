package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cdn "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"
)

// The bucket of releases: a release's own files, which nodes and static servers fetch
// whole; and under cdnFiles those of all releases over each other, so that a page of the
// old one still finds what it refers to while a new one comes.
const (
	releaseFiles = "releases/"
	cdnFiles     = "cdn/"
	complete     = ".complete" // beside a release whose files are all there
)

// uploads is how many files are sent at once.
const uploads = 16

// largestFile is what one call of S3 takes (S3 documentation, "PutObject").
const largestFile = 5 << 30

// Publish implements Verbs. The note that a release is complete comes last.
func (a *account) Publish(ctx context.Context, region, bucket, release string, files fs.FS) (over bool, err error) {
	c, err := a.load(ctx, region)
	if err != nil {
		return false, err
	}
	client := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
	note := releaseFiles + release + complete
	known, others, err := releases(ctx, client, bucket, note)
	if err != nil || known {
		return false, err
	}
	if files == nil {
		return false, &Error{What: "the files of release " + release + " are not at hand", Hint: "the built-in example is for rehearsals; write a scale.yaml: scale init"}
	}
	g, side := errgroup.WithContext(ctx)
	g.SetLimit(uploads)
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() > largestFile {
			return &Error{What: fmt.Sprintf("%s has %d bytes, and a file of a release may have 5 GiB", name, info.Size()), Hint: "keep it in the application's files: 'files: true'"}
		}
		g.Go(func() error { return upload(side, client, bucket, release, files, name) })
		return side.Err()
	})
	if err = errors.Join(g.Wait(), err); err != nil {
		return false, err
	}
	return others, put(ctx, client, bucket, note, nil)
}

// releases reports whether a release is noted as complete, and whether others are.
func releases(ctx context.Context, client *s3.Client, bucket, note string) (known, others bool, err error) {
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: sdk.String(releaseFiles), Delimiter: sdk.String("/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return false, false, explain(err, "s3:ListBucket on "+bucket)
		}
		for _, o := range page.Contents {
			known = known || sdk.ToString(o.Key) == note
			others = others || sdk.ToString(o.Key) != note && strings.HasSuffix(sdk.ToString(o.Key), complete)
		}
	}
	return known, others, nil
}

// upload sends a file twice: as one of its release, and to where the CDN looks.
func upload(ctx context.Context, client *s3.Client, bucket, release string, files fs.FS, name string) error {
	b, err := fs.ReadFile(files, name)
	if err != nil {
		return err
	}
	if err := put(ctx, client, bucket, releaseFiles+release+"/"+name, b); err != nil {
		return err
	}
	return put(ctx, client, bucket, cdnFiles+name, b)
}

func put(ctx context.Context, client *s3.Client, bucket, key string, b []byte) error {
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(b)}
	if kind := mime.TypeByExtension(path.Ext(key)); kind != "" {
		in.ContentType = &kind
	}
	_, err := client.PutObject(ctx, in)
	return explain(err, "s3:PutObject on "+bucket+"/"+key)
}

// Invalidate implements Verbs.
func (a *account) Invalidate(ctx context.Context, domain, under string) error {
	c, err := a.load(ctx, homeOfSTS)
	if err != nil {
		return err
	}
	client := cloudfront.NewFromConfig(c)
	pages := cloudfront.NewListDistributionsPaginator(client, &cloudfront.ListDistributionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return explain(err, "cloudfront:ListDistributions")
		}
		for _, d := range page.DistributionList.Items {
			if d.Aliases == nil || !slices.Contains(d.Aliases.Items, domain) {
				continue
			}
			_, err := client.CreateInvalidation(ctx, &cloudfront.CreateInvalidationInput{DistributionId: d.Id, InvalidationBatch: &cdn.InvalidationBatch{
				CallerReference: sdk.String(time.Now().UTC().Format(time.RFC3339Nano)),
				Paths:           &cdn.Paths{Quantity: sdk.Int32(1), Items: []string{strings.TrimSuffix(under, "/") + "/*"}}}})
			if err != nil {
				return explain(err, "cloudfront:CreateInvalidation")
			}
		}
	}
	return nil
}

// noted reports whether an object is there.
func noted(ctx context.Context, client *s3.Client, bucket, key string) (bool, error) {
	_, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	var api smithy.APIError
	if errors.As(err, &api) && (api.ErrorCode() == "NotFound" || api.ErrorCode() == "NoSuchKey") {
		return false, nil
	}
	return err == nil, explain(err, "s3:GetObject on "+bucket+"/"+key)
}
