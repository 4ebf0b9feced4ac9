package engine

import (
	"fmt"
	"net"

	"github.com/pulumi/pulumi/pkg/v3/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"

	"github.com/scale-levels/scale/internal/plan"
)

// Written is how many bytes went into the journal and into the checkpoint.
func (s *Stack) Written() (journal, checkpoint int64) {
	return s.state.written.journal, s.state.written.checkpoint
}

// ServePlugin serves a provider of ours as a real plugin process would: it says
// its port on standard output and goes on until it is killed.
func ServePlugin(name string, p Provider) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	a := newAdapter(name, p, func(plan.Event) {}, &failures{})
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(400 << 20))
	pulumirpc.RegisterResourceProviderServer(srv, plugin.NewProviderServer(a))
	fmt.Printf("%d\n", l.Addr().(*net.TCPAddr).Port)
	return srv.Serve(l)
}
