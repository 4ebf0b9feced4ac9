package contract

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// S3 starts an S3-compatible server with empty buckets, and sets the variables by which
// the standard chain finds it. It ends with this process, however
// that ends: a shell waits for the end of its input.
func S3(t *testing.T, buckets ...string) {
	t.Helper()
	program, err := exec.LookPath("versitygw")
	if err != nil {
		t.Skip("versitygw is not here: nothing was kept in a bucket. '.ci/tools versitygw' installs it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	for _, b := range buckets {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "meta"), 0o700), os.MkdirAll(filepath.Join(dir, "buckets", b), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("sh", "-c", `"$@" >log 2>&1 & cat >/dev/null; kill -9 $!`, "sh", program, "--port", address, "--health", "/_health", "--quiet", "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "buckets"))
	c.Dir, c.Env = dir, append(os.Environ(), "ROOT_ACCESS_KEY=scale", "ROOT_SECRET_KEY=correct-horse")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = c.Wait() })
	for k, v := range map[string]string{"AWS_ENDPOINT_URL_S3": "http://" + address, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "scale", "AWS_SECRET_ACCESS_KEY": "correct-horse",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": ""} {
		t.Setenv(k, v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		resp, err := http.Get("http://" + address + "/_health")
		if err == nil {
			resp.Body.Close()
			return
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("%v\n%s", err, log)
		}
	}
}
