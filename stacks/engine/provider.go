package engine

import (
	"context"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Provider is a resource provider of ours, served in this process. The engine
// adapts it: secrets are unwrapped before a method sees them and wrapped again
// in what it returns, panics become errors, and what it waits for becomes an
// event.
type Provider interface {
	// Check completes and validates inputs, changing nothing.
	Check(ctx context.Context, r Request) (resource.PropertyMap, []Failure, error)
	// Diff compares r.OldInputs and r.Olds with r.Inputs.
	Diff(ctx context.Context, r Request) (Diff, error)
	// Create makes the resource, or adopts the one of that name. With r.Preview
	// it changes nothing, and values that do not exist yet are computed ones.
	Create(ctx context.Context, r Request) (id string, outputs resource.PropertyMap, err error)
	// Read says what is there.
	Read(ctx context.Context, r Request) (Found, error)
	// Update changes the resource in place; r.Preview as in Create.
	Update(ctx context.Context, r Request) (outputs resource.PropertyMap, err error)
	// Delete removes it; deleting what is not there is no error.
	Delete(ctx context.Context, r Request) error
	// Invoke calls a function.
	Invoke(ctx context.Context, token string, args resource.PropertyMap) (resource.PropertyMap, error)
}

// Request is what a provider method is asked about. Which fields are set
// follows from the method; maps hold no secret wrappers.
type Request struct {
	URN, Type, Name, ID string
	Olds                resource.PropertyMap // outputs as the state knows them
	OldInputs           resource.PropertyMap
	Inputs              resource.PropertyMap
	// Config is that of the provider that was asked: several may serve one package.
	Config  resource.PropertyMap
	Preview bool
	// Waiting tells the person what the operation waits for; never nil.
	Waiting func(what string)
}

// Found is what a Read found. Nil outputs mean that the resource is gone for good;
// one that is merely stopped says so in an output.
type Found struct {
	ID      string               // empty: the one that was asked for; a creation whose answer was lost is asked for by name
	Inputs  resource.PropertyMap // nil: what the state says was asked for
	Outputs resource.PropertyMap
}

// Failure is an input that Check refuses.
type Failure struct{ Property, Reason string }

// Diff is what would change. The zero value is no change.
type Diff struct {
	Changed  []string // inputs or outputs that differ
	Replaces []string // the ones of Changed that force a new resource
	// Beside: the new resource can stand beside the old, and is made first.
	Beside bool
}

// ProviderFactory makes a provider for one operation.
type ProviderFactory func() Provider
