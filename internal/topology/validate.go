package topology

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var idForm = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*-g[1-9][0-9]*$`)

// Validate reports every way in which t contradicts itself: ids that are not
// unique or carry no generation, nodes outside the regions, links and routes
// that lead nowhere, a spec that does not belong to its kind.
func (t Topology) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }

	regions := map[string]bool{}
	for _, r := range t.Regions {
		if regions[r.Name] {
			bad("region %q stands twice", r.Name)
		}
		regions[r.Name] = true
	}
	kinds := map[string]Kind{}
	for _, n := range t.Nodes {
		if kinds[n.ID] != "" {
			bad("node %q stands twice", n.ID)
		}
		kinds[n.ID] = n.Kind
		if !idForm.MatchString(n.ID) {
			bad("node %q: an id is lower case words joined by dashes that end in a generation, like db-use1-g1", n.ID)
		}
		if !regions[n.Region] {
			bad("node %q stands in region %q, which is not one of the environment's", n.ID, n.Region)
		}
		errs = append(errs, n.validate()...)
	}
	for _, l := range t.Links {
		if kinds[l.From] == "" || kinds[l.To] == "" {
			bad("link %s → %s leads from or to a node that does not stand", l.From, l.To)
		}
	}
	for _, n := range t.OfKind(Entry) {
		for _, r := range n.Entry.Routes {
			if k := kinds[r.To]; k != Backend && k != Static && k != LoadBalancer {
				bad("node %q routes %s to %q, which takes no requests", n.ID, r.Path, r.To)
			}
		}
	}
	for _, n := range t.OfKind(LoadBalancer) {
		for _, r := range n.LoadBalancer.Rules {
			sum := 0
			for _, s := range r.Pools {
				sum += s.Weight
				p, _ := t.Node(s.To)
				if p.Kind != Backend && p.Kind != Static {
					bad("node %q balances %s over %q, which is no pool", n.ID, r.Path, s.To)
				}
				if s.Weight < 0 || s.Weight > 0 && p.Backend != nil && p.Backend.Instances == 0 {
					bad("node %q gives %q, which has no instances, a weight of %d", n.ID, s.To, s.Weight)
				}
			}
			if sum == 0 {
				bad("node %q sends %s nowhere", n.ID, r.Path)
			}
		}
	}
	for _, n := range t.OfKind(CDN) {
		for _, o := range n.CDN.Origins {
			if kinds[o] != Entry {
				bad("node %q fetches from %q, which is no entry", n.ID, o)
			}
		}
		if len(n.CDN.Origins) == 0 {
			bad("node %q fetches from nowhere", n.ID)
		}
	}
	for _, n := range t.OfKind(DNS) {
		if kinds[n.DNS.To] != CDN {
			bad("node %q leads to %q, which is no CDN", n.ID, n.DNS.To)
		}
	}
	for _, n := range t.OfKind(Database) {
		if l, ok := t.Node(n.Database.Of); n.Replica() && (!ok || l.Database == nil || l.Replica() || l.Region == n.Region) {
			bad("node %q follows %q, which is no leader of another region", n.ID, n.Database.Of)
		}
	}
	for _, n := range t.OfKind(Move) {
		from, _ := t.Node(n.Move.From)
		to, _ := t.Node(n.Move.To)
		if from.Database == nil || from.Replica() || to.Database == nil || to.Replica() || from.ID == to.ID || len(n.Move.Tables) == 0 {
			bad("node %q moves tables from %q to %q, which are not two leaders, or none", n.ID, n.Move.From, n.Move.To)
		}
	}
	return errors.Join(errs...)
}

// Faces reports whether the node is one that users reach.
func (n Node) Faces() bool {
	return n.Kind == Entry || n.Kind == LoadBalancer || n.Kind == CDN || n.Kind == DNS
}

func (n Node) validate() []error {
	specs := map[Kind]bool{
		Entry: n.Entry != nil, LoadBalancer: n.LoadBalancer != nil, Backend: n.Backend != nil, Static: n.Static != nil,
		Database: n.Database != nil, Files: n.Files != nil, Sessions: n.Sessions != nil, Queue: n.Queue != nil, Worker: n.Worker != nil, Job: n.Job != nil,
		Pooler: n.Pooler != nil, Cache: n.Cache != nil, CDN: n.CDN != nil, DNS: n.DNS != nil, Move: n.Move != nil,
	}
	var errs []error
	for k, set := range specs {
		if set != (k == n.Kind) {
			errs = append(errs, fmt.Errorf("node %q is of kind %q but its %s part is set: %t", n.ID, n.Kind, k, set))
		}
	}
	if _, ok := specs[n.Kind]; !ok {
		errs = append(errs, fmt.Errorf("node %q is of kind %q, which does not exist", n.ID, n.Kind))
	}
	if len(errs) > 0 {
		return errs
	}
	if n.Faces() != (n.Exposure == Public) {
		errs = append(errs, fmt.Errorf("node %q is %s: entries, load balancers, the CDN and the name are public and nothing else is", n.ID, n.Exposure))
	}
	if j := n.Job; j != nil && (j.At == "" || len(j.Command) == 0) {
		errs = append(errs, fmt.Errorf("node %q needs a command and a time", n.ID))
	}
	if w := n.Worker; w != nil && (w.Instances < 1 || len(w.Command) == 0 && w.Image == "") {
		errs = append(errs, fmt.Errorf("node %q needs a command or an image, and one instance at least", n.ID))
	}
	if b := n.Backend; b != nil && (b.Instances < 0 || len(b.Command) == 0 && b.Image == "" || !strings.HasPrefix(b.Health, "/")) {
		errs = append(errs, fmt.Errorf("node %q needs a command or an image, a number of instances and a health path", n.ID))
	}
	if n.Fenced() && (!n.Stopped() || n.Replica()) {
		errs = append(errs, fmt.Errorf("node %q is fenced and not stopped, or a replica", n.ID))
	}
	if d := n.Database; d != nil && d.Sync && (n.Replica() || n.Stopped()) {
		errs = append(errs, fmt.Errorf("node %q waits for those that follow it, and does not lead", n.ID))
	}
	if s := n.Static; s != nil && s.Servers < 1 {
		errs = append(errs, fmt.Errorf("node %q needs at least one server", n.ID))
	}
	return errs
}
