package plan

import (
	"slices"
	"testing"
)

var table = Table{"t:disk": {HoldsData: true, Replaces: []string{"engine"}}, "t:proc": {}}

func TestGuard(t *testing.T) {
	disk := func(op Op, diff ...Property) Change {
		return Change{Type: "t:disk", Name: "disk", Op: op, Diff: diff, Holds: true}
	}
	for name, c := range map[string]struct {
		changes []Change
		allowed []string
		want    []string
	}{
		"create":                {[]Change{disk(Create)}, nil, nil},
		"update":                {[]Change{disk(Update, Property{Path: "size", After: "9"})}, nil, nil},
		"replace":               {[]Change{disk(Replace, Property{Path: "engine", Replaces: true})}, nil, []string{"G1"}},
		"delete":                {[]Change{disk(Delete)}, nil, []string{"G1"}},
		"rename":                {[]Change{disk(Delete), {Type: "t:disk", Name: "disc", Op: Create, Holds: true}}, nil, []string{"G6"}},
		"unknown replacement":   {[]Change{disk(Update, Property{Path: "engine", After: Unknown})}, nil, []string{"G11"}},
		"unknown and harmless":  {[]Change{disk(Update, Property{Path: "size", After: Unknown})}, nil, nil},
		"allowed":               {[]Change{disk(Delete)}, []string{"disk"}, nil},
		"another one allowed":   {[]Change{disk(Delete)}, []string{"disc"}, []string{"G1"}},
		"no data":               {[]Change{{Type: "t:proc", Name: "p", Op: Delete}}, nil, nil},
		"allowed is not a type": {[]Change{disk(Delete)}, []string{"t:disk"}, []string{"G1"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, v := range Guard([]Step{{Changes: c.changes}}, table, c.allowed) {
				got = append(got, v.Rule)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestExceeds(t *testing.T) {
	one := func(op Op, keys ...string) Step {
		c := Change{URN: "u", Name: "x", Type: "t", Op: op}
		for _, k := range keys {
			c.Diff = append(c.Diff, Property{Path: k, Replaces: true})
		}
		return Step{Changes: []Change{c}}
	}
	for name, c := range map[string]struct {
		fresh, approved Step
		beyond          bool
	}{
		"the same":            {one(Update), one(Update), false},
		"less":                {one(Update), one(Replace, "a"), false},
		"nothing left":        {Step{}, one(Replace, "a"), false},
		"not in the plan":     {one(Create), Step{}, true},
		"worse":               {one(Replace, "a"), one(Update), true},
		"for another reason":  {one(Replace, "b"), one(Replace, "a"), true},
		"for one reason more": {one(Replace, "a", "b"), one(Replace, "a"), true},
		"delete for replace":  {one(Delete), one(Replace, "a"), true},
		"only a look at it":   {one(Refresh), Step{}, false},
	} {
		if got := c.fresh.Exceeds(c.approved); (len(got) > 0) != c.beyond {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWorstIsTheOneThatCostsData(t *testing.T) {
	p := Plan{Steps: []Step{{Changes: []Change{{Name: "a", Op: Delete, Data: NoData}, {Name: "b", Op: Update, Data: Keeps}}},
		{Changes: []Change{{Name: "c", Op: Replace, Data: Replaces}, {Name: "d", Op: Create, Data: NoData}}}}}
	if w := p.Worst(); w.Name != "c" {
		t.Errorf("worst is %s", w.Name)
	}
}
