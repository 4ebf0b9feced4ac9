// Package config reads scale.yaml into an App: defaults filled in, every key
// checked, every complaint with its line.
//
// It is pure: it reads what it is handed and knows nothing of levels, targets or
// where files lie.
package config

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// File is scale.yaml as it is written.
type File struct {
	Name         string                 `yaml:"name" jsonschema:"required,pattern=^[a-z][a-z0-9-]{0\\,39}$" jsonschema_description:"The application's name: lower case letters, digits and dashes."`
	Services     map[string]Service     `yaml:"services" jsonschema:"required" jsonschema_description:"What runs, by name."`
	Static       *Static                `yaml:"static" jsonschema_description:"Files that a static server answers with."`
	Database     *Database              `yaml:"database" jsonschema_description:"The database that the services share."`
	Files        *bool                  `yaml:"files" jsonschema_description:"true: what the application keeps lies in an S3-compatible store, found by FILES_BUCKET and the standard AWS variables. false: it keeps no files. Default: not said, and level 2 looks for files that were written beside the code."`
	Sessions     bool                   `yaml:"sessions" jsonschema_description:"true: a session store that speaks Redis's protocol stands at SESSION_URL."`
	Queue        bool                   `yaml:"queue" jsonschema_description:"true: a queue that speaks Redis's protocol stands at QUEUE_URL; what it took is on the disk. The target local only."`
	HTTPCache    bool                   `yaml:"http_cache" jsonschema_description:"true: at level 2 too an HTTP cache stands before the load balancer, as the CDN does from level 3 on. The target local only."`
	Workers      map[string]Worker      `yaml:"workers" jsonschema_description:"What takes jobs from the queue, by name: at home, beside it. The target local only."`
	Schedule     map[string]Job         `yaml:"schedule" jsonschema_description:"What runs at times, once, at home, by name. The target local only."`
	External     map[string]External    `yaml:"external" jsonschema_description:"Services of others that all parts of the application use, by name: mail is found at MAIL_URL."`
	Domain       string                 `yaml:"domain" jsonschema_description:"The application's name in the DNS, in a zone of its own: app.example.com. The target aws needs it."`
	Regions      []string               `yaml:"regions" jsonschema_description:"Where the application stands, by AWS region name; the first is home. Default: us-east-1."`
	Routing      string                 `yaml:"routing" jsonschema:"enum=latency,enum=geographic,enum=weighted,enum=failover" jsonschema_description:"Whom the application's name leads to which region, from level 3 on: the nearest, their own, by weights, or home as long as it answers. Default: latency. The target local only: on AWS a CDN answers everywhere."`
	Weights      map[string]int         `yaml:"weights" jsonschema_description:"With routing weighted: each region's share, by its name. Default: 1."`
	Maintenance  Maintenance            `yaml:"maintenance" jsonschema_description:"When and how changes that need downtime are made."`
	Environments map[string]Environment `yaml:"environments" jsonschema_description:"Where it stands, by name. Default: dev, on this machine."`
}

// Service is one service of the application.
type Service struct {
	Command      Command           `yaml:"command" jsonschema_description:"What this machine runs; it gets PORT, DATABASE_URL and the other variables of the environment. Words are split as a shell does; a command that uses shell syntax runs under sh -c. A list is taken as it is."`
	Image        string            `yaml:"image" jsonschema_description:"The container image that the target aws runs, with a tag or digest; the application listens on PORT. Its own command is used."`
	Database     string            `yaml:"database" jsonschema:"enum=shared,enum=own" jsonschema_description:"own: from level 5 on the service has a database of its own. Default: shared."`
	Tables       []string          `yaml:"tables" jsonschema_description:"With database own: the service's tables, which move there from the shared database, and back."`
	Calls        []string          `yaml:"calls" jsonschema_description:"The services that this one calls; their addresses are SERVICE_<NAME>_URL."`
	From         int               `yaml:"from_level" jsonschema:"minimum=1" jsonschema_description:"The level from which on this is a service of its own; below it, another service does its work. Default: 1."`
	Gateway      *Gateway          `yaml:"gateway" jsonschema_description:"What the load balancer keeps requests for this service to, from level 2 on. The target local only: AWS's load balancer has none of it."`
	Migrate      Command           `yaml:"migrate" jsonschema_description:"Runs to its end before instances of a new release start: database migrations."`
	Dir          string            `yaml:"dir" jsonschema_description:"Working directory, relative to scale.yaml. Default: where scale.yaml is."`
	Health       string            `yaml:"health" jsonschema_description:"Path that answers 2xx or 3xx when an instance is ready. Default: /"`
	Routes       []string          `yaml:"routes" jsonschema_description:"Path prefixes that reach this service. Default: everything that is not a static file."`
	Instances    int               `yaml:"instances" jsonschema:"minimum=1,maximum=64" jsonschema_description:"How many run side by side. Default: 1 at level 1, 2 from level 2 on."`
	Env          map[string]string `yaml:"env" jsonschema_description:"Settings of the application's own. No secrets: those go under secrets."`
	Secrets      []string          `yaml:"secrets" jsonschema_description:"Names of environment variables whose values 'scale up' takes from its own environment, keeps encrypted, and hands to the service."`
	StartTimeout int               `yaml:"start_timeout" jsonschema:"minimum=1,maximum=3600" jsonschema_description:"Seconds until the health path must answer. Default: 60."`
	StopTimeout  int               `yaml:"stop_timeout" jsonschema:"minimum=1,maximum=3600" jsonschema_description:"Seconds between TERM and KILL. Default: 10."`
}

// Worker is a part of the application that nobody calls. It gets what services get, but PORT.
type Worker struct {
	Command     Command           `yaml:"command" jsonschema_description:"What this machine runs; it gets QUEUE_URL, DATABASE_URL and the other variables of the environment."`
	Dir         string            `yaml:"dir" jsonschema_description:"Working directory, relative to scale.yaml. Default: where scale.yaml is."`
	Instances   int               `yaml:"instances" jsonschema:"minimum=1,maximum=64" jsonschema_description:"How many run side by side. Default: 1."`
	Env         map[string]string `yaml:"env" jsonschema_description:"Settings of the application's own. No secrets: those go under secrets."`
	Secrets     []string          `yaml:"secrets" jsonschema_description:"Names of environment variables whose values 'scale up' takes from its own environment, keeps encrypted, and hands to the worker."`
	StopTimeout int               `yaml:"stop_timeout" jsonschema:"minimum=1,maximum=3600" jsonschema_description:"Seconds between TERM and KILL: how long the job in hand may take. Default: 10."`
}

// Job is a command that runs to its end at times. It gets what services get, but PORT.
type Job struct {
	At          string            `yaml:"at" jsonschema:"required" jsonschema_description:"When: cron's five fields (minute, hour, day of the month, month, day of the week), UTC. A time that comes while it still runs passes."`
	Command     Command           `yaml:"command" jsonschema_description:"What this machine runs, to its end."`
	Dir         string            `yaml:"dir" jsonschema_description:"Working directory, relative to scale.yaml. Default: where scale.yaml is."`
	Env         map[string]string `yaml:"env" jsonschema_description:"Settings of the application's own. No secrets: those go under secrets."`
	Secrets     []string          `yaml:"secrets" jsonschema_description:"Names of environment variables whose values 'scale up' takes from its own environment, keeps encrypted, and hands to the job."`
	StopTimeout int               `yaml:"stop_timeout" jsonschema:"minimum=1,maximum=3600" jsonschema_description:"Seconds between TERM and KILL, when a release or 'down' comes while it runs. Default: 10."`
}

// External is a service that others run: a mail provider, a payment gateway.
type External struct {
	URL    string `yaml:"url" jsonschema:"required" jsonschema_description:"Where it is, without a password: handed on as NAME_URL."`
	Secret string `yaml:"secret" jsonschema_description:"The environment variable with what it is used with, treated as those under secrets."`
}

// Gateway is what requests for a service are kept to. What is 0 is not limited.
type Gateway struct {
	Timeout   int `yaml:"timeout" jsonschema:"minimum=1,maximum=3600" jsonschema_description:"Seconds until the answer must begin; then the caller gets 504. Default: as long as it takes."`
	Attempts  int `yaml:"attempts" jsonschema:"minimum=1,maximum=10" jsonschema_description:"How many instances are asked for one request, at most; POST and PATCH are repeated only when nobody has got them. Default: as many as five seconds allow."`
	OpenAfter int `yaml:"open_after" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"After so many failures in a row (5xx, or no answer) the circuit opens: callers get 503 at once. Default: it never opens."`
	OpenFor   int `yaml:"open_for" jsonschema:"minimum=1,maximum=3600" jsonschema_description:"Seconds until one request is let through to see whether the service answers again. Default: 10."`
}

// Static is a directory of files.
type Static struct {
	Dir   string `yaml:"dir" jsonschema:"required" jsonschema_description:"The directory, relative to scale.yaml."`
	Route string `yaml:"route" jsonschema_description:"Path prefix under which the files are found. Default: /"`
}

// Database is the shared database.
type Database struct {
	Engine string `yaml:"engine" jsonschema:"enum=postgres" jsonschema_description:"Default: postgres."`
	Size   string `yaml:"size" jsonschema:"enum=small,enum=medium,enum=large" jsonschema_description:"How much it may use. Default: small."`
	// Replication is empty where nobody asked for anything else than the default.
	Replication string `yaml:"replication" jsonschema:"enum=async,enum=sync" jsonschema_description:"From level 4 on, with two regions or more. sync: a write is acknowledged once a replica has it on its disk too, a round trip later; while no replica runs, writes wait. The target local only. Default: async."`
	Failover    string `yaml:"failover" jsonschema:"enum=manual,enum=automatic" jsonschema_description:"From level 4 on, with two regions or more. automatic: a leader that has not answered for ten seconds is replaced by a replica, without anybody being asked. The target local only: where regions merely cannot see each other, a person decides. Default: manual."`
	Pool        string `yaml:"pool" jsonschema:"enum=transaction,enum=session" jsonschema_description:"From level 2 on: PgBouncer stands between the services and their databases, one a region, and lends its connections for a transaction or for a session. DATABASE_URL leads to it, DATABASE_DIRECT_URL past it. The target local only. Default: none."`
}

// Maintenance is how downtime is arranged.
type Maintenance struct {
	Window     string `yaml:"window" jsonschema_description:"When changes that need downtime may start: 'Sun 03:00-05:00', 'Mon-Fri 02:00-04:00 UTC', 'daily 23:30-01:00'. Default: at once."`
	Page       string `yaml:"page" jsonschema_description:"An HTML file to answer with meanwhile, relative to scale.yaml."`
	RetryAfter int    `yaml:"retry_after" jsonschema:"minimum=1,maximum=86400" jsonschema_description:"Seconds, sent as Retry-After meanwhile. Default: 30."`
}

// Environment is one place where the application stands.
type Environment struct {
	Target  string `yaml:"target" jsonschema:"enum=local,enum=aws" jsonschema_description:"local: this machine. aws: an AWS account."`
	Account string `yaml:"account" jsonschema:"pattern=^[0-9]{12}$" jsonschema_description:"The AWS account that the environment may stand in, and no other: 12 digits."`
	State   string `yaml:"state" jsonschema_description:"Where the record and the state are kept, for the target aws: s3://bucket/prefix, with ?region=eu-west-1 where it is not that of the credentials. Default: on this machine."`
	Key     string `yaml:"secrets_key" jsonschema_description:"The key of AWS KMS that seals the secrets of the record and the state, instead of a passphrase: awskms://alias/name?region=eu-west-1. For the target aws; it cannot be changed later."`
	Level   int    `yaml:"level" jsonschema:"minimum=1" jsonschema_description:"The level that 'scale up' without --level goes to."`
	Port    int    `yaml:"port" jsonschema:"minimum=1,maximum=65535" jsonschema_description:"Port of the public address. Default: a free one, kept from then on."`
}

// App is what is wanted of one environment: the file with its defaults, and
// what was found out about the project. It is the intent; facts are in the record.
type App struct {
	Name     string
	Env      string
	Target   string
	Level    int          // 0: the file names none
	Port     int          // 0: any
	Dir      string       // absolute, where scale.yaml is; empty: the built-in example
	File     string       // path of scale.yaml; empty: the built-in example
	Services []AppService // Instances is 0 where the level decides
	Static   *AppStatic
	Database *Database
	// Files: true for a store of files, false for an application that keeps none,
	// nil for one that does not say.
	Files    *bool
	Sessions bool
	Queue    bool
	// HTTPCache: at level 2 too there is what the CDN is from level 3 on.
	HTTPCache bool
	Workers   []AppService // with no more of a service than a worker has
	Schedule  []AppService // with no more than a job has
	Regions   []string
	Routing   string
	Weights   map[string]int
	Domain    string
	Account   string // of AWS; empty: any
	Key       string // URL of what seals the secrets; empty: a passphrase
	State     string // URL of the bucket that keeps record and state; empty: this machine
	Maintenance
}

// AppService is a service, a worker or a job with its defaults, and the digest of its sources.
type AppService struct {
	Name string
	Service
	At      string // of a job
	Release string
	// SecretsVersion changes when the value of a secret does.
	SecretsVersion string
}

// AppStatic is the static files, with their digest.
type AppStatic struct {
	Static
	Release string
}

// How the application's name is answered; topology names the same.
const (
	RouteByLatency = "latency"
	RouteByWeight  = "weighted"
)

// The defaults of scale.yaml.
const (
	DefaultEnv          = "dev"
	DefaultTarget       = "local"
	AWS                 = "aws"
	DatabaseShared      = "shared"
	DatabaseOwn         = "own"
	ReplicationSync     = "sync"
	FailoverAutomatic   = "automatic"
	DefaultRegion       = "us-east-1"
	DefaultHealth       = "/"
	DefaultStartTimeout = 60
	DefaultStopTimeout  = 10
	DefaultRetryAfter   = 30
	DefaultOpenFor      = 10
)

// App resolves the file for an environment; an empty name means the only one,
// or dev.
func (f File) App(env string) (App, error) {
	name, e, err := f.environment(env)
	if err != nil {
		return App{}, err
	}
	a := App{Name: f.Name, Env: name, Target: e.Target, Level: e.Level, Port: e.Port,
		Regions: f.Regions, Maintenance: f.Maintenance, Database: f.Database, Files: f.Files, Sessions: f.Sessions, Queue: f.Queue, HTTPCache: f.HTTPCache,
		Routing: or(f.Routing, RouteByLatency), Weights: f.Weights, Domain: f.Domain, Account: e.Account, State: e.State, Key: e.Key}
	if a.Target == "" {
		a.Target = DefaultTarget
	}
	if len(a.Regions) == 0 {
		a.Regions = []string{DefaultRegion}
	}
	if a.RetryAfter == 0 {
		a.RetryAfter = DefaultRetryAfter
	}
	if f.Database != nil {
		d := *f.Database
		d.Engine, d.Size = or(d.Engine, "postgres"), or(d.Size, "small")
		if d.Replication == "async" {
			d.Replication = ""
		}
		if d.Failover == "manual" {
			d.Failover = ""
		}
		a.Database = &d
	}
	if f.Static != nil {
		a.Static = &AppStatic{Static: *f.Static}
		a.Static.Route = or(a.Static.Route, "/")
	}
	for _, n := range slices.Sorted(maps.Keys(f.Services)) {
		s := f.Services[n]
		s.Health, s.Database, s.From = or(s.Health, DefaultHealth), or(s.Database, DatabaseShared), or(s.From, 1)
		if s.Gateway != nil && s.Gateway.OpenAfter > 0 {
			g := *s.Gateway
			g.OpenFor = or(g.OpenFor, DefaultOpenFor)
			s.Gateway = &g
		}
		s.StartTimeout, s.StopTimeout = or(s.StartTimeout, DefaultStartTimeout), or(s.StopTimeout, DefaultStopTimeout)
		if len(s.Routes) == 0 {
			s.Routes = []string{"/"}
		}
		a.Services = append(a.Services, AppService{Name: n, Service: s})
	}
	for _, n := range slices.Sorted(maps.Keys(f.Workers)) {
		w := f.Workers[n]
		a.Workers = append(a.Workers, AppService{Name: n, Service: Service{Command: w.Command, Dir: w.Dir, Instances: or(w.Instances, 1), Env: w.Env,
			Secrets: w.Secrets, StopTimeout: or(w.StopTimeout, DefaultStopTimeout), Database: DatabaseShared}})
	}
	for _, n := range slices.Sorted(maps.Keys(f.Schedule)) {
		j := f.Schedule[n]
		a.Schedule = append(a.Schedule, AppService{Name: n, At: j.At, Service: Service{Command: j.Command, Dir: j.Dir, Instances: 1, Env: j.Env,
			Secrets: j.Secrets, StopTimeout: or(j.StopTimeout, DefaultStopTimeout), Database: DatabaseShared}})
	}
	for s := range a.Each() {
		f.external(s)
	}
	return a, nil
}

// external hands a part of the application the services of others: what it says itself counts.
func (f File) external(s *AppService) {
	for _, n := range slices.Sorted(maps.Keys(f.External)) {
		e, name := f.External[n], externalName(n)
		if _, said := s.Env[name]; !said {
			env := maps.Clone(s.Env)
			if env == nil {
				env = map[string]string{}
			}
			env[name] = e.URL
			s.Env = env
		}
		if e.Secret != "" && !slices.Contains(s.Secrets, e.Secret) {
			s.Secrets = append(slices.Clone(s.Secrets), e.Secret)
		}
	}
}

// externalName is the variable that says where a service of others is.
func externalName(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_URL"
}

// At is the application at a level: with the services that are ones of their own there.
func (a App) At(level int) App {
	a.Services = slices.DeleteFunc(slices.Clone(a.Services), func(s AppService) bool { return s.From > level })
	for i := range a.Services {
		a.Services[i].Calls = slices.DeleteFunc(slices.Clone(a.Services[i].Calls), func(to string) bool {
			return !slices.ContainsFunc(a.Services, func(s AppService) bool { return s.Name == to })
		})
	}
	return a
}

// Runs are all that the application runs: services, workers and jobs.
func (a App) Runs() []AppService { return slices.Concat(a.Services, a.Workers, a.Schedule) }

// Each is all that the application runs, to be changed: it is the application's own from
// then on.
func (a *App) Each() iter.Seq[*AppService] {
	return func(yield func(*AppService) bool) {
		for _, of := range []*[]AppService{&a.Services, &a.Workers, &a.Schedule} {
			*of = slices.Clone(*of)
			for i := range *of {
				if !yield(&(*of)[i]) {
					return
				}
			}
		}
	}
}

// Fit checks that the application has what its target needs, and drops what only
// another target does, so that a change of it is no change here.
func (a *App) Fit() error {
	if a.Target == AWS && a.Database != nil && a.Database.Replication == ReplicationSync {
		return &Problem{Key: "database.replication", What: "is for the target local: RDS copies to other regions after it has acknowledged", Hint: "take it out, or say target: local"}
	}
	if a.Target == AWS && a.Database != nil && a.Database.Failover == FailoverAutomatic {
		return &Problem{Key: "database.failover", What: "is for the target local: on AWS regions may merely not see each other, and a person decides", Hint: "take it out, or say target: local"}
	}
	if a.Target == AWS && a.Database != nil && a.Database.Pool != "" {
		return &Problem{Key: "database.pool", What: "is for the target local: there is no pool of connections on AWS yet", Hint: "take it out, or say target: local"}
	}
	if a.Target == AWS && a.Queue {
		return &Problem{Key: "queue", What: "is for the target local: there are no queue and no workers on AWS yet", Hint: "take it and the workers out, or say target: local"}
	}
	if a.Target == AWS && a.HTTPCache {
		return &Problem{Key: "http_cache", What: "is for the target local: on AWS the CDN comes with level 3", Hint: "take it out, or say target: local"}
	}
	if a.Target == AWS && len(a.Schedule) > 0 {
		return &Problem{Key: "schedule", What: "is for the target local: nothing runs at times on AWS yet", Hint: "take it out, or say target: local"}
	}
	a.Services = slices.Clone(a.Services)
	for i := range a.Services {
		s := &a.Services[i]
		key := "services." + s.Name
		switch {
		case a.Target == AWS && s.Image == "":
			return &Problem{Key: key + ".image", What: "is missing: the target aws runs images", Hint: "name the image with its tag, for example ghcr.io/acme/" + s.Name + ":1.0"}
		case a.Target == AWS && s.Gateway != nil:
			return &Problem{Key: key + ".gateway", What: "is for the target local: AWS's load balancer has none of it", Hint: "take it out, or say target: local"}
		case a.Target == AWS:
			s.Command, s.Dir, s.Release = nil, "", s.Image
		case len(s.Command) == 0:
			return &Problem{Key: key + ".command", What: "is missing: this machine runs commands", Hint: "say what starts the service, for example ./server"}
		default:
			s.Image = ""
		}
	}
	if a.Target != AWS && a.Key != "" {
		return &Problem{Key: "environments." + a.Env + ".secrets_key", What: "is for the target aws: what stands on this machine needs no account", Hint: "take it out, or say target: aws"}
	}
	if a.Target != AWS && a.State != "" {
		return &Problem{Key: "environments." + a.Env + ".state", What: "is for the target aws: what stands on this machine is recorded here", Hint: "take it out, or say target: aws"}
	}
	if a.Target == AWS && a.Routing != RouteByLatency {
		return &Problem{Key: "routing", What: "is for the target local: on AWS a CDN answers users everywhere", Hint: "take it out, or say target: local"}
	}
	if a.Target == AWS && a.Domain == "" {
		return &Problem{Key: "domain", What: "is missing: the target aws needs the application's name", Hint: "add domain: app.example.com, in a zone that can be delegated"}
	}
	return nil
}

func (f File) environment(env string) (string, Environment, error) {
	names := slices.Sorted(maps.Keys(f.Environments))
	switch {
	case len(names) == 0:
		return or(env, DefaultEnv), Environment{}, nil
	case env != "":
		e, ok := f.Environments[env]
		if !ok {
			return "", e, &Problem{Key: "environments", What: fmt.Sprintf("there is no environment %q", env),
				Hint: "the file has " + list(names) + didYouMean(env, names)}
		}
		return env, e, nil
	case len(names) == 1:
		return names[0], f.Environments[names[0]], nil
	default:
		e, ok := f.Environments[DefaultEnv]
		if !ok {
			return "", e, &Problem{Key: "environments", What: "several environments and none called " + DefaultEnv,
				Hint: "say which with --env: " + list(names)}
		}
		return DefaultEnv, e, nil
	}
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
