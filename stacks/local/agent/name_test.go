//go:build unix

package agent

import (
	"net/netip"
	"testing"
	"time"
)

// atlantic are two regions, and a third where only users are.
func atlantic(policy string) Zone {
	ways := func(client int, rtt ...time.Duration) []Way {
		return []Way{{To: "us", Address: netip.AddrFrom4([4]byte{127, 0, byte(client), 1}), RTT: rtt[0]}, {To: "eu", Address: netip.AddrFrom4([4]byte{127, 0, byte(client), 2}), RTT: rtt[1]}}
	}
	return Zone{Name: "app.test", Policy: policy, TTL: time.Second, Regions: []Region{
		{Name: "us", Entry: "entry-us", Weight: 3, Clients: netip.MustParsePrefix("127.0.0.0/24"), Ways: ways(0, 0, 70*time.Millisecond)},
		{Name: "eu", Entry: "entry-eu", Weight: 1, Clients: netip.MustParsePrefix("127.0.1.0/24"), Ways: ways(1, 70*time.Millisecond, 0)},
		{Name: "in", Clients: netip.MustParsePrefix("127.0.2.0/24"), Ways: ways(2, 200*time.Millisecond, 120*time.Millisecond)},
	}}
}

func TestWhomANameLeadsWhere(t *testing.T) {
	us, eu, in := netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.1.9"), netip.MustParseAddr("127.0.2.9")
	for _, c := range []struct {
		policy string
		from   netip.Addr
		down   string
		to     string
	}{
		{"latency", us, "", "127.0.0.1"},
		{"latency", eu, "", "127.0.1.2"},
		{"latency", in, "", "127.0.2.2"},
		{"latency", eu, "entry-eu", "127.0.1.1"},
		{"latency", in, "entry-eu", "127.0.2.1"},
		{"latency", eu, "both", "127.0.1.2"}, // when none is well none is left out
		{"failover", eu, "", "127.0.1.1"},
		{"failover", us, "entry-us", "127.0.0.2"},
		{"geographic", eu, "", "127.0.1.2"},
		{"geographic", in, "", "127.0.2.1"},
		{"geographic", eu, "entry-eu", "127.0.1.1"},
		{"weighted", us, "entry-eu", "127.0.0.1"},
	} {
		got, ok := atlantic(c.policy).lead("", c.from, func(entry string) bool { return c.down != "both" && entry != c.down })
		if !ok || got.String() != c.to {
			t.Errorf("%s: a client at %s with %q down is led to %s, not %s", c.policy, c.from, c.down, got, c.to)
		}
	}
	if got, ok := atlantic("latency").lead("eu", us, func(string) bool { return false }); !ok || got.String() != "127.0.0.2" {
		t.Errorf("a region by its name: %v", got)
	}
	if _, ok := atlantic("latency").lead("mars", us, func(string) bool { return true }); ok {
		t.Error("a region that is not there has a name")
	}
	times := map[string]int{}
	for range 4000 {
		got, _ := atlantic("weighted").lead("", us, func(string) bool { return true })
		times[got.String()]++
	}
	if n := times["127.0.0.1"]; n < 2800 || n > 3200 {
		t.Errorf("of 4000 with weights 3 and 1: %v", times)
	}
}
