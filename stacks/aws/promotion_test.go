package aws_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks/aws"
)

// accountStub answers for RDS and CloudWatch as these do around a promotion: a
// restart is noted a little after it was asked for, a promotion shows later, and of the lag
// there is an old value that says 0 until there is one from after the restart.
type accountStub struct {
	*testing.T
	mu        sync.Mutex
	asked     []string
	leader    string // its status
	restarted time.Time
	looks     int // since the restart or promotion
	promoted  bool
}

func (s *accountStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(r.URL.Path, "GetMetricStatistics") {
		w.Header().Set("Content-Type", "application/cbor")
		w.Header().Set("smithy-protocol", "rpc-v2-cbor")
		at, lag := time.Now().Add(-2*time.Minute), 0.0
		if s.looks++; !s.restarted.IsZero() && s.looks > 3 {
			at = s.restarted.Add(time.Second)
		} else if !s.restarted.IsZero() && s.looks > 2 {
			at, lag = s.restarted.Add(time.Second), 200
		}
		s.asked = append(s.asked, fmt.Sprintf("lag %.0f", lag))
		_, _ = w.Write(cbor.Encode(cbor.Map{"Label": cbor.String("ReplicaLag"), "Datapoints": cbor.List{cbor.Map{
			"Timestamp": &cbor.Tag{ID: 1, Value: cbor.Float64(float64(at.UnixMilli()) / 1000)}, "Maximum": cbor.Float64(lag)}}}))
		return
	}
	body, _ := io.ReadAll(r.Body)
	form, err := url.ParseQuery(string(body))
	if err != nil {
		s.Error(err)
	}
	action, id := form.Get("Action"), form.Get("DBInstanceIdentifier")
	s.asked = append(s.asked, strings.TrimSpace(action+" "+id))
	answer := ""
	switch action {
	case "DescribeDBInstances":
		status, follows := s.leader, ""
		if strings.Contains(id, "euw1") {
			status, follows = "available", "<ReadReplicaSourceDBInstanceIdentifier>arn:aws:rds:us-east-1:123456789012:db:shop-dev-db-use1-g1</ReadReplicaSourceDBInstanceIdentifier>"
			if s.promoted {
				if s.looks++; s.looks > 2 {
					follows = ""
				} else {
					status = "modifying"
				}
			}
		}
		answer = "<DBInstances><DBInstance><DBInstanceIdentifier>" + id + "</DBInstanceIdentifier><DBInstanceStatus>" + status + "</DBInstanceStatus>" + follows + "</DBInstance></DBInstances>"
	case "RebootDBInstance":
		s.restarted, s.looks = time.Now(), 0
	case "DescribeEvents":
		if s.looks++; !s.restarted.IsZero() && s.looks > 1 {
			answer = "<Events><Event><Message>DB instance restarted</Message><Date>" + s.restarted.UTC().Format(time.RFC3339Nano) + "</Date></Event></Events>"
			s.looks = 0
		}
	case "PromoteReadReplica":
		s.promoted, s.looks = true, 0
	default:
		s.Errorf("%s was asked for", action)
	}
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, `<%sResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><%sResult>%s</%sResult></%sResponse>`, action, action, answer, action, action)
}

// What is asked of an account, in which order: the old leader restarts, a lag from before that
// counts for nothing, and a promotion has ended when the replica follows nobody.
func TestPromotion(t *testing.T) {
	db := func(id, region, of string) topology.Node {
		return topology.Node{ID: id, Kind: topology.Database, Region: region, Generation: 1, Exposure: topology.Private, Database: &topology.DatabaseSpec{Engine: "postgres", Size: "small", Of: of}}
	}
	now := topology.Topology{App: "shop", Env: "dev", Level: 4, Regions: []topology.Region{{Name: "us-east-1"}, {Name: "eu-west-1"}},
		Nodes: []topology.Node{db("db-euw1-g1", "eu-west-1", "db-use1-g1"), db("db-use1-g1", "us-east-1", "")}}
	wanted, err := levels.Failover(now, "eu-west-1", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		leader string
		asks   []string
		found  string
	}{
		{"available", []string{"RebootDBInstance shop-dev-db-use1-g1", "lag 200", "lag 0", "PromoteReadReplica shop-dev-db-euw1-g1"}, "another replica is made in us-east-1"},
		{"storage-failure", []string{"PromoteReadReplica shop-dev-db-euw1-g1"}, "db-use1-g1 is not available"},
	} {
		s := &accountStub{T: t, leader: c.leader}
		at := httptest.NewServer(s)
		t.Cleanup(at.Close)
		a := aws.New(aws.Config{Domain: "shop.example.com", Endpoint: at.URL})
		a.Every(time.Millisecond)
		pins := map[string]string{"secret:password:db-use1-g1": "it"}
		found, err := a.Failover(t.Context(), now, wanted, pins)
		if err != nil || !strings.HasPrefix(found[0], c.found) {
			t.Fatalf("%s: it told %q (%v)", c.leader, found, err)
		}
		if pins["secret:password:db-euw1-g1"] != "it" {
			t.Errorf("the copy has the password %q", pins["secret:password:db-euw1-g1"])
		}
		s.asked = nil
		if err := a.Promote(t.Context(), now, wanted, func(string) {}); err != nil {
			t.Fatalf("%s: %v\n%v", c.leader, err, s.asked)
		}
		rest := s.asked
		for _, what := range c.asks {
			i := slices.Index(rest, what)
			if i < 0 {
				t.Fatalf("%s: %q was not asked for in its turn: %q", c.leader, what, s.asked)
			}
			rest = rest[i+1:]
		}
		if n := len(rest); n < 2 {
			t.Errorf("%s: it was %d times looked whether the promotion had ended", c.leader, n)
		}
		asked := len(s.asked)
		if err := a.Promote(t.Context(), now, wanted, func(string) {}); err != nil || slices.Contains(s.asked[asked:], "PromoteReadReplica shop-dev-db-euw1-g1") {
			t.Errorf("asked for again it did %q (%v)", s.asked[asked:], err)
		}
	}
}
