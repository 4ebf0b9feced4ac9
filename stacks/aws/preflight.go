package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/scale-levels/scale/internal/topology"
)

// asking bounds what is asked before a change of who may not answer.
const asking = 15 * time.Second

// Preflight reports what would make a change fail, before anything changes: credentials
// of another account, images that do not exist, a name for which no certificate would be
// issued. What cannot be known, since nobody answers, is no reason to refuse.
func (a *AWS) Preflight(t topology.Topology) error {
	ctx, cancel := context.WithTimeout(context.Background(), asking)
	defer cancel()
	id, _, err := a.verbs.Identity(ctx)
	if err != nil {
		return err
	}
	for _, want := range []string{a.pins[pinAccount], a.Account} {
		if want != "" && want != id {
			return &Error{What: fmt.Sprintf("these credentials are of account %s, and the environment belongs to %s", id, want),
				Hint: "choose the other account's credentials with --profile or AWS_PROFILE; nothing was changed"}
		}
	}
	if a.Rehearsal != nil || a.Endpoint != "" {
		return nil
	}
	for _, n := range t.OfKind(topology.Backend) {
		if err := a.exists(ctx, n.Backend.Image); err != nil {
			return err
		}
	}
	if t.Level < 2 {
		return nil
	}
	return a.delegated(ctx)
}

// delegated refuses to go where a certificate is needed that would never be issued.
func (a *AWS) delegated(ctx context.Context) error {
	ns, err := a.servers(ctx, a.Domain)
	var unknown *net.DNSError
	switch {
	case errors.As(err, &unknown) && unknown.IsNotFound:
	case err != nil, slices.ContainsFunc(ns, func(n *net.NS) bool { return strings.Contains(n.Host, ".awsdns-") }):
		return nil
	default:
		err = fmt.Errorf("it is served by %s", ns[0].Host)
	}
	return &Error{What: a.Domain + " is not delegated to Route 53, and without that no certificate is issued", Err: err,
		Hint: "go to level 1 first, which makes the zone, and enter its four name servers where the domain above it is kept; 'scale doctor' tells when it is so. Nothing was changed"}
}

// exists refuses an image of which its registry says that there is none.
func (a *AWS) exists(ctx context.Context, image string) error {
	ref, err := name.ParseReference(image)
	if err != nil {
		return &Error{What: "the image " + image + " is not named as images are", Err: err, Hint: "name it with its tag, for example ghcr.io/acme/web:1.0"}
	}
	auth := remote.WithAuthFromKeychain(authn.DefaultKeychain)
	if region, ok := ofECR(ref.Context().RegistryStr()); ok {
		token, err := a.registryToken(ctx, region)
		if err != nil {
			return nil
		}
		auth = remote.WithAuth(token)
	}
	_, err = remote.Head(ref, remote.WithContext(ctx), auth)
	var said *transport.Error
	if errors.As(err, &said) && said.StatusCode == http.StatusNotFound {
		return &Error{What: "there is no image " + image, Err: errors.New(ref.Context().RegistryStr() + " does not know it"), Hint: "push it, or correct 'image' in scale.yaml; nothing was changed"}
	}
	return nil
}

// ofECR is the region of a private registry of AWS: 123456789012.dkr.ecr.eu-west-1.amazonaws.com.
func ofECR(registry string) (region string, ok bool) {
	_, rest, ok := strings.Cut(registry, ".dkr.ecr.")
	region, _, in := strings.Cut(rest, ".amazonaws.com")
	return region, ok && in
}

// registryToken is the credentials that AWS gives for its registries of a region.
func (a *AWS) registryToken(ctx context.Context, region string) (authn.Authenticator, error) {
	c, err := (&account{profile: a.Profile}).load(ctx, region)
	if err != nil {
		return nil, err
	}
	out, err := ecr.NewFromConfig(c).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil || len(out.AuthorizationData) == 0 {
		return nil, explain(err, "ecr:GetAuthorizationToken")
	}
	b, err := base64.StdEncoding.DecodeString(sdk.ToString(out.AuthorizationData[0].AuthorizationToken))
	user, password, _ := strings.Cut(string(b), ":")
	return &authn.Basic{Username: user, Password: password}, err
}
