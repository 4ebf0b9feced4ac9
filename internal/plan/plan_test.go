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

// Rules that look at what an update changes of a resource that holds data.
func TestGuardLooksAtWhatChanges(t *testing.T) {
	table := Table{"t:db": {HoldsData: true, Armour: []string{"protected", "backups"}, Fixed: []string{"follows", "snapshotIdentifier"}, Grows: []string{"storage"}, Major: []string{"version"}}, "t:proc": {}}
	db := func(path, before, after string) Change {
		return Change{Type: "t:db", Name: "db", Op: Update, Holds: true, Diff: []Property{{Path: path, Before: before, After: after}}}
	}
	other := Change{Type: "t:proc", Name: "p", Op: Update, Diff: []Property{{Path: "x", Before: "1", After: "2"}}}
	for name, c := range map[string]struct {
		changes []Change
		want    string
	}{
		"protection goes, alone":               {[]Change{db("protected", "true", "false")}, ""},
		"protection goes with something else":  {[]Change{db("protected", "true", "false"), other}, "G3"},
		"protection comes with something else": {[]Change{db("protected", "false", "true"), other}, ""},
		"backups go with something else":       {[]Change{db("backups", "14", "0"), other}, "G3"},
		"backups are kept for less long":       {[]Change{db("backups", "14", "7"), other}, ""},
		"a replica follows another":            {[]Change{db("follows", "a", "b")}, "G4"},
		"a replica follows nobody":             {[]Change{db("follows", "a", "")}, "G4"},
		"storage shrinks":                      {[]Change{db("storage", "40", "20")}, "G7"},
		"storage grows":                        {[]Change{db("storage", "20", "40")}, ""},
		"a new major version":                  {[]Change{db("version", "16.4", "17.1")}, "G7"},
		"a new minor version":                  {[]Change{db("version", "16.4", "16.9")}, ""},
		"where it came from is taken away":     {[]Change{db("snapshotIdentifier", "s", "")}, "G10"},
		"another region":                       {[]Change{{Type: "pulumi:providers:aws", Name: "use1", Op: Replace, Holds: true, Diff: []Property{{Path: "region", Before: "a", After: "b"}}}}, "G2"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			for _, v := range Guard([]Step{{Changes: c.changes}}, table, nil) {
				got += v.Rule
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		when  string
		input map[string]string
		want  bool
	}{
		{"", nil, true}, {"!copyOf", nil, true}, {"!copyOf", map[string]string{"copyOf": "x"}, false}, {"!force", map[string]string{"force": "false"}, true},
		{"snapshot", nil, false}, {"snapshot", map[string]string{"snapshot": "s"}, true}, {"days=30", map[string]string{"days": "30"}, true}, {"days=30", map[string]string{"days": "7"}, false},
	} {
		got := Facts{HoldsData: true, DataIf: c.when}.Holds(func(k string) (string, bool) { v, ok := c.input[k]; return v, ok })
		if got != c.want {
			t.Errorf("%q with %v: %t", c.when, c.input, got)
		}
	}
	if (Facts{}).Holds(func(string) (string, bool) { return "", true }) {
		t.Error("what holds no data holds some")
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
