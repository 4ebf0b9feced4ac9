//go:build unix

package local

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	vegeta "github.com/tsenart/vegeta/v12/lib"
	"github.com/tsenart/vegeta/v12/lib/plot"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/local/agent"
)

// Bench lets the users of regions ask the environment, each from an address of their
// region and where the application's name leads them, and nothing else: the addresses
// are made here, and redirects are not followed.
func (l *Local) Bench(ctx context.Context, t topology.Topology, pins Pins, load plan.Load, chart io.Writer) (b plan.Bench, err error) {
	c, _, err := agent.Connect(ctx, l.dirs)
	if errors.Is(err, agent.ErrNotRunning) {
		return b, &Error{What: "nothing runs that could be asked", Hint: "'scale up' starts it"}
	}
	if err != nil {
		return b, err
	}
	pins, home, err := l.visit(ctx, c, t, pins, load.From)
	if err != nil {
		return b, err
	}
	defer home()
	p := plot.New(plot.Title(t.App+"/"+t.Env+" at level "+strconv.Itoa(t.Level)), plot.Label(outcome))
	var drawing sync.Mutex
	before, err := l.counters(ctx, c, t, pins)
	if err != nil {
		return b, err
	}
	found := make([][]plan.Users, len(load.From))
	errs := make([]error, len(load.From))
	var wg sync.WaitGroup
	for i, region := range load.From {
		wg.Go(func() {
			found[i], errs[i] = l.fromRegion(ctx, t, pins, load, region, func(r *vegeta.Result) error {
				if chart == nil {
					return nil
				}
				drawing.Lock()
				defer drawing.Unlock()
				return p.Add(r)
			})
		})
	}
	wg.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return b, err
	}
	after, err := l.counters(ctx, c, t, pins)
	if err != nil {
		return b, err
	}
	b.Users = slices.Concat(found...)
	b.Transactions = since(before.transactions, after.transactions)
	for _, bytes := range since(before.distant, after.distant) {
		b.WAN += bytes
	}
	if chart != nil {
		p.Close()
		_, err = p.WriteTo(chart)
	}
	return b, err
}

// visit lets users of regions in which nothing stands reach home, over a link that is as
// long as theirs would be, until done is called.
func (l *Local) visit(ctx context.Context, c *agent.Client, t topology.Topology, pins Pins, from []string) (_ Pins, done func(), err error) {
	pins, all := maps.Clone(pins), t.Clone()
	var lent []agent.Edge
	for _, r := range from {
		if slices.Contains(t.Regions, topology.Region{Name: r}) {
			continue
		}
		all.Regions = append(all.Regions, topology.Region{Name: r})
		if err := errors.Join(numberRegions(all, pins), addressable(all, pins)); err != nil {
			return nil, nil, err
		}
		for _, e := range t.OfKind(topology.Entry) {
			port := portOf(pins, e.ID)
			lent = append(lent, agent.Edge{Name: linkName(e.ID, r), Node: e.ID, Kind: "link", Host: address(pins, r, e.Region), Port: port,
				To: net.JoinHostPort(address(pins, e.Region, e.Region), strconv.Itoa(port)), RTT: roundTrip(r, e.Region)})
		}
	}
	if len(lent) == 0 {
		return pins, func() {}, nil
	}
	done, err = c.Lend(ctx, lent)
	return pins, done, err
}

// outcome is the series of a chart that an answer belongs to.
func outcome(r *vegeta.Result) string {
	switch {
	case r.Error != "":
		return "error"
	case hit(r):
		return "from the edge"
	default:
		return "answered"
	}
}

// hit reports whether an edge of the CDN had the answer (RFC 9211).
func hit(r *vegeta.Result) bool {
	return slices.ContainsFunc(strings.Split(r.Headers.Get("Cache-Status"), ";"), func(s string) bool { return strings.TrimSpace(s) == "hit" })
}

// fromRegion is the load of one region's users, told by phase.
func (l *Local) fromRegion(ctx context.Context, t topology.Topology, pins Pins, load plan.Load, region string, each func(*vegeta.Result) error) (all []plan.Users, err error) {
	ctx, cancel := context.WithTimeout(ctx, load.For+time.Minute)
	defer cancel()
	at, err := l.ledTo(ctx, t, pins, region)
	if err != nil {
		return nil, err
	}
	led := follow(ctx, at, func() (string, error) { return l.ledTo(ctx, t, pins, region) })
	n := 0
	next := func(to *vegeta.Target) error { // one asks at a time
		r := load.Requests[n%len(load.Requests)]
		n++
		*to = vegeta.Target{Method: r.Method, URL: led() + r.Path, Body: []byte(r.Body), Header: http.Header{}}
		if strings.HasPrefix(r.Body, "{") || strings.HasPrefix(r.Body, "[") {
			to.Header.Set("Content-Type", "application/json")
		}
		return nil
	}
	from := users(pins, region).Addr().As4()
	from[3] = 250 // an address of the region that no entry has
	attacker := vegeta.NewAttacker(vegeta.LocalAddr(net.IPAddr{IP: net.IP(from[:])}), vegeta.Timeout(patience), vegeta.Redirects(vegeta.NoFollow),
		vegeta.Proxy(func(*http.Request) (*url.URL, error) { return nil, nil }), vegeta.HTTP2(false), vegeta.MaxWorkers(uint64(plan.MostRate)), vegeta.MaxBody(0))
	stop := context.AfterFunc(ctx, func() { attacker.Stop() })
	defer stop()
	var order []string
	phases := map[string]*met{}
	for r := range attacker.Attack(next, vegeta.Rate{Freq: load.Rate, Per: time.Second}, load.For, region) {
		phase := ""
		if load.Phase != nil {
			phase = load.Phase(r.Timestamp)
		}
		if phases[phase] == nil {
			phases[phase], order = &met{}, append(order, phase)
		}
		phases[phase].add(r)
		err = errors.Join(err, each(r))
	}
	for _, phase := range order {
		u := phases[phase].users()
		u.Region, u.Phase = region, phase
		all = append(all, u)
	}
	return all, err
}

// patience is how long a user waits for an answer.
const patience = 10 * time.Second

// follow asks anew where a name leads as often as its answers expire.
func follow(ctx context.Context, at string, ask func() (string, error)) (led func() string) {
	var now atomic.Pointer[string]
	now.Store(&at)
	go func() {
		t := time.NewTicker(nameTTL * time.Second)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if to, err := ask(); err == nil { // otherwise what was answered last is used on
					now.Store(&to)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() string { return *now.Load() }
}

// met is what a region's users met in one phase.
type met struct {
	vegeta.Metrics
	hits, asked int
	last        string // URL
}

func (m *met) add(r *vegeta.Result) {
	m.Add(r)
	m.last = r.URL
	if r.Headers.Get("Cache-Status") != "" {
		m.asked++
	}
	if hit(r) {
		m.hits++
	}
}

func (m *met) users() plan.Users {
	m.Close()
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	u := plan.Users{Requests: int(m.Requests), Codes: m.StatusCodes, Hits: -1,
		P50: ms(m.Latencies.P50), P95: ms(m.Latencies.P95), P99: ms(m.Latencies.P99), Max: ms(m.Latencies.Max)}
	if last, err := url.Parse(m.last); err == nil {
		u.Address = last.Scheme + "://" + last.Host
	}
	for code, n := range m.StatusCodes {
		if code == "0" || code >= "400" {
			u.Errors += n
		}
	}
	if m.asked > 0 {
		u.Hits = float64(m.hits) / float64(m.asked)
	}
	return u
}

// ledTo is where the users of a region find the application: where its name leads them,
// and where there is no name, at the entry.
func (l *Local) ledTo(ctx context.Context, t topology.Topology, pins Pins, region string) (string, error) {
	server := nameServer(t, pins)
	if server == "" {
		home := entryURL(t, pins, t.Home())
		return "http://" + net.JoinHostPort(address(pins, region, t.Home()), home[strings.LastIndex(home, ":")+1:]), nil
	}
	at, err := lookup(ctx, server, l.domain(t), users(pins, region))
	if err != nil || !at.IsValid() {
		return "", errors.Join(err, &Error{What: "the name " + l.domain(t) + " leads users in " + region + " nowhere", Hint: "'scale status' shows what does not run"})
	}
	home := entryURL(t, pins, t.Home())
	return "http://" + net.JoinHostPort(at.String(), home[strings.LastIndex(home, ":")+1:]), nil
}

// counters are what components count all the time.
type counters struct {
	distant      map[string]int64 // bytes, by link
	transactions map[string]int64 // by database
}

// since is by how much counters have grown. One that began anew meanwhile, as after a crash,
// counts from there.
func since(before, after map[string]int64) map[string]int64 {
	grown := map[string]int64{}
	for name, n := range after {
		if n >= before[name] {
			n -= before[name]
		}
		grown[name] = n
	}
	return grown
}

func (l *Local) counters(ctx context.Context, c *agent.Client, t topology.Topology, pins Pins) (n counters, err error) {
	st, err := c.Status(ctx)
	if err != nil {
		return n, err
	}
	n.distant, n.transactions = st.Distant, map[string]int64{}
	for _, db := range t.OfKind(topology.Database) {
		if comp, _ := st.Component(db.ID); !comp.Healthy {
			continue
		}
		conn, err := pgx.Connect(ctx, databaseURL(portOf(pins, db.ID), admin, pins[passwordKey(leaderOf(db), admin)], "postgres"))
		if err != nil {
			return n, errors.New(db.ID + " cannot be asked what it did") // pgx's own text quotes the connection string
		}
		var done int64
		err = conn.QueryRow(ctx, "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1", appName).Scan(&done)
		_ = conn.Close(context.WithoutCancel(ctx))
		if err != nil {
			return n, err
		}
		n.transactions[db.ID] = done
	}
	return n, nil
}
