package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"go.yaml.in/yaml/v3"
)

// Problem is one complaint about scale.yaml.
type Problem struct {
	File         string
	Line, Column int    // 0: the whole file
	Key          string // services.web.health
	What         string
	Hint         string
}

func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(cmp.Or(p.File, "scale.yaml"))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.What)
	return b.String()
}

// Hints returns what to do about the problem.
func (p *Problem) Hints() string { return p.Hint }

// Parse reads scale.yaml. The error joins every Problem found.
func Parse(name string, text []byte) (File, error) {
	var f File
	var doc yaml.Node
	err := yaml.Unmarshal(text, &doc)
	if err != nil {
		return f, &Problem{File: name, Line: yamlLine(err), Column: 1, What: "is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: "),
			Hint: "indent with spaces, and quote values that hold a colon"}
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return f, &Problem{File: name, What: "the file is empty", Hint: "'scale init' writes one; the smallest has a name and one service with a command"}
	}
	p := &parser{file: name, lines: map[string]*yaml.Node{}}
	p.check(doc.Content[0], reflect.TypeFor[File](), "")
	if err := p.err(); err != nil {
		return f, err
	}
	if err := doc.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return f, &Problem{File: name, What: err.Error()}
	}
	p.validate(f)
	return f, p.err()
}

func yamlLine(err error) int {
	var n int
	for _, form := range []string{"yaml: line %d:", "yaml: unmarshal errors:\n  line %d:"} {
		if _, scanErr := fmt.Sscanf(err.Error(), form, &n); scanErr == nil {
			return n
		}
	}
	return 1
}

// parser walks the document beside the Go types, so that a complaint knows its line.
type parser struct {
	file     string
	lines    map[string]*yaml.Node // where each key stands
	problems []*Problem
}

func (p *parser) err() error {
	slices.SortStableFunc(p.problems, func(a, b *Problem) int { return cmp.Compare(a.Line, b.Line) })
	errs := make([]error, len(p.problems))
	for i, x := range p.problems {
		errs[i] = x
	}
	return errors.Join(errs...)
}

func (p *parser) add(n *yaml.Node, key, what, hint string) {
	x := &Problem{File: p.file, Key: key, What: what, Hint: hint}
	if n != nil {
		x.Line, x.Column = n.Line, n.Column
	}
	p.problems = append(p.problems, x)
}

// at complains about a key by its path; a missing one is placed at its nearest parent.
func (p *parser) at(key, what, hint string) {
	n := p.lines[key]
	for k := key; n == nil && strings.Contains(k, "."); {
		k = k[:strings.LastIndex(k, ".")]
		n = p.lines[k]
	}
	p.add(n, key, what, hint)
}

func (p *parser) check(n *yaml.Node, t reflect.Type, key string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if key != "" {
		p.lines[key] = n
	}
	if n.Tag == "!!null" {
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	want := ""
	switch {
	case t == reflect.TypeFor[Command]():
		if n.Kind == yaml.MappingNode {
			want = "a command or a list of words"
		}
	case t.Kind() == reflect.Struct:
		if want = "a mapping of keys"; n.Kind == yaml.MappingNode {
			p.structure(n, t, key)
			want = ""
		}
	case t.Kind() == reflect.Map:
		if want = "a mapping of names"; n.Kind == yaml.MappingNode {
			p.mapping(n, t, key)
			want = ""
		}
	case t.Kind() == reflect.Slice:
		if want = "a list"; n.Kind == yaml.SequenceNode {
			for i, e := range n.Content {
				p.check(e, t.Elem(), fmt.Sprintf("%s[%d]", key, i))
			}
			want = ""
		}
	case t.Kind() == reflect.Int && n.Tag != "!!int":
		want = "a whole number"
	case t.Kind() == reflect.Bool && n.Tag != "!!bool":
		want = "true or false"
	case t.Kind() == reflect.String && n.Kind != yaml.ScalarNode:
		want = "a text"
	}
	if want != "" {
		p.add(n, key, "must be "+want+", not "+describe(n), "")
	}
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return fmt.Sprintf("%q", n.Value)
	}
}

func (p *parser) structure(n *yaml.Node, t reflect.Type, key string) {
	fields := map[string]reflect.Type{}
	var names []string
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		fields[name] = t.Field(i).Type
		names = append(names, name)
	}
	p.keys(n, key, func(k *yaml.Node, v *yaml.Node, path string) {
		ft, ok := fields[k.Value]
		if !ok {
			p.add(k, path, "is not a key here", "the keys are "+list(names)+didYouMean(k.Value, names))
			return
		}
		p.check(v, ft, path)
	})
}

func (p *parser) mapping(n *yaml.Node, t reflect.Type, key string) {
	p.keys(n, key, func(_, v *yaml.Node, path string) { p.check(v, t.Elem(), path) })
}

func (p *parser) keys(n *yaml.Node, key string, each func(k, v *yaml.Node, path string)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		path := strings.TrimPrefix(key+"."+k.Value, ".")
		if first := seen[k.Value]; first > 0 {
			p.add(k, path, fmt.Sprintf("stands twice; the first is in line %d", first), "")
			continue
		}
		seen[k.Value] = k.Line
		each(k, v, path)
	}
}

// Nearest returns the name closest to word, "" when none is close: half of it
// alike, or two letters exchanged.
func Nearest(word string, names []string) string {
	best, score := "", 0.5
	for _, n := range names {
		s := levenshtein.Similarity(word, n, nil)
		if len(word) == len(n) && levenshtein.Distance(word, n, nil) <= 2 {
			s = max(s, 0.6)
		}
		if s > score {
			best, score = n, s
		}
	}
	return best
}

func didYouMean(word string, names []string) string {
	if n := Nearest(word, names); n != "" {
		return "; did you mean " + n + "?"
	}
	return ""
}

func list(names []string) string { return strings.Join(names, ", ") }
