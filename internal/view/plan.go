package view

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/scale-levels/scale/internal/plan"
)

// PlanText writes a plan for a person: the worst change first and last, the
// steps between.
func PlanText(w io.Writer, p plan.Plan, s Style) {
	for _, f := range p.Found {
		fmt.Fprintln(w, s.Warn("found: ")+f)
	}
	fmt.Fprintf(w, "%s\n", s.Bold(fmt.Sprintf("%s/%s on %s: %s", p.App, p.Env, p.Target, move(p))))
	if p.Where != "" {
		fmt.Fprintln(w, s.Bold(p.Where))
	}
	if p.Empty() {
		fmt.Fprintln(w, "No changes: everything is as it is wanted.")
		return
	}
	worst := Worst(p, s)
	fmt.Fprintln(w, worst)
	for i, st := range p.Steps {
		stepText(w, i, st, s)
	}
	fmt.Fprintln(w)
	for _, u := range p.Unknown {
		fmt.Fprintln(w, "not known before: "+u)
	}
	fmt.Fprintln(w, Downtime(p, s))
	if p.Cost != nil {
		fmt.Fprintln(w, CostLine(*p.Cost))
	}
	if p.Starts != nil {
		fmt.Fprintf(w, "Starts %s, %s.\n", s.Bold(p.Starts.Local().Format("Mon 2006-01-02 15:04")), p.Why)
	}
	for _, v := range p.Violations {
		fmt.Fprintln(w, s.Bad("refused ("+v.Rule+"): ")+v.What)
	}
	fmt.Fprintf(w, "%s. %s\n", Counts(p), worst)
}

func move(p plan.Plan) string {
	switch {
	case p.From == p.To && p.To == 0:
		return "nothing stands"
	case p.From == p.To:
		return fmt.Sprintf("at level %d", p.To)
	case p.From == 0:
		return fmt.Sprintf("up to level %d", p.To)
	case p.To == 0:
		return fmt.Sprintf("down from level %d", p.From)
	default:
		return fmt.Sprintf("from level %d to level %d", p.From, p.To)
	}
}

// Worst is what the plan does to data, in a line.
func Worst(p plan.Plan, s Style) string {
	c := p.Worst()
	if c == nil {
		return "Nothing changes."
	}
	var names []string // of all that fare as badly
	for _, o := range p.Changes() {
		if o.Data == c.Data && !slices.Contains(names, o.Name) {
			names = append(names, o.Name)
		}
	}
	all := strings.Join(names, ", ")
	switch c.Data {
	case plan.Destroys:
		return s.Bad(fmt.Sprintf("Data: deleted with all that is in it: %s.", all))
	case plan.Replaces:
		return s.Bad(fmt.Sprintf("Data: replaced, and what is in it is lost: %s.", all))
	case plan.Copies:
		return s.Warn(fmt.Sprintf("Data: copied: %s.", all))
	default:
		return s.Good("Data: all of it is kept.")
	}
}

// Downtime is how long the public address will not answer, in a line.
func Downtime(p plan.Plan, s Style) string {
	if p.Downtime == 0 {
		if p.To == 0 {
			return s.Warn("Downtime: the application stops.")
		}
		return "Downtime: none."
	}
	while := "the maintenance page answers"
	if slices.ContainsFunc(p.Steps, func(st plan.Step) bool { return st.ID == "fence" }) {
		while = "nobody takes writes, and reads go on"
	}
	return s.Warn(fmt.Sprintf("Downtime: about %s, in which %s.", Duration(seconds(p.Downtime)), while))
}

// CostLine is what the environment costs before and after, in a line.
func CostLine(c plan.Cost) string {
	if c.Now == c.After {
		return fmt.Sprintf("Cost: about $%.0f a month (%s).", c.After, c.Prices)
	}
	return fmt.Sprintf("Cost: about $%.0f a month now, $%.0f after (%s).", c.Now, c.After, c.Prices)
}

// CostText writes what each component costs.
func CostText(w io.Writer, c plan.Cost, s Style) {
	var rows [][]string
	for _, l := range c.Lines {
		rows = append(rows, []string{"  " + l.Name, l.What, fmt.Sprintf("%g %s", l.Quantity, l.Unit), fmt.Sprintf("$%.4g", l.Price), fmt.Sprintf("$%.2f", l.Monthly)})
	}
	if len(rows) > 0 {
		for _, line := range table(append([][]string{{"  COMPONENT", "WHAT", "QUANTITY", "EACH", "A MONTH"}}, rows...)) {
			fmt.Fprintln(w, line)
		}
	}
	fmt.Fprintln(w, s.Bold(fmt.Sprintf("About $%.2f a month", c.After)))
	fmt.Fprintln(w, s.Faint("prices: "+c.Prices))
	for _, a := range c.Assumes {
		fmt.Fprintln(w, s.Faint("assumes: "+a))
	}
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

// Counts is how many changes of each kind, in a line.
func Counts(p plan.Plan) string {
	n := p.Count()
	return fmt.Sprintf("%d to create, %d to update, %d to replace, %d to delete", n[plan.Create], n[plan.Update], n[plan.Replace], n[plan.Delete])
}

func stepText(w io.Writer, i int, st plan.Step, s Style) {
	fmt.Fprintf(w, "\n%s  %s\n", s.Bold(fmt.Sprintf("%d. %s", i+1, st.Title)), s.Faint("about "+Duration(seconds(st.Expect))))
	changes := st.Changes
	if len(changes) > many && !s.Full {
		changes = grouped(w, changes, s)
	}
	resources(w, changes, s)
	if st.Gate != "" {
		fmt.Fprintf(w, "   %s\n", s.Faint("then: "+gateText(st.Gate)))
	}
}

// DriftText writes what has changed outside, and what brings it back.
func DriftText(w io.Writer, name string, cs []plan.Change, s Style) {
	if len(cs) == 0 {
		fmt.Fprintf(w, "%s: nothing has changed outside.\n", name)
		return
	}
	fmt.Fprintf(w, "%s: %d resources have changed outside. To bring them back, 'scale up' would\n", s.Bold(name), len(cs))
	resources(w, cs, s)
}

func resources(w io.Writer, cs []plan.Change, s Style) {
	node := ""
	for _, c := range cs {
		if c.Node != node {
			node = c.Node
			fmt.Fprintf(w, "   %s\n", node)
		}
		fmt.Fprintf(w, "     %s %s  %s%s\n", Mark(c.Op, s), c.Name, s.Faint(short(c.Type)), data(c, s))
		for _, d := range c.Diff {
			fmt.Fprintf(w, "         %s\n", property(d, s))
		}
	}
}

// many changes of a step are told by component, a line each.
const many = 30

// grouped writes a line for each component, and returns the changes that are told
// one by one nevertheless: what touches data or is made anew.
func grouped(w io.Writer, cs []plan.Change, s Style) (rest []plan.Change) {
	var order []string
	ops, types := map[string]map[plan.Op]int{}, map[string]map[string]int{}
	for _, c := range cs {
		if c.Op == plan.Replace || c.Holds && c.Op != plan.Create {
			rest = append(rest, c)
			continue
		}
		if ops[c.Node] == nil {
			order = append(order, c.Node)
			ops[c.Node], types[c.Node] = map[plan.Op]int{}, map[string]int{}
		}
		ops[c.Node][c.Op]++
		types[c.Node][short(c.Type)]++
	}
	var rows [][]string
	for _, n := range order {
		var marks []string
		for _, op := range []plan.Op{plan.Create, plan.Update, plan.Delete} {
			if k := ops[n][op]; k > 0 {
				marks = append(marks, fmt.Sprintf("%s%d", op.Symbol(), k))
			}
		}
		rows = append(rows, []string{"     " + strings.Join(marks, " "), n, counted(types[n])})
	}
	for _, line := range table(rows) {
		fmt.Fprintln(w, wrap(line, s.Width, hang(rows)))
	}
	return rest
}

// counted are types with how many of each: "Subnet ×6, Vpc".
func counted(types map[string]int) string {
	var parts []string
	for _, t := range slices.Sorted(maps.Keys(types)) {
		if types[t] > 1 {
			t = fmt.Sprintf("%s ×%d", t, types[t])
		}
		parts = append(parts, t)
	}
	return strings.Join(parts, ", ")
}

// gateTexts say what each gate of a walk asks.
var gateTexts = map[string]string{
	"closed":    "the public address answers with the maintenance page",
	"healthy":   "every instance answers its health path",
	"answers":   "the public address answers",
	"steady":    "it answers with no more errors than before",
	"stopped":   "nothing runs any more",
	"empty":     "nothing is left",
	"fenced":    "who led takes no writes, and who is to lead has all that it had",
	"in-step":   "what is copied follows",
	"caught-up": "every replica is less than five seconds behind its leader",
}

func gateText(g string) string {
	if t, ok := gateTexts[g]; ok {
		return t
	}
	return g
}

func data(c plan.Change, s Style) string {
	switch c.Data {
	case plan.Destroys:
		return "  " + s.Bad("its data is deleted")
	case plan.Replaces:
		return "  " + s.Bad("its data is lost")
	case plan.Copies:
		return "  " + s.Warn("its data is copied")
	default:
		return ""
	}
}

func property(d plan.Property, s Style) string {
	text := fmt.Sprintf("%s: %s → %s", d.Path, quote(d.Before), quote(d.After))
	if d.Replaces {
		text += s.Warn("  (forces replacement)")
	}
	return text
}

func quote(v string) string {
	const most = 60
	if v == "" {
		return "(none)"
	}
	if r := []rune(v); len(r) > most {
		v = string(r[:most]) + "…"
	}
	return v
}

// Mark is the sign of an operation, in its colour.
func Mark(op plan.Op, s Style) string {
	switch op {
	case plan.Create:
		return s.Good(op.Symbol())
	case plan.Update:
		return s.Warn(op.Symbol())
	case plan.Replace, plan.Delete:
		return s.Bad(op.Symbol())
	default:
		return op.Symbol()
	}
}

// short is a resource type without its package and module.
func short(typ string) string { return typ[strings.LastIndexByte(typ, ':')+1:] }

// PlanJSON writes the plan as its stable JSON.
func PlanJSON(w io.Writer, p plan.Plan) error { return JSON(w, p) }

// JSON writes a document of package plan.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// PlanMarkdown writes a plan for a pull request.
func PlanMarkdown(w io.Writer, p plan.Plan) {
	s := Style{}
	fmt.Fprintf(w, "### `%s/%s` on %s: %s\n\n", p.App, p.Env, p.Target, move(p))
	for _, f := range p.Found {
		fmt.Fprintf(w, "> found: %s\n\n", f)
	}
	if p.Where != "" {
		fmt.Fprintf(w, "On %s.\n\n", p.Where)
	}
	if p.Empty() {
		fmt.Fprintln(w, "No changes.")
		return
	}
	fmt.Fprintf(w, "**%s** %s. %s\n\n", Worst(p, s), Counts(p), Downtime(p, s))
	if p.Cost != nil {
		fmt.Fprintf(w, "%s\n\n", CostLine(*p.Cost))
	}
	for _, v := range p.Violations {
		fmt.Fprintf(w, "- :no_entry: refused (%s): %s\n", v.Rule, v.What)
	}
	for i, st := range p.Steps {
		fmt.Fprintf(w, "#### %d. %s\n\n| | resource | type | change | data |\n|---|---|---|---|---|\n", i+1, st.Title)
		for _, c := range st.Changes {
			var ds []string
			for _, d := range c.Diff {
				ds = append(ds, "`"+strings.ReplaceAll(property(d, s), "|", "\\|")+"`")
			}
			fmt.Fprintf(w, "| `%s` | %s | %s | %s | %s |\n", c.Op.Symbol(), c.Name, short(c.Type), strings.Join(ds, "<br>"), c.Data)
		}
		if st.Gate != "" {
			fmt.Fprintf(w, "\nThen: %s.\n\n", gateText(st.Gate))
		}
	}
}
