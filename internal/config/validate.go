package config

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/adhocore/gronx"
)

var (
	nameForm   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)
	domainForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`)
	// imageForm is a reference with a tag other than latest, or a digest.
	imageForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9./_:-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$`)
	keyForm     = regexp.MustCompile(`^awskms://[A-Za-z0-9:/_-]+\?region=[a-z0-9-]+$`)
	stateForm   = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?(\?region=[a-z0-9-]+)?$`)
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	tableForm   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)
	envForm     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// NameHint is what a name may be.
const NameHint = "a name is 1 to 40 lower case letters, digits and dashes, and starts with a letter"

// ValidName reports whether a name may be that of an application, service or environment.
func ValidName(s string) bool { return nameForm.MatchString(s) && !strings.HasSuffix(s, "-") }

// reserved are the variables that the environment itself sets.
var reserved = []string{"PORT", "HOST", "SCALE_LEVEL", "SCALE_REGION", "SCALE_COLOR", "DATABASE_URL", "DATABASE_REPLICA_URL", "DATABASE_DIRECT_URL", "DATABASE_POOL",
	"CACHE_URL", "SESSION_URL", "QUEUE_URL", "STATIC_URL", "FILES_BUCKET", "BOOTSTRAP_PEERS", "TURN_URL"}

// nodes are the names of the other parts of an environment.
var nodes = []string{"cache", "cdn", "db", "dns", "entry", "files", "lb", "pooler-session", "pooler-transaction", "queue", "sessions", "static"}

// endings are those of the ids of a service's parts.
var endings = []string{"-blue", "-green", "-db"}

func (p *parser) validate(f File) {
	switch {
	case f.Name == "":
		p.at("name", "is missing", NameHint)
	case !ValidName(f.Name):
		p.at("name", fmt.Sprintf("%q is not allowed", f.Name), NameHint)
	}
	if len(f.Services) == 0 {
		p.at("services", "is missing or empty", "name one service with its command, for example services: {web: {command: ./server, health: /healthz}}")
	}
	owner := map[string]string{} // of tables
	for _, name := range slices.Sorted(maps.Keys(f.Services)) {
		p.service("services."+name, name, f.Services[name])
		for i, c := range f.Services[name].Calls {
			key := fmt.Sprintf("services.%s.calls[%d]", name, i)
			if c == name {
				p.at(key, "a service does not call itself through the gateway", "")
			}
			p.oneOf(key, c, slices.Sorted(maps.Keys(f.Services)))
		}
		if f.Services[name].Database == DatabaseOwn && f.Database == nil {
			p.at("services."+name+".database", "there is no database to have one of", "add: database: {}")
		}
		for i, t := range f.Services[name].Tables {
			if other, ok := owner[t]; ok {
				p.at(fmt.Sprintf("services.%s.tables[%d]", name, i), fmt.Sprintf("%s is a table of %s already", t, other), "a table that two services write is one service's; the other asks it")
			}
			owner[t] = name
		}
	}
	if len(f.Workers) > 0 && !f.Queue {
		p.at("workers", "there is no queue to take jobs from", "add: queue: true")
	}
	taken := map[string]string{}
	for name := range f.Services {
		taken[name] = "service"
	}
	unique := func(key, name, what string) {
		if other, is := taken[name]; is {
			p.at(key, fmt.Sprintf("%q is the name of a %s, too", name, other), "call the "+what+" by what it does")
		}
		taken[name] = what
	}
	for _, name := range slices.Sorted(maps.Keys(f.Workers)) {
		w := f.Workers[name]
		unique("workers."+name, name, "worker")
		p.runs("workers."+name, name, Service{Command: w.Command, Instances: w.Instances, Env: w.Env, Secrets: w.Secrets, StopTimeout: w.StopTimeout})
	}
	for _, name := range slices.Sorted(maps.Keys(f.Schedule)) {
		j := f.Schedule[name]
		unique("schedule."+name, name, "job")
		if fields := len(strings.Fields(j.At)); fields != 5 && !strings.HasPrefix(j.At, "@") || !gronx.IsValid(j.At) {
			p.at("schedule."+name+".at", fmt.Sprintf("%q is no time of cron's", j.At), "write minute, hour, day of the month, month and day of the week, UTC: '30 3 * * *' is half past three every day")
		}
		p.runs("schedule."+name, name, Service{Command: j.Command, Env: j.Env, Secrets: j.Secrets, StopTimeout: j.StopTimeout})
	}
	if f.Domain != "" && !domainForm.MatchString(f.Domain) {
		p.at("domain", fmt.Sprintf("%q is not a name in the DNS", f.Domain), "write it like app.example.com, in lower case")
	}
	if f.Static != nil {
		if f.Static.Dir == "" {
			p.at("static.dir", "is missing", "name the directory of the files")
		}
		p.path("static.route", f.Static.Route)
	}
	if len(f.Services) > 0 && !slices.ContainsFunc(slices.Collect(maps.Values(f.Services)), func(s Service) bool { return s.From <= 1 }) {
		p.at("services", "none is there from level 1 on", "leave from_level out of the one that does the others' work until then")
	}
	p.routes(f)
	if d := f.Database; d != nil {
		p.oneOf("database.engine", d.Engine, []string{"postgres"})
		p.oneOf("database.replication", d.Replication, []string{"async", ReplicationSync})
		p.oneOf("database.failover", d.Failover, []string{"manual", FailoverAutomatic})
		p.oneOf("database.pool", d.Pool, []string{"transaction", "session"})
		p.oneOf("database.size", d.Size, []string{"small", "medium", "large"})
	}
	for _, name := range slices.Sorted(maps.Keys(f.External)) {
		p.outside("external."+name, name, f.External[name])
	}
	seen := map[string]bool{}
	for i, r := range f.Regions {
		key := fmt.Sprintf("regions[%d]", i)
		if seen[r] {
			p.at(key, fmt.Sprintf("%s stands twice", r), "")
		}
		seen[r] = true
		p.oneOf(key, r, Regions)
	}
	p.oneOf("routing", f.Routing, []string{RouteByLatency, "geographic", RouteByWeight, "failover"})
	if len(f.Weights) > 0 && f.Routing != RouteByWeight {
		p.at("weights", "is only for routing: weighted", "")
	}
	sum, regions := 0, f.Regions
	if len(regions) == 0 {
		regions = []string{DefaultRegion}
	}
	for _, r := range slices.Sorted(maps.Keys(f.Weights)) {
		p.oneOf("weights."+r, r, regions)
		p.bounds("weights."+r, f.Weights[r], 0, 1000)
		sum += f.Weights[r]
	}
	if len(f.Weights) == len(regions) && sum == 0 {
		p.at("weights", "lead nobody anywhere", "give one region at least a weight above 0")
	}
	if _, err := ParseWindow(f.Maintenance.Window); err != nil {
		p.at("maintenance.window", err.Error(), "write it like 'Sun 03:00-05:00', 'Mon-Fri 02:00-04:00 UTC' or 'daily 23:30-01:00'")
	}
	p.bounds("maintenance.retry_after", f.Maintenance.RetryAfter, 1, 86400)
	for _, name := range slices.Sorted(maps.Keys(f.Environments)) {
		key, e := "environments."+name, f.Environments[name]
		if !ValidName(name) {
			p.at(key, fmt.Sprintf("%q is not allowed", name), NameHint)
		}
		p.oneOf(key+".target", e.Target, []string{DefaultTarget, AWS})
		if e.Key != "" && !keyForm.MatchString(e.Key) {
			p.at(key+".secrets_key", fmt.Sprintf("%q is no key", e.Key), "write awskms://alias/name?region=eu-west-1")
		}
		if e.State != "" && !stateForm.MatchString(e.State) {
			p.at(key+".state", fmt.Sprintf("%q is no bucket", e.State), "write s3://bucket/prefix")
		}
		if e.Account != "" && !accountForm.MatchString(e.Account) {
			p.at(key+".account", fmt.Sprintf("%q is no AWS account", e.Account), "12 digits, in quotation marks")
		}
		p.bounds(key+".port", e.Port, 1, 65535)
		if e.Level < 0 || e.Level == 0 && p.lines[key+".level"] != nil {
			p.at(key+".level", fmt.Sprintf("there is no level %d", e.Level), "'scale levels' lists them")
		}
	}
}

func (p *parser) service(key, name string, s Service) {
	p.runs(key, name, s)
	p.oneOf(key+".database", s.Database, []string{DatabaseShared, DatabaseOwn})
	for i, t := range s.Tables {
		if !tableForm.MatchString(t) {
			p.at(fmt.Sprintf("%s.tables[%d]", key, i), fmt.Sprintf("%q is no table's name", t), "write it like orders, or sales.orders with its schema")
		}
	}
	p.path(key+".health", s.Health)
	for i, r := range s.Routes {
		p.path(fmt.Sprintf("%s.routes[%d]", key, i), r)
	}
	p.bounds(key+".from_level", s.From, 1, 1000)
	if g := s.Gateway; g != nil {
		p.bounds(key+".gateway.timeout", g.Timeout, 1, 3600)
		p.bounds(key+".gateway.attempts", g.Attempts, 1, 10)
		p.bounds(key+".gateway.open_after", g.OpenAfter, 1, 1000)
		p.bounds(key+".gateway.open_for", g.OpenFor, 1, 3600)
		if g.OpenFor > 0 && g.OpenAfter == 0 {
			p.at(key+".gateway.open_for", "says how long a circuit is open that never opens", "add open_after: 5")
		}
	}
	p.bounds(key+".start_timeout", s.StartTimeout, 1, 3600)
}

// runs checks what services and workers have in common.
func (p *parser) runs(key, name string, s Service) {
	if !ValidName(name) {
		p.at(key, fmt.Sprintf("%q is not allowed", name), NameHint)
	}
	if slices.Contains(nodes, name) {
		p.at(key, fmt.Sprintf("%q is the name of another part of the environment", name), "call it by what it does, for example web, api or mailer")
	}
	if i := slices.IndexFunc(endings, func(e string) bool { return strings.HasSuffix(name, e) }); i >= 0 {
		p.at(key, fmt.Sprintf("a name does not end in %q here, as that of a part of a service does", endings[i]), "call it by what it does")
	}
	if s.Image != "" && (!imageForm.MatchString(s.Image) || strings.HasSuffix(s.Image, ":latest")) {
		p.at(key+".image", fmt.Sprintf("%q is not an image with a tag or a digest", s.Image), "write it like ghcr.io/acme/web:1.0; 'latest' names another image tomorrow")
	}
	if len(s.Command) == 0 && s.Image == "" {
		p.at(key+".command", "is missing", "say what starts it, for example ./server or: gunicorn shop.wsgi")
	}
	if _, set := p.lines[key+".instances"]; set {
		p.bounds(key+".instances", or(s.Instances, -1), 1, 64)
	}
	p.bounds(key+".stop_timeout", s.StopTimeout, 1, 3600)
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		p.variable(key+".env."+k, k)
	}
	for i, k := range s.Secrets {
		p.variable(fmt.Sprintf("%s.secrets[%d]", key, i), k)
	}
}

// outside checks a service of others.
func (p *parser) outside(key, name string, e External) {
	if !ValidName(name) {
		p.at(key, fmt.Sprintf("%q is not allowed", name), NameHint)
		return
	}
	p.variable(key, externalName(name))
	u, err := url.Parse(e.URL)
	switch {
	case e.URL == "":
		p.at(key+".url", "is missing", "say where it is, for example smtp://mail.example.com:587")
	case err != nil || u.Scheme == "" || u.Host == "":
		p.at(key+".url", "is not the address of a service", "write it like smtp://mail.example.com:587 or https://api.example.com")
	case u.User != nil:
		if _, secret := u.User.Password(); secret {
			p.at(key+".url", "holds a password", "take it out, put it into the environment of 'scale up', and name that variable: secret: "+strings.TrimSuffix(externalName(name), "_URL")+"_PASSWORD")
		}
	}
	if e.Secret != "" {
		p.variable(key+".secret", e.Secret)
	}
}

// routes refuses a path that two would answer.
func (p *parser) routes(f File) {
	owner := map[string]string{}
	if f.Static != nil {
		owner[strings.TrimSuffix(or(f.Static.Route, "/"), "/")] = "static.route"
	}
	for _, name := range slices.Sorted(maps.Keys(f.Services)) {
		key := "services." + name + ".routes"
		routes := f.Services[name].Routes
		if len(routes) == 0 {
			routes = []string{"/"}
		}
		for _, r := range routes {
			at := strings.TrimSuffix(r, "/")
			if o, taken := owner[at]; taken {
				p.at(key, fmt.Sprintf("%s and %s both answer %s", key, o, or(at, "/")), "give one of them another prefix, for example routes: [/api]")
				continue
			}
			owner[at] = key
		}
	}
}

func (p *parser) variable(key, name string) {
	switch {
	case !envForm.MatchString(name):
		p.at(key, fmt.Sprintf("%q is not the name of an environment variable", name), "letters, digits and underscores, not starting with a digit")
	case slices.Contains(reserved, name), strings.HasPrefix(name, "SCALE_"), strings.HasPrefix(name, "SERVICE_"):
		p.at(key, name+" is set by the environment itself", "choose another name")
	}
}

func (p *parser) path(key, v string) {
	if v != "" && (!strings.HasPrefix(v, "/") || strings.ContainsAny(v, " ?#*{}")) {
		p.at(key, fmt.Sprintf("%q is not a path", v), "a path starts with / and holds no blanks, wildcards or queries")
	}
}

func (p *parser) oneOf(key, v string, names []string) {
	if v != "" && !slices.Contains(names, v) {
		hint := "one of " + list(names)
		if len(names) > 8 {
			hint = fmt.Sprintf("one of %d: %s, …", len(names), list(names[:4]))
		}
		p.at(key, fmt.Sprintf("%q does not exist", v), hint+didYouMean(v, names))
	}
}

func (p *parser) bounds(key string, v, lo, hi int) {
	if _, set := p.lines[key]; set && (v < lo || v > hi) {
		p.at(key, fmt.Sprintf("must be from %d to %d", lo, hi), "")
	}
}
