package engine

import (
	"context"
	"errors"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// closed stands for a provider whose operation has ended.
type closed struct{}

var errEnded = errors.New("the operation has ended")

func (closed) Check(context.Context, Request) (resource.PropertyMap, []Failure, error) {
	return nil, nil, errEnded
}
func (closed) Diff(context.Context, Request) (Diff, error) { return Diff{}, errEnded }
func (closed) Create(context.Context, Request) (string, resource.PropertyMap, error) {
	return "", nil, errEnded
}
func (closed) Read(context.Context, Request) (Found, error) { return Found{}, errEnded }
func (closed) Update(context.Context, Request) (resource.PropertyMap, error) {
	return nil, errEnded
}
func (closed) Delete(context.Context, Request) error { return errEnded }
func (closed) Invoke(context.Context, string, resource.PropertyMap) (resource.PropertyMap, error) {
	return nil, errEnded
}
