package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/aws/program"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// model is how AWS answers, as far as that can be known without it: values of the
// right form, the same from run to run, and refusals where AWS refuses.
type model struct{ account string }

// Unknowable is what no rehearsal of an account can know.
var Unknowable = []string{
	"whether the account's quotas leave room, and whether a name that must be unique in all of AWS is free",
	"how long the account's own calls take, and whether AWS has the capacity at that moment",
	"what a service refuses that is not written in its model here",
}

func region(r engine.Request) string { return text(r.Config["region"]) }

func text(v resource.PropertyValue) string {
	switch {
	case v.IsString():
		return v.StringValue()
	case v.IsNumber():
		return strconv.FormatFloat(v.NumberValue(), 'f', -1, 64)
	case v.IsBool():
		return strconv.FormatBool(v.BoolValue())
	}
	return ""
}

// hash is what stands for what AWS would make up: it follows from the name, so that
// it is the same in every run.
func hash(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:])
}

var made = regexp.MustCompile(`@(uuid|time|revision|\d+)`)

var inputIn = regexp.MustCompile(`\$[a-zA-Z]+`)

// fill replaces what a form names.
func fill(form string, generation int, seed string, value func(string) string) string {
	form = made.ReplaceAllStringFunc(form, func(m string) string {
		h := hash(seed, strconv.Itoa(generation))
		switch m {
		case "@uuid":
			return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:32]
		case "@time":
			n, _ := strconv.ParseUint(h[:8], 16, 64)
			return time.Unix(1767225600+int64(n%31536000), 0).UTC().String() // some moment of 2026
		case "@revision":
			return strconv.Itoa(generation + 1)
		}
		n, _ := strconv.Atoi(m[1:])
		if upper := strings.HasPrefix(form, "E@") || strings.HasPrefix(form, "Z@"); upper {
			return strings.ToUpper(h[:n])
		}
		return h[:n]
	})
	return inputIn.ReplaceAllStringFunc(form, func(m string) string { return value(m[1:]) })
}

// Outputs implements rehearsal.Model.
func (m *model) Outputs(r engine.Request, generation int) (string, resource.PropertyMap) {
	row := byType()[r.Type]
	if row == nil {
		return r.Name, resource.PropertyMap{}
	}
	in := func(k string) string {
		if v := text(r.Inputs[resource.PropertyKey(k)]); v != "" {
			return v
		}
		switch k {
		case "name", "identifier", "bucket":
			return r.Name
		}
		return ""
	}
	seed := r.URN
	if seed == "" {
		seed = r.Type + r.Name
	}
	var id, arn string
	value := func(k string) string {
		switch k {
		case "id":
			return id
		case "arn":
			return arn
		}
		return in(k)
	}
	if !strings.Contains(row.id, "$arn") {
		id = fill(row.id, generation, seed, value)
	}
	if row.arn != "" {
		arn = m.arn(row.arn, region(r), generation, seed, value)
	}
	if strings.Contains(row.id, "$arn") {
		id = fill(row.id, generation, seed, value)
	}
	out := resource.PropertyMap{}
	for _, name := range outputNames(r.Type) {
		if _, said := r.Inputs[resource.PropertyKey(name)]; said {
			continue
		}
		if v, ok := m.answer(r, name, id, arn, in); ok {
			out[resource.PropertyKey(name)] = v
		}
	}
	return id, out
}

// outputNames are a type's outputs.
var outputNames = memo(func(typ string) []string { return slices.Sorted(maps.Keys(byType()[typ].outputs())) })

func memo[T any](f func(string) T) func(string) T {
	var mu sync.Mutex
	known := map[string]T{}
	return func(k string) T {
		mu.Lock()
		defer mu.Unlock()
		v, ok := known[k]
		if !ok {
			v = f(k)
			known[k] = v
		}
		return v
	}
}

func (m *model) arn(form, region string, generation int, seed string, value func(string) string) string {
	if rest, ok := strings.CutPrefix(form, "global:"); ok {
		form, region = rest, ""
	}
	service, rest, _ := strings.Cut(form, ":")
	if service == "s3" {
		return "arn:aws:s3:::" + fill(rest, generation, seed, value)
	}
	return "arn:aws:" + service + ":" + region + ":" + m.account + ":" + fill(rest, generation, seed, value)
}

// answer is one output that AWS fills in.
func (m *model) answer(r engine.Request, name, id, arn string, in func(string) string) (resource.PropertyValue, bool) {
	s := resource.NewStringProperty
	h := hash(r.URN, name)
	switch name {
	case "arn":
		return s(arn), arn != ""
	case "name", "identifier", "bucket":
		return s(in(name)), true
	case "keyId":
		return s(id), true
	case "arnSuffix":
		if _, rest, ok := strings.Cut(arn, ":loadbalancer/"); ok {
			return s(rest), true
		}
		if _, rest, ok := strings.Cut(arn, ":targetgroup/"); ok {
			return s("targetgroup/" + rest), true
		}
	case "dnsName":
		return s(in("name") + "-" + digits(h, 10) + "." + region(r) + ".elb.amazonaws.com"), true
	case "domainName":
		return s("d" + h[:13] + ".cloudfront.net"), r.Type == "aws:cloudfront/distribution:Distribution"
	case "hostedZoneId":
		return s("Z2FDTNDATAQYW2"), true // that of every distribution (Route 53 documentation)
	case "zoneId":
		if strings.HasPrefix(r.Type, "aws:route53/zone") {
			return s(id), true
		}
		return s("Z" + strings.ToUpper(hash(region(r))[:13])), true // one a region for load balancers
	case "nameServers":
		return resource.NewArrayProperty([]resource.PropertyValue{s("ns-1.awsdns-01.org"), s("ns-2.awsdns-02.co.uk"), s("ns-3.awsdns-03.com"), s("ns-4.awsdns-04.net")}), true
	case "address":
		return s(in("identifier") + ".c" + h[:11] + "." + region(r) + ".rds.amazonaws.com"), r.Type == "aws:rds/instance:Instance"
	case "endpoint":
		return s(in("identifier") + ".c" + h[:11] + "." + region(r) + ".rds.amazonaws.com:" + in("port")), r.Type == "aws:rds/instance:Instance"
	case "engine", "engineVersion", "username", "dbName": // a replica has them of its leader
		v := map[string]string{"engine": program.DatabaseEngine, "engineVersion": program.DatabaseVersion, "username": program.DatabaseUser, "dbName": program.DatabaseName}[name]
		return s(v), r.Type == databaseType && in("replicateSourceDb") != ""
	case "primaryEndpointAddress":
		return s("master." + in("replicationGroupId") + "." + h[:6] + "." + region(r) + ".cache.amazonaws.com"), true
	case "bucketDomainName":
		return s(in("bucket") + ".s3.amazonaws.com"), true
	case "bucketRegionalDomainName":
		return s(in("bucket") + ".s3." + region(r) + ".amazonaws.com"), true
	case "fqdn":
		return s(strings.TrimSuffix(in("name"), ".")), true
	case "publicIp":
		return s(address(h)), true
	case "versionId":
		_, version, _ := strings.Cut(id, "|")
		return s(version), true
	case "acceptStatus":
		return s("active"), true
	case "domainValidationOptions":
		return resource.NewArrayProperty([]resource.PropertyValue{resource.NewObjectProperty(resource.PropertyMap{
			"domainName": s(in("domainName")), "resourceRecordName": s("_" + hash(in("domainName"))[:32] + "." + in("domainName") + "."),
			"resourceRecordType": s("CNAME"), "resourceRecordValue": s("_" + hash("value", in("domainName"))[:32] + ".acm-validations.aws.")})}), true
	}
	return resource.PropertyValue{}, false
}

func digits(hex string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteByte('0' + hex[i]%10)
	}
	return b.String()
}

// address is one of those that documentation may use (RFC 5737).
func address(hex string) string {
	n, _ := strconv.ParseUint(hex[:2], 16, 8)
	return fmt.Sprintf("203.0.113.%d", 1+n%254)
}

// Beside implements rehearsal.Model: what has a name of its own must go before
// another of that name can come.
func (m *model) Beside(r engine.Request) bool {
	return byType()[r.Type] != nil && byType()[r.Type].unique == ""
}

// Unique implements rehearsal.Model.
func (m *model) Unique(r engine.Request) string {
	row := byType()[r.Type]
	if row == nil || row.unique == "" {
		return ""
	}
	keys, everywhere := strings.CutSuffix(row.unique, "!")
	k := r.Type
	if !everywhere {
		k += " " + region(r)
	}
	for _, name := range strings.Split(keys, ",") {
		k += " " + text(r.Inputs[resource.PropertyKey(name)])
	}
	return k
}

// Left implements rehearsal.Model: a database that goes leaves its final snapshot.
func (m *model) Left(r engine.Request) *rehearsal.Thing {
	id := text(r.OldInputs["finalSnapshotIdentifier"])
	if id == "" || text(r.OldInputs["skipFinalSnapshot"]) == "true" {
		return nil
	}
	return &rehearsal.Thing{Type: snapshotType, Name: id, ID: region(r) + "/" + id, Config: r.Config}
}

// snapshotType is what a final snapshot stands as.
const snapshotType = "aws:rds/snapshot:Snapshot"

// Refuse implements rehearsal.Model.
func (m *model) Refuse(op plan.Op, r engine.Request, w *rehearsal.World) error {
	if op == plan.Delete {
		return m.refuseDelete(r, w)
	}
	for _, v := range rehearsal.References(r.Inputs) {
		if strings.HasPrefix(v, "arn:") && !strings.Contains(v, ":"+m.account+":") && !strings.HasPrefix(v, "arn:aws:s3:::") {
			continue // of AWS itself
		}
		if strings.HasPrefix(v, "ami-") {
			continue // an image is nobody's
		}
		if w.ByID(v) == nil {
			return refusal(r, "InvalidParameterValue", v+" does not exist")
		}
	}
	if q, ok := quotas[r.Type]; ok && op == plan.Create {
		n := 0
		for t := range w.Things() {
			if t.Type == r.Type && region(engine.Request{Config: t.Config}) == region(r) {
				n++
			}
		}
		if n >= q.most {
			return refusal(r, q.code, fmt.Sprintf("the maximum number has been reached, %d in %s", q.most, region(r)))
		}
	}
	return m.refuseCIDR(r, w)
}

// quotas are what a new account may have in a region of the types of which it is few
// (Amazon VPC and Amazon EC2 documentation, "quotas"). All can be raised.
var quotas = map[string]struct {
	most int
	code string
}{
	"aws:ec2/vpc:Vpc": {5, "VpcLimitExceeded"},
	"aws:ec2/eip:Eip": {5, "AddressLimitExceeded"},
}

// refusal is an error as a service words it.
func refusal(r engine.Request, code, what string) error {
	return fmt.Errorf("%s: %s (rehearsed answer of AWS for %s)", code, what, r.Type)
}

func (m *model) refuseDelete(r engine.Request, w *rehearsal.World) error {
	t := w.ByID(r.ID)
	if t == nil {
		return nil // what is not there can be deleted
	}
	for _, k := range []resource.PropertyKey{"deletionProtection", "enableDeletionProtection"} {
		if text(t.Inputs[k]) == "true" {
			return refusal(r, "OperationNotPermitted", t.Name+" cannot be deleted while its deletion protection is on")
		}
	}
	if r.Type == "aws:rds/instance:Instance" && text(t.Inputs["skipFinalSnapshot"]) != "true" && text(t.Inputs["finalSnapshotIdentifier"]) == "" {
		return refusal(r, "InvalidParameterCombination", t.Name+" needs finalSnapshotIdentifier unless skipFinalSnapshot is set")
	}
	switch r.Type {
	case "aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter": // it is one side of the connection, and goes with it
		return nil
	case "aws:ecs/taskDefinition:TaskDefinition": // services that use it go on with it (ECS documentation, "DeregisterTaskDefinition")
		return nil
	}
	if user := w.UserOf(t); user != nil {
		return refusal(r, "DependencyViolation", t.Name+" is used by "+user.Type+" "+user.Name)
	}
	return nil
}
