//go:build unix

package local

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// A region on this machine is a range of loopback addresses, 127.0.N.0/24, from which
// its users come, and what the entry of region M is called by users of region N:
// 127.0.N.M+1. For N other than M a link with the round-trip time between the two
// stands at that address; home's own entry is at 127.0.0.1, as at every level. What is
// private listens on 127.0.0.1, and is reached from another region by a link.

func regionKey(region string) string { return "region:" + region }

// numberOf is a region's, from 0.
func numberOf(p Pins, region string) int {
	n, err := strconv.Atoi(p[regionKey(region)])
	if err != nil {
		return 0
	}
	return n
}

// mostRegions is bounded by the addresses: 127.0.255.255 is the last of ours.
const mostRegions = 250

// numberRegions gives each region a number that it keeps.
func numberRegions(t topology.Topology, p Pins) error {
	for _, r := range t.Regions {
		if _, has := p[regionKey(r.Name)]; has {
			continue
		}
		taken := map[string]bool{}
		for k, v := range p {
			if strings.HasPrefix(k, regionKey("")) {
				taken[v] = true
			}
		}
		n := 0
		for taken[strconv.Itoa(n)] {
			n++
		}
		if n >= mostRegions {
			return &Error{What: "this machine has no addresses left for the region " + r.Name, Hint: "take regions out of scale.yaml"}
		}
		p[regionKey(r.Name)] = strconv.Itoa(n)
	}
	return nil
}

// address is what users of one region call the entry of another.
func address(p Pins, from, to string) string {
	return netip.AddrFrom4([4]byte{127, 0, byte(numberOf(p, from)), byte(numberOf(p, to) + 1)}).String()
}

// addressable looks whether the system answers at the addresses of all regions. Linux
// does at every one of 127.0.0.0/8, macOS at 127.0.0.1.
func addressable(t topology.Topology, p Pins) error {
	var missing []string
	for _, from := range t.Regions {
		for _, to := range t.Regions {
			a := address(p, from.Name, to.Name)
			l, err := net.Listen("tcp4", a+":0")
			if err != nil {
				missing = append(missing, "sudo ifconfig lo0 alias "+a+" up")
				continue
			}
			l.Close()
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &Error{What: "a region is a range of loopback addresses, and this system does not answer at all of them", Hint: strings.Join(missing, "; "), Tool: true}
}

// users are the addresses from which a region's users come.
func users(p Pins, region string) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, byte(numberOf(p, region)), 0}), 24)
}

// places are where AWS says that its regions are ("AWS Regions", 2026-06), in degrees
// of latitude and longitude of that city, or of the middle of that state.
var places = map[string][2]float64{
	"us-east-1": {39.0, -77.5}, "us-east-2": {40.0, -83.0}, "us-west-1": {37.4, -121.9}, "us-west-2": {45.8, -119.7},
	"ca-central-1": {45.5, -73.6}, "ca-west-1": {51.0, -114.1}, "mx-central-1": {20.6, -100.4}, "sa-east-1": {-23.5, -46.6},
	"eu-west-1": {53.3, -6.3}, "eu-west-2": {51.5, -0.1}, "eu-west-3": {48.9, 2.4}, "eu-central-1": {50.1, 8.7}, "eu-central-2": {47.4, 8.5},
	"eu-north-1": {59.3, 18.1}, "eu-south-1": {45.5, 9.2}, "eu-south-2": {41.6, -0.9},
	"ap-northeast-1": {35.7, 139.7}, "ap-northeast-2": {37.6, 127.0}, "ap-northeast-3": {34.7, 135.5},
	"ap-southeast-1": {1.4, 103.8}, "ap-southeast-2": {-33.9, 151.2}, "ap-southeast-3": {-6.2, 106.8}, "ap-southeast-4": {-37.8, 145.0},
	"ap-southeast-5": {3.1, 101.7}, "ap-southeast-7": {13.8, 100.5}, "ap-south-1": {19.1, 72.9}, "ap-south-2": {17.4, 78.5},
	"ap-east-1": {22.3, 114.2}, "ap-east-2": {25.0, 121.5}, "me-south-1": {26.1, 50.6}, "me-central-1": {24.5, 54.4}, "il-central-1": {32.1, 34.8}, "af-south-1": {-33.9, 18.4},
}

// roundTrip is an estimate of what a round trip between two regions takes: there and
// back by light in glass, 200 km a millisecond, on a way that is 1.3 times the great
// circle, and never less than a millisecond. us-east-1 and eu-west-1 are 71 ms apart
// by it. It is no measurement: cables make detours of their own.
func roundTrip(a, b string) time.Duration {
	if a == b {
		return 0
	}
	const detour, kmPerMs, earth = 1.3, 200, 6371
	rad := func(d float64) float64 { return d * math.Pi / 180 }
	p, q := places[a], places[b]
	h := math.Pow(math.Sin(rad(q[0]-p[0])/2), 2) + math.Cos(rad(p[0]))*math.Cos(rad(q[0]))*math.Pow(math.Sin(rad(q[1]-p[1])/2), 2)
	km := 2 * earth * math.Asin(math.Sqrt(h))
	return max(time.Duration(math.Round(2*km*detour/kmPerMs)), 1) * time.Millisecond
}

// linkName is that of the link by which a region reaches a node elsewhere.
func linkName(node, from string) string { return node + "-from-" + from }

// crossings are the regions whose backends or replicas reach a node of another.
func crossings(t topology.Topology, n topology.Node) []string {
	var from []string
	for _, r := range t.Regions {
		for _, l := range t.Links {
			b, _ := t.Node(l.From)
			if l.To == n.ID && (b.Runs() != nil || b.Database != nil || b.Move != nil) && b.Region == r.Name && r.Name != n.Region {
				from = append(from, r.Name)
				break
			}
		}
	}
	return from
}

// portFrom is where a region's backends reach a node.
func portFrom(p Pins, region string, n topology.Node) int {
	if region == n.Region {
		return portOf(p, n.ID)
	}
	return portOf(p, linkName(n.ID, region))
}

// private makes the links by which other regions' backends reach a node.
func (p *program) private(n topology.Node, c pulumi.Resource) error {
	for _, from := range crossings(p.t, n) {
		if err := p.link(n, c, from, "127.0.0.1", portOf(p.pins, linkName(n.ID, from)), fmt.Sprintf("127.0.0.1:%d", portOf(p.pins, n.ID))); err != nil {
			return err
		}
	}
	return nil
}

// public makes the links by which other regions' users reach an entry.
func (p *program) public(n topology.Node, c pulumi.Resource) error {
	port := portOf(p.pins, n.ID)
	for _, r := range p.t.Regions {
		if r.Name == n.Region {
			continue
		}
		if err := p.link(n, c, r.Name, address(p.pins, r.Name, n.Region), port, fmt.Sprintf("%s:%d", address(p.pins, n.Region, n.Region), port)); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) link(n topology.Node, c pulumi.Resource, from, host string, port int, to string) error {
	l, err := p.resource(typeLink, linkName(n.ID, from), pulumi.Map{
		"node": pulumi.String(n.ID), "from": pulumi.String(from), "host": pulumi.String(host), "port": pulumi.Int(port), "to": pulumi.String(to),
		"roundTrip": pulumi.Int(int(roundTrip(from, n.Region).Milliseconds())),
	}, c, p.made[n.ID])
	p.made[n.ID] = append(p.made[n.ID], l)
	return err
}

func (l *Local) putLink(ctx context.Context, r engine.Request) error {
	in := r.Inputs
	return l.putEdge(ctx, agent.Edge{Name: r.Name, Node: in["node"].StringValue(), Kind: "link", Host: in["host"].StringValue(), Port: integer(in["port"]), Tag: tag(r),
		To: in["to"].StringValue(), RTT: time.Duration(integer(in["roundTrip"])) * time.Millisecond})
}
