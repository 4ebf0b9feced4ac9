package aws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
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
