package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/pricing/types"
)

// FetchPrices asks the Price List API for the prices of the table in a region. It is one
// of few regions that answers, and asks for pricing:GetProducts.
func FetchPrices(ctx context.Context, profile, region string) (*Prices, error) {
	c, err := (&account{profile: profile}).load(ctx, homeOfSTS)
	if err != nil {
		return nil, err
	}
	client := pricing.NewFromConfig(c)
	p := &Prices{From: fmt.Sprintf("Price List API, %s, %s on demand; what is not a machine, database or cache: %s", time.Now().UTC().Format(time.DateOnly), region, PricesFrom), Hourly: map[string]float64{}}
	for kind := range table.Hourly {
		service, filters := productOf(kind)
		filters["regionCode"] = region
		price, err := onDemand(ctx, client, service, filters)
		if err != nil {
			return nil, fmt.Errorf("the price of %s: %w", kind, err)
		}
		p.Hourly[kind] = price
	}
	return p, nil
}

// productOf is how the price list names an instance type's on-demand price.
func productOf(kind string) (service string, filters map[string]string) {
	filters = map[string]string{"instanceType": kind}
	switch {
	case strings.HasPrefix(kind, "db."):
		filters["databaseEngine"], filters["deploymentOption"] = "PostgreSQL", "Single-AZ"
		return "AmazonRDS", filters
	case strings.HasPrefix(kind, "cache."):
		filters["cacheEngine"] = "Valkey"
		return "AmazonElastiCache", filters
	}
	for k, v := range map[string]string{"operatingSystem": "Linux", "preInstalledSw": "NA", "tenancy": "Shared", "capacitystatus": "Used"} {
		filters[k] = v
	}
	return "AmazonEC2", filters
}

// product is one of the price list, as far as it is read.
type product struct {
	Terms struct {
		OnDemand map[string]struct {
			PriceDimensions map[string]struct {
				Unit         string
				PricePerUnit map[string]string
			}
		}
	}
}

// onDemand is the one price by the hour that filters leave.
func onDemand(ctx context.Context, client *pricing.Client, service string, filters map[string]string) (float64, error) {
	in := &pricing.GetProductsInput{ServiceCode: &service}
	for k, v := range filters {
		in.Filters = append(in.Filters, types.Filter{Type: types.FilterTypeTermMatch, Field: sdk.String(k), Value: sdk.String(v)})
	}
	out, err := client.GetProducts(ctx, in)
	if err != nil {
		return 0, explain(err, "pricing:GetProducts")
	}
	prices := map[float64]bool{}
	for _, text := range out.PriceList {
		var p product
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return 0, fmt.Errorf("read the price list: %w", err)
		}
		for _, term := range p.Terms.OnDemand {
			for _, d := range term.PriceDimensions {
				if f, err := strconv.ParseFloat(d.PricePerUnit["USD"], 64); err == nil && f > 0 && d.Unit == "Hrs" {
					prices[f] = true
				}
			}
		}
	}
	if len(prices) != 1 {
		return 0, &Error{What: fmt.Sprintf("the price list has %d prices by the hour for it", len(prices)), Err: errors.New(service), Hint: "the table that scale carries goes on counting; report it"}
	}
	for f := range prices {
		return f, nil
	}
	return 0, nil
}
