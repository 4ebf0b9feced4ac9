package program

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/secretsmanager"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
)

// environment is what a backend is told that is no secret: the same variables as
// on every target.
func (p *program) environment(n topology.Node) map[string]any {
	b := n.Backend
	env := map[string]any{}
	for k, v := range b.Env {
		env[k] = v
	}
	env["PORT"], env["SCALE_LEVEL"], env["SCALE_REGION"], env["SCALE_COLOR"] = strconv.Itoa(port), strconv.Itoa(b.Level), n.Region, b.Color
	if b.StaticURL != "" {
		env["STATIC_URL"] = b.StaticURL
	}
	if b.SecretsVersion != "" {
		env["SCALE_SETTINGS"] = b.SecretsVersion // changes when a secret does, so that tasks are started anew
	}
	for _, f := range p.t.LinkedFrom(n.ID, topology.Files) {
		env["FILES_BUCKET"], env["AWS_REGION"] = p.stores[f.ID].files.Bucket, f.Region
	}
	for _, s := range b.Calls {
		env["SERVICE_"+strings.ToUpper(strings.ReplaceAll(s, "-", "_"))+"_URL"] = "http://" + s + ":" + strconv.Itoa(port)
	}
	return env
}

// connections are the variables with credentials, and under which key the service's
// secret holds each: a store's is the store's id, so that two colours may connect
// to different ones.
func (p *program) connections(n topology.Node) map[string]string {
	keys := map[string]string{}
	for _, d := range p.t.LinkedFrom(n.ID, topology.Database) {
		if _, ok := keys["DATABASE_URL"]; !d.Replica() && (!ok || !d.Fenced()) {
			keys["DATABASE_URL"] = d.ID
		}
		if _, ok := keys["DATABASE_REPLICA_URL"]; !ok || d.Replica() {
			keys["DATABASE_REPLICA_URL"] = d.ID
		}
	}
	for _, d := range p.t.LinkedFrom(n.ID, topology.Cache) {
		keys["CACHE_URL"] = d.ID
	}
	for _, d := range p.t.LinkedFrom(n.ID, topology.Sessions) {
		keys["SESSION_URL"] = d.ID
	}
	for _, name := range n.Backend.Secrets {
		keys[name] = name
	}
	return keys
}

// workload makes what both colours of a service share in a region: the secret
// with its variables, and the roles of its tasks.
func (p *program) workload(n topology.Node) (*workload, error) {
	id := n.Backend.Service + "-" + RegionCode(n.Region)
	if w, ok := p.apps[id]; ok {
		return w, nil
	}
	c, err := p.component("scale:aws:service", id, n.Region)
	if err != nil {
		return nil, err
	}
	w := &workload{}
	p.apps[id] = w
	values := map[string]any{}
	for _, o := range p.t.OfKind(topology.Backend) {
		if o.Region != n.Region || o.Backend.Service != n.Backend.Service {
			continue
		}
		for name, key := range p.connections(o) {
			if s, ok := p.stores[key]; ok {
				values[key] = s.url
			} else {
				values[name] = pulumi.ToSecret(pulumi.String(p.s.Secrets[o.Backend.Service][name]))
			}
		}
	}
	// It can be deleted at once, and its name used again: all that it says is in the record.
	if w.secret, err = secretsmanager.NewSecret(p.ctx, id, &secretsmanager.SecretArgs{Name: str(p.path(id)[1:]), Description: str("what " + n.Backend.Service + " connects with"),
		KmsKeyId: c.key.Arn, RecoveryWindowInDays: num(0)}, c.in()...); err != nil {
		return nil, err
	}
	if w.version, err = secretsmanager.NewSecretVersion(p.ctx, id, &secretsmanager.SecretVersionArgs{SecretId: w.secret.ID(),
		SecretString: pulumi.ToSecret(pulumi.JSONMarshal(values)).(pulumi.StringOutput)}, c.in()...); err != nil {
		return nil, err
	}
	if w.execution, err = p.role(c, id+"-start", "ecs-tasks.amazonaws.com",
		p.mayLog(pulumi.Sprintf("arn:aws:logs:%s:%s:log-group:%s*", n.Region, p.s.Account, p.path(n.Backend.Service))), p.mayPull(),
		statement{"Effect": "Allow", "Action": []string{"secretsmanager:GetSecretValue"}, "Resource": w.secret.Arn},
		statement{"Effect": "Allow", "Action": []string{"kms:Decrypt"}, "Resource": c.key.Arn}); err != nil {
		return nil, err
	}
	w.task, err = p.role(c, id, "ecs-tasks.amazonaws.com", p.mayKeepFiles(n)...)
	return w, err
}

// references are the variables that a backend gets from the service's secret.
func (p *program) references(n topology.Node, w *workload) []any {
	refs, keys := []any{}, p.connections(n)
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		refs = append(refs, map[string]any{"name": name, "valueFrom": pulumi.Sprintf("%s:%s::", w.secret.Arn, keys[name])})
	}
	return refs
}

func (p *program) mayLog(group pulumi.StringInput) statement {
	return statement{"Effect": "Allow", "Action": []string{"logs:CreateLogStream", "logs:PutLogEvents"}, "Resource": pulumi.Sprintf("%s:*", group)}
}

// mayPull is leave to fetch images from the application's own repositories; the
// token that ECR hands out is for the whole registry.
func (p *program) mayPull() statement {
	return statement{"Effect": "Allow", "Action": []string{"ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"}, "Resource": "*"}
}

// mayFetch is leave to read the files of releases.
func (p *program) mayFetch() []statement {
	b := p.zone.releases
	return []statement{
		{"Effect": "Allow", "Action": []string{"s3:ListBucket"}, "Resource": b.Arn},
		{"Effect": "Allow", "Action": []string{"s3:GetObject"}, "Resource": pulumi.Sprintf("%s/releases/*", b.Arn)},
		{"Effect": "Allow", "Action": []string{"kms:Decrypt"}, "Resource": p.zone.key.Arn},
	}
}

// mayKeepFiles is leave to use the bucket of files that a backend links to.
func (p *program) mayKeepFiles(n topology.Node) []statement {
	var may []statement
	for _, f := range p.t.LinkedFrom(n.ID, topology.Files) {
		s := p.stores[f.ID]
		may = append(may,
			statement{"Effect": "Allow", "Action": []string{"s3:ListBucket"}, "Resource": s.files.Arn},
			statement{"Effect": "Allow", "Action": []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}, "Resource": pulumi.Sprintf("%s/*", s.files.Arn)},
			statement{"Effect": "Allow", "Action": []string{"kms:Decrypt", "kms:GenerateDataKey"}, "Resource": s.c.key.Arn})
	}
	return may
}

// pairs are variables as ECS takes them, in a stable order.
func pairs(env map[string]any) []any {
	all := []any{}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		all = append(all, map[string]any{"name": k, "value": env[k]})
	}
	return all
}

func trim(prefix string) string { return strings.TrimSuffix(prefix, "/") }

// RegionCode shortens a region's name: us-east-1 is use1, ap-southeast-2 is apse2.
func RegionCode(region string) string {
	var b strings.Builder
	for i, part := range strings.Split(region, "-") {
		switch {
		case i == 0:
			b.WriteString(part)
		case part == "northeast", part == "southeast", part == "northwest", part == "southwest":
			b.WriteString(part[:1] + part[5:6])
		case part >= "0" && part <= "99":
			b.WriteString(part)
		default:
			b.WriteString(part[:1])
		}
	}
	return b.String()
}
