package aws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/stacks/engine"
)

// The price list is asked for each type of the table, and costs are reckoned with what it
// says. A stand-in answers, in the form of the API's documentation.
func TestFetchPrices(t *testing.T) {
	twice := false
	asked := map[string]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			ServiceCode string
			Filters     []struct{ Field, Value string }
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		said := map[string]string{}
		for _, f := range in.Filters {
			said[f.Field] = f.Value
		}
		asked[said["instanceType"]] = in.ServiceCode + " " + said["regionCode"]
		price := func(usd string) string {
			return fmt.Sprintf(`{"product":{"sku":"X"},"terms":{"OnDemand":{"X.JRTCKXETXF":{"priceDimensions":{"X.JRTCKXETXF.6YS6EN2CT7":{"unit":"Hrs","pricePerUnit":{"USD":%q}}}}},"Reserved":{}}}`, usd)
		}
		list := []string{price("1.5000000000")}
		if twice {
			list = append(list, price("2.5000000000"))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"FormatVersion": "aws_v1", "PriceList": list})
	}))
	t.Cleanup(s.Close)
	for k, v := range map[string]string{"AWS_ENDPOINT_URL_PRICING": s.URL, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": ""} {
		t.Setenv(k, v)
	}
	p, err := FetchPrices(t.Context(), "", "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	for kind := range table.Hourly {
		if p.Hourly[kind] != 1.5 {
			t.Errorf("%s costs %g", kind, p.Hourly[kind])
		}
	}
	if asked["db.t4g.small"] != "AmazonRDS eu-west-1" || asked["cache.t4g.small"] != "AmazonElastiCache eu-west-1" || asked["t3.small"] != "AmazonEC2 eu-west-1" {
		t.Errorf("asked for %v", asked)
	}
	a := New(Config{Fetched: p})
	lines, _ := a.Cost([]engine.Request{{Type: "aws:rds/instance:Instance", Name: "db", OldInputs: resource.NewPropertyMapFromMap(map[string]any{"instanceClass": "db.t4g.small", "allocatedStorage": 20})}})
	if lines[0].Monthly != 1.5*hours || !strings.Contains(a.Prices(), "eu-west-1") {
		t.Errorf("%+v, %s", lines, a.Prices())
	}
	twice = true
	if _, err := FetchPrices(t.Context(), "", "eu-west-1"); err == nil || !strings.Contains(err.Error(), "2 prices") {
		t.Errorf("two prices: %v", err)
	}
}
