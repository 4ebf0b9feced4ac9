package aws

import (
	"context"
	"net"
)

// Terraform is what the Terraform provider calls a type.
func Terraform(typ string) string { return byType()[typ].terraform }

// NameServers makes a domain's name servers be these.
func (a *AWS) NameServers(f func() ([]*net.NS, error)) {
	a.servers = func(context.Context, string) ([]*net.NS, error) { return f() }
}
