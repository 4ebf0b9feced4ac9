package aws_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// answers is a server that says one thing to every call, as STS would.
func answers(t *testing.T, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func refusedWith(code string) string {
	return "<ErrorResponse><Error><Type>Sender</Type><Code>" + code + "</Code><Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>"
}

const identity = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::210987654321:user/x</Arn><UserId>x</UserId><Account>210987654321</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`

// Each gets one clear error with what to do, before anything is changed.
func TestWhatAnAccountMayRefuse(t *testing.T) {
	empty := t.TempDir()
	for k, v := range map[string]string{"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": filepath.Join(empty, "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(empty, "credentials"),
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "AWS_MAX_ATTEMPTS": "1", "HOME": empty} {
		t.Setenv(k, v)
	}
	if err := os.WriteFile(filepath.Join(empty, "config"), []byte("[profile old]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\nregion = us-east-1\n[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://example.com/start\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config     aws.Config
		says, hint string
	}{
		"no credentials":                  {aws.Config{}, "there are no AWS credentials", "--rehearse"},
		"a profile that does not exist":   {aws.Config{Profile: "nobody"}, "the profile does not exist", "list-profiles"},
		"an SSO session that is over":     {aws.Config{Profile: "old"}, "the SSO session has expired", "aws sso login"},
		"another account":                 {aws.Config{Account: "123456789012", Endpoint: answers(t, 200, identity)}, "these credentials are of account 210987654321, and the environment belongs to 123456789012", "--profile"},
		"credentials that are unknown":    {aws.Config{Endpoint: answers(t, 403, refusedWith("InvalidClientTokenId"))}, "AWS does not know these credentials", "AWS_ACCESS_KEY_ID"},
		"credentials that have expired":   {aws.Config{Endpoint: answers(t, 403, refusedWith("ExpiredToken"))}, "the credentials have expired", "aws sso login"},
		"no leave":                        {aws.Config{Endpoint: answers(t, 403, refusedWith("AccessDenied"))}, "may not sts:GetCallerIdentity", "leave for sts:GetCallerIdentity"},
		"a region that is not enabled":    {aws.Config{Endpoint: answers(t, 403, refusedWith("OptInRequired"))}, "the region is not enabled", "scale.yaml"},
		"an emulator without the service": {aws.Config{Endpoint: answers(t, 501, refusedWith("NotImplemented"))}, "does not know sts:GetCallerIdentity", "emulator"},
		"nobody at the endpoint":          {aws.Config{Endpoint: "http://127.0.0.1:1"}, "AWS cannot be reached", "network"},
	} {
		t.Run(name, func(t *testing.T) {
			a := app(t, 1, 1)
			c.config.Domain = a.Domain
			home := t.TempDir()
			e, err := stacks.Open(stacks.Home(home), a, aws.New(c.config), stacks.Passphrase{Value: "x"}, "test")
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.Plan(context.Background(), goal(1), nil)
			var told *aws.Error
			if !errors.As(err, &told) || !strings.Contains(err.Error(), c.says) || !strings.Contains(told.Hints(), c.hint) {
				t.Fatalf("%v (%+v)", err, told)
			}
			if files, _ := filepath.Glob(filepath.Join(home, "*")); len(files) > 0 {
				t.Errorf("something was written: %v", files)
			}
		})
	}
}

// Before anything is changed: an image that its registry does not know, a domain for
// which no certificate would be issued. What nobody answers is no reason to refuse.
func TestWhatCannotWorkIsRefusedFirst(t *testing.T) {
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(images.Close)
	there := strings.TrimPrefix(images.URL, "http://") + "/acme/web:1.0"
	ref, err := name.ParseReference(there)
	if err == nil {
		err = remote.Write(ref, empty.Image)
	}
	if err != nil {
		t.Fatal(err)
	}
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSSM") {
			fmt.Fprint(w, `{"Parameter":{"Value":"ami-0123456789abcdef0"}}`)
			return
		}
		fmt.Fprint(w, identity)
	}))
	t.Cleanup(sts.Close)
	for k, v := range map[string]string{"AWS_ENDPOINT_URL": sts.URL, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": "",
		"HOME": t.TempDir(), "PULUMI_HOME": t.TempDir(), "PATH": "", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"} {
		t.Setenv(k, v)
	}
	route53 := func() ([]*net.NS, error) { return []*net.NS{{Host: "ns-1.awsdns-1.com."}}, nil }
	elsewhere := func() ([]*net.NS, error) { return []*net.NS{{Host: "ns.example.com."}}, nil }
	nobody := func() ([]*net.NS, error) { return nil, &net.DNSError{Err: "no such host", IsNotFound: true} }
	silent := func() ([]*net.NS, error) { return nil, &net.DNSError{Err: "timeout", IsTimeout: true} }
	const plugin = "install" // what comes after: the plugin is not here, and nothing can be downloaded
	for what, c := range map[string]struct {
		image   string
		servers func() ([]*net.NS, error)
		level   int
		says    string
		hint    string
	}{
		"an image that is not there":         {strings.Replace(there, "1.0", "2.0", 1), route53, 1, "there is no image", "push it"},
		"an image that is named wrongly":     {"Acme/Web:1.0", route53, 1, "not named as images are", "ghcr.io"},
		"a registry that does not answer":    {"127.0.0.1:1/acme/web:1.0", route53, 1, "", plugin},
		"a domain that nobody serves":        {there, nobody, 2, "is not delegated", "level 1 first"},
		"a domain that is served by others":  {there, elsewhere, 2, "served by ns.example.com.", "level 1 first"},
		"a domain that needs no certificate": {there, nobody, 1, "", plugin},
		"name servers that do not answer":    {there, silent, 2, "", plugin},
		"no plugin":                          {there, route53, 2, "resource plugin", plugin},
	} {
		t.Run(what, func(t *testing.T) {
			a := app(t, 1, 1)
			a.Services[0].Image = c.image
			target := aws.New(aws.Config{Domain: a.Domain})
			target.NameServers(c.servers)
			home := t.TempDir()
			e, err := stacks.Open(stacks.Home(home), a, target, stacks.Passphrase{Value: "x"}, "test")
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.Plan(context.Background(), goal(c.level), nil)
			var told interface{ Hints() string }
			if !errors.As(err, &told) || !strings.Contains(err.Error(), c.says) || !strings.Contains(told.Hints(), c.hint) {
				t.Fatalf("%v", err)
			}
			if files, _ := filepath.Glob(filepath.Join(home, "*")); len(files) > 0 {
				t.Errorf("something was written: %v", files)
			}
		})
	}
}

// A quota that is reached in the middle of a walk is named, and once there is room the
// next run goes on.
func TestAQuotaIsReached(t *testing.T) {
	elsewhere := newWorld(t, 1, 1)
	elsewhere.to(1)
	things := elsewhere.cloud.Things()
	other := *things[slices.IndexFunc(things, func(r *rehearsal.Thing) bool { return r.Type == "aws:ec2/vpc:Vpc" })]
	w := newWorld(t, 1, 1)
	var others []string
	for i := range 5 {
		o := other
		o.ID, o.Name, o.Out = fmt.Sprintf("vpc-0123456789abcdef%d", i), fmt.Sprintf("other-%d", i), resource.PropertyMap{}
		if err := w.cloud.Stand(&o); err != nil {
			t.Fatal(err)
		}
		others = append(others, o.ID)
	}
	_, err := w.try(1)
	var told *aws.Error
	if !errors.As(err, &told) || !strings.Contains(err.Error(), "a quota of the account is reached (VpcLimitExceeded)") || !strings.Contains(told.Hints(), "Service Quotas") {
		t.Fatalf("got %v", err)
	}
	if left := len(w.cloud.Things()); left != len(others) {
		t.Errorf("%d things are left of a walk that failed where nothing stood: %v\n%v", left-len(others), w.names(), err)
	}
	if err := w.cloud.Vanish("aws:ec2/vpc:Vpc", others[0]); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.to(1)
}

// What the plugin reports of a service's refusal is told with what to do.
func TestRefusalsAreExplained(t *testing.T) {
	target := aws.New(aws.Config{})
	for says, want := range map[string]string{
		"creating RDS DB Instance (shop): operation error RDS: CreateDBInstance, https response error StatusCode: 403, AccessDenied: User: arn:aws:iam::1:user/x is not authorized to perform: rds:CreateDBInstance on resource": "these credentials may not rds:CreateDBInstance",
		"creating EC2 VPC: operation error EC2: CreateVpc, UnauthorizedOperation: You are not":         "may not do that (UnauthorizedOperation)",
		"InstanceQuotaExceededFault: too many":                                                         "a quota of the account is reached (InstanceQuotaExceededFault)",
		"TooManyLoadBalancers: no":                                                                     "a quota",
		"api error OptInRequired: You are not subscribed":                                              "the region is not enabled",
		"api error InternalFailure: Service 'elasticache' is not yet implemented: NotImplementedError": "does not know a call",
		"api error ExpiredToken: The security token":                                                   "the credentials expired",
	} {
		var told *aws.Error
		if err := target.Explain(errors.New(says)); !errors.As(err, &told) || !strings.Contains(err.Error(), want) || told.Hints() == "" || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	other := errors.New("something else")
	if err := target.Explain(other); err != other {
		t.Errorf("got %v", err)
	}
}

// An environment that was taken down with its data can be made again: what is kept of
// it, and what keeps its name for days, is in nobody's way.
func TestAnotherLife(t *testing.T) {
	w := newWorld(t, 1, 1)
	for range 3 {
		w.to(2)
		w.to(-1)
		w.open()
	}
	if n := strings.Count(strings.Join(w.cloud.Names(), "\n"), "snapshot:"); n < 3 {
		t.Errorf("of three lives %d snapshots are left: %v", n, w.cloud.Names())
	}
}
