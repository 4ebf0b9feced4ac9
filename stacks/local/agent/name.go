//go:build unix

package agent

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Zone is the application's name, and whom it leads where.
type Zone struct {
	Name    string        `json:"name"`    // without the last dot
	Policy  string        `json:"policy"`  // latency, geographic, weighted, failover
	TTL     time.Duration `json:"ttl"`     // whole seconds
	Regions []Region      `json:"regions"` // home first
}

// Region is a place where users are, and where an entry answers.
type Region struct {
	Name    string       `json:"name"`
	Entry   string       `json:"entry"`   // the entry's node; empty: users are there, and nothing else
	Clients netip.Prefix `json:"clients"` // the addresses of those who are there
	Weight  int          `json:"weight"`
	Ways    []Way        `json:"ways"` // to each region's entry, its own among them
}

// Way is how a client in one region reaches the entry of another.
type Way struct {
	To      string        `json:"to"` // a region
	Address netip.Addr    `json:"address"`
	RTT     time.Duration `json:"rtt"`
}

// nameServer answers for the zones that the registry knows, of which it is the authority.
type nameServer struct{ edge string }

// answered is how long a client's resolver may wait for one of our answers.
const answered = 2 * time.Second

// serveName answers on both sockets of a name server; end stops it.
func serveName(edge string, udp net.PacketConn, tcp net.Listener) (end func()) {
	h := nameServer{edge}
	servers := []*dns.Server{{PacketConn: udp, Handler: h, ReadTimeout: answered, WriteTimeout: answered}, {Listener: tcp, Handler: h, ReadTimeout: answered, WriteTimeout: answered}}
	for _, s := range servers {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }() // until it is shut down
		<-started
	}
	return func() {
		for _, s := range servers {
			_ = s.Shutdown()
		}
	}
}

// ServeDNS implements dns.Handler.
func (n nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	g := registry.Load()
	edge := g.edges[n.edge]
	if edge.Zone == nil || len(q.Question) != 1 {
		m.Rcode = dns.RcodeServerFailure
		_ = w.WriteMsg(m)
		return
	}
	z, asked := *edge.Zone, q.Question[0]
	name := strings.TrimSuffix(strings.ToLower(asked.Name), ".")
	below, inside := strings.CutSuffix(name, z.Name)
	if !inside || below != "" && !strings.HasSuffix(below, ".") {
		m.Rcode = dns.RcodeRefused // it is not ours
		_ = w.WriteMsg(m)
		return
	}
	m.Authoritative = true
	from, subnet := client(w.RemoteAddr(), q)
	if o := q.IsEdns0(); o != nil {
		m.SetEdns0(dns.DefaultMsgSize, false)
		if subnet != nil { // the answer is for the whole subnet of the question (RFC 7871)
			s := *subnet
			s.SourceScope = s.SourceNetmask
			m.IsEdns0().Option = append(m.IsEdns0().Option, &s)
		}
	}
	ttl := uint32(z.TTL.Seconds())
	switch address, ok := z.lead(strings.TrimSuffix(below, "."), from, g.well); {
	case !ok:
		m.Rcode = dns.RcodeNameError
	case asked.Qtype == dns.TypeA && address.IsValid():
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: address.AsSlice()}}
	}
	if len(m.Answer) == 0 { // how long that there is nothing may be remembered
		m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: dns.Fqdn(z.Name), Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
			Ns: dns.Fqdn("ns." + z.Name), Mbox: dns.Fqdn("hostmaster." + z.Name), Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl}}
	}
	_ = w.WriteMsg(m) // whoever asked is gone: nobody to tell
}

// client is the address for which somebody asks, and the option that says so.
func client(remote net.Addr, q *dns.Msg) (netip.Addr, *dns.EDNS0_SUBNET) {
	if o := q.IsEdns0(); o != nil {
		for _, opt := range o.Option {
			if s, ok := opt.(*dns.EDNS0_SUBNET); ok {
				if a, ok := netip.AddrFromSlice(s.Address); ok {
					return a.Unmap(), s
				}
			}
		}
	}
	a, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return netip.Addr{}, nil
	}
	return a.Addr().Unmap(), nil
}

// lead is the address for a client: of the whole name by the zone's policy, of
// REGION.name that region's, whether it answers or not. It is false where there is no
// such name.
func (z Zone) lead(below string, from netip.Addr, well func(entry string) bool) (netip.Addr, bool) {
	at := z.Regions[0]
	for _, r := range z.Regions {
		if r.Clients.Contains(from) {
			at = r
		}
	}
	to := below
	if below == "" {
		to = z.choose(at, well)
	}
	for _, w := range at.Ways {
		if w.To == to {
			return w.Address, true
		}
	}
	return netip.Addr{}, below == ""
}

// choose is the region that answers clients of a region. When none is well, none is
// left out, as with Route 53.
func (z Zone) choose(at Region, well func(entry string) bool) string {
	up := slices.DeleteFunc(slices.Clone(z.Regions), func(r Region) bool { return r.Entry == "" || !well(r.Entry) })
	if len(up) == 0 {
		up = slices.DeleteFunc(slices.Clone(z.Regions), func(r Region) bool { return r.Entry == "" })
	}
	if len(up) == 0 {
		return ""
	}
	near := func(r Region) time.Duration {
		for _, w := range at.Ways {
			if w.To == r.Name {
				return w.RTT
			}
		}
		return time.Hour
	}
	switch z.Policy {
	case "failover": // home, as long as it is well
		return up[0].Name
	case "weighted":
		sum := 0
		for _, r := range up {
			sum += r.Weight
		}
		if sum == 0 {
			return up[0].Name
		}
		n := rand.IntN(sum)
		for _, r := range up {
			if n -= r.Weight; n < 0 {
				return r.Name
			}
		}
	case "geographic": // users stay where they are, and are home's where nothing is
		if i := slices.IndexFunc(up, func(r Region) bool { return r.Name == at.Name }); i >= 0 {
			return up[i].Name
		}
		return up[0].Name
	}
	return slices.MinFunc(up, func(a, b Region) int { return int(near(a) - near(b)) }).Name
}

// well reports whether an entry answers: it is open, and for each rule somebody healthy
// is behind it.
func (g *registered) well(entry string) bool {
	for _, e := range g.entries {
		if e.Node != entry {
			continue
		}
		for _, route := range e.Routes {
			lb, balanced := g.balancers[route.To]
			if !balanced {
				if !g.healthy(route.To) {
					return false
				}
				continue
			}
			for _, rule := range lb.Rules {
				if !slices.ContainsFunc(rule.Pools, func(s Share) bool { return s.Weight > 0 && g.healthy(s.To) }) {
					return false
				}
			}
		}
		return e.Maintenance == nil && !e.dropped
	}
	return false
}
