package aws

import (
	"context"
	"net"
	"time"
)

// Terraform is what the Terraform provider calls a type.
func Terraform(typ string) string { return byType()[typ].terraform }

// NameServers makes a domain's name servers be these.
func (a *AWS) NameServers(f func() ([]*net.NS, error)) {
	a.servers = func(context.Context, string) ([]*net.NS, error) { return f() }
}

// Every makes an account be looked at as often as that.
func (a *AWS) Every(d time.Duration) { a.every, a.verbs.(*account).every = d, d }
