//go:build unix

package local

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// Pins are facts that are chosen once and kept in the record: ports, passwords,
// the agent's key. A key that starts with "secret:" is kept encrypted.
type Pins = map[string]string

const agentKey = "secret:agent-key"

func portKey(name string) string           { return "port:" + name }
func passwordKey(node, user string) string { return "secret:password:" + node + ":" + user }

// SecretKey is the pin of an application's own secret.
func SecretKey(service, name string) string { return "secret:env:" + service + ":" + name }

func portOf(p Pins, name string) int {
	n, err := strconv.Atoi(p[portKey(name)])
	if err != nil {
		return 0
	}
	return n
}

// instance is the name of the i-th process of a backend, from 1.
func instance(node string, i int) string { return fmt.Sprintf("%s-%d", node, i) }

// listening are the names that need a port in a topology.
func listening(t topology.Topology) []string {
	var names []string
	for _, n := range t.Nodes {
		names = append(names, componentsOf(n)...)
		for _, from := range crossings(t, n) {
			names = append(names, linkName(n.ID, from))
		}
		for _, w := range waysOf(t, n) {
			names = append(names, w.name)
		}
		for _, c := range callsOf(t, n) {
			names = append(names, c.name())
		}
	}
	return names
}

// componentsOf are the names of a node's parts that listen on a port. A load
// balancer has none of its own: the entry is its address.
func componentsOf(n topology.Node) []string {
	var names []string
	switch {
	case n.Backend != nil:
		for i := range n.Backend.Instances {
			names = append(names, instance(n.ID, i+1))
		}
	case n.Static != nil:
		for i := range n.Static.Servers {
			names = append(names, staticServer(n.ID, i+1))
		}
	case n.Entry != nil, n.Pooler != nil, n.Cache != nil, n.DNS != nil, n.Replica(), n.HoldsData() && !n.Stopped():
		names = append(names, n.ID)
	}
	return names
}

// workersOf are the names of a worker's instances, or a job's, which listen nowhere.
func workersOf(n topology.Node) []string {
	var names []string
	if n.Job != nil {
		names = append(names, n.ID)
	}
	if n.Worker != nil {
		for i := range n.Worker.Instances {
			names = append(names, instance(n.ID, i+1))
		}
	}
	return names
}

// Pin chooses what the topology needs and the pins lack. A port that another
// program has taken since is chosen anew, except that of the public address,
// which people know. public, when not 0, is the port that was asked for.
func (l *Local) Pin(t topology.Topology, pins Pins, public int) (moved []string, err error) {
	if pins[agentKey] == "" {
		k, err := agent.NewKey()
		if err != nil {
			return nil, err
		}
		pins[agentKey] = k.String()
	}
	if err := errors.Join(numberRegions(t, pins), addressable(t, pins)); err != nil {
		return nil, err
	}
	for _, n := range t.OfKind(topology.Database) {
		if n.Replica() {
			continue // it has its leader's
		}
		for _, user := range []string{admin, appUser, replicator} {
			k := passwordKey(n.ID, user)
			for _, o := range group(t, n) { // one that was a copy has the passwords of who led
				if v := pins[passwordKey(o.ID, user)]; pins[k] == "" && v != "" {
					pins[k] = v
				}
			}
			if pins[k] == "" {
				if pins[k], err = password(); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, n := range t.OfKind(topology.Move) {
		if k := passwordKey(n.ID, mover); pins[k] == "" {
			if pins[k], err = password(); err != nil {
				return nil, err
			}
		}
	}
	for _, n := range slices.Concat(t.OfKind(topology.Files), t.OfKind(topology.Sessions), t.OfKind(topology.Queue), t.OfKind(topology.Cache)) {
		if k := passwordKey(n.ID, appUser); pins[k] == "" {
			if pins[k], err = password(); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range listening(t) {
		if port := portOf(pins, name); port != 0 {
			l.claim(port) // one that another has claimed is known to be taken when it listens
		}
	}
	names := listening(t)
	slices.SortStableFunc(names, func(a, b string) int { return rank(t, a) - rank(t, b) })
	for _, name := range names {
		n, isNode := t.Node(name)
		entry := isNode && n.Kind == topology.Entry
		if entry && n.Region != t.Home() {
			// All entries have the public port: a name in the DNS has none of its own.
			if err := l.share(t, pins, n); err != nil {
				return nil, err
			}
			continue
		}
		port := portOf(pins, name)
		if entry && public != 0 {
			port = public
			pins[portKey(name)] = strconv.Itoa(port)
		}
		if port != 0 && (l.runs(name) || free(port)) {
			continue
		}
		if port != 0 && entry {
			return nil, portTaken("127.0.0.1", port)
		}
		fresh, err := l.choose()
		if err != nil {
			return nil, err
		}
		pins[portKey(name)] = strconv.Itoa(fresh)
		if port != 0 {
			moved = append(moved, fmt.Sprintf("port %d of %s is taken by another program; it moves to %d", port, name, fresh))
		}
	}
	return moved, nil
}

// rank puts the public address first: other entries have its port.
func rank(t topology.Topology, name string) int {
	if n, ok := t.Node(name); ok && n.Kind == topology.Entry && n.Region == t.Home() {
		return 0
	}
	return 1
}

// share gives the entry of another region the port of home's, on an address of its own.
func (l *Local) share(t topology.Topology, pins Pins, n topology.Node) error {
	for _, home := range t.OfKind(topology.Entry) {
		if home.Region != t.Home() {
			continue
		}
		port := portOf(pins, home.ID)
		if was := portOf(pins, n.ID); was != port || !l.runs(n.ID) {
			host := address(pins, n.Region, n.Region)
			if !freeAt(host, port) {
				return portTaken(host, port)
			}
		}
		pins[portKey(n.ID)] = strconv.Itoa(port)
	}
	return nil
}

// runs reports whether the component of that name is one of ours and listens now.
func (l *Local) runs(name string) bool {
	c, ok := l.seen.Component(name)
	return ok && (c.State == agent.Running || c.State == agent.Starting || c.State == agent.Restarting)
}

// firstPort and lastPort bound the ports that are chosen: below the ones that
// systems give to outgoing connections (32768 on Linux, 49152 by RFC 6335).
const firstPort, lastPort = 20000, 30000

// choose finds a free port that no other command has claimed, starting anywhere so
// that environments that are made at the same time rarely meet, and claims it.
func (l *Local) choose() (int, error) {
	var b [2]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, err
	}
	start := (int(b[0])<<8 | int(b[1])) % (lastPort - firstPort)
	for i := range lastPort - firstPort {
		p := firstPort + (start+i)%(lastPort-firstPort)
		if _, ours := l.claims[p]; !ours && l.claim(p) && free(p) {
			return p, nil
		}
	}
	return 0, errors.New("no port is free between 20000 and 30000")
}

// claim keeps a port from being chosen by other commands for as long as this one
// runs: between a choice and the moment at which what it is for listens there is
// time enough for another to choose the same. The claim is a listener on another
// address of loopback, which ends with the process however that ends; where there
// is no such address, nothing can be claimed.
func (l *Local) claim(port int) bool {
	if _, ours := l.claims[port]; ours {
		return true
	}
	c, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 255, 255, 254), Port: port})
	if err != nil {
		return !errors.Is(err, syscall.EADDRINUSE)
	}
	l.claims[port] = c
	return true
}

// free tries a plain listener: one with SO_REUSEPORT would not notice another.
func free(port int) bool { return freeAt("127.0.0.1", port) }

func freeAt(host string, port int) bool {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.ParseIP(host), Port: port})
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func portTaken(host string, port int) error {
	return &Error{
		What: fmt.Sprintf("port %d of %s, the public address, is taken by another program", port, host),
		Hint: fmt.Sprintf("end that program ('ss -ltnp sport = :%d' or 'lsof -i :%d' names it), or choose another with --port", port, port),
	}
}

// password is 24 random bytes in letters that need no quoting in a URL.
func password() (string, error) {
	var b [24]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// Secrets takes the values of a service's own secrets from the environment of the
// command, or leaves the ones that are kept.
func (l *Local) Secrets(service string, names []string, pins Pins) (changed bool, err error) {
	for _, name := range slices.Sorted(slices.Values(names)) {
		k := SecretKey(service, name)
		if v, ok := os.LookupEnv(name); ok {
			was, had := pins[k]
			changed = changed || had && was != v
			pins[k] = v
		}
		if _, ok := pins[k]; !ok {
			return changed, &Error{What: fmt.Sprintf("the secret %s of service %s has no value", name, service),
				Hint: "set it in the environment of this command: " + name + "=… scale up"}
		}
	}
	return changed, nil
}
