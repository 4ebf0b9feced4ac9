package plan

import (
	"cmp"
	"slices"
)

// Cost is what an environment costs a month of 730 hours, in US dollars, without
// taxes and discounts.
type Cost struct {
	Now     float64    `json:"now"`
	After   float64    `json:"after"`
	Prices  string     `json:"prices"`            // where and when the prices are from
	Assumes []string   `json:"assumes,omitempty"` // what they depend on besides
	Lines   []CostLine `json:"lines,omitempty"`   // of After, the dearest first
}

// CostLine is one component's part.
type CostLine struct {
	Name     string  `json:"name"` // of the resource
	What     string  `json:"what"`
	Quantity float64 `json:"quantity"`
	Unit     string  `json:"unit"`
	Price    float64 `json:"price"` // of one unit a month
	Monthly  float64 `json:"monthly"`
}

// Sum is the lines' total a month.
func Sum(ls []CostLine) float64 {
	total := 0.0
	for _, l := range ls {
		total += l.Monthly
	}
	return total
}

// SortCost puts the dearest first.
func SortCost(ls []CostLine) {
	slices.SortStableFunc(ls, func(a, b CostLine) int {
		return cmp.Or(cmp.Compare(b.Monthly, a.Monthly), cmp.Compare(a.Name, b.Name))
	})
}
