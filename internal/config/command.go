package config

import (
	"fmt"
	"strings"

	"github.com/google/shlex"
	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v3"
)

// Command is a program and its arguments. In YAML it is a text, split as a
// shell would, or a list, taken as it is.
type Command []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (c *Command) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		var words []string
		if err := n.Decode(&words); err != nil {
			return err
		}
		*c = words
		return nil
	}
	words, err := SplitCommand(n.Value)
	*c = words
	return err
}

// SplitCommand splits a command as a shell would; one that uses what only a
// shell knows (pipes, variables, several commands) is given to one.
func SplitCommand(s string) (Command, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	if strings.ContainsAny(s, "|&;<>()$`*?[]~\n{}") || assignment(s) {
		return Command{"sh", "-c", s}, nil
	}
	words, err := shlex.Split(s)
	if err != nil {
		return nil, fmt.Errorf("split the command %q: %w", s, err)
	}
	return words, nil
}

// assignment reports whether a command starts with a variable: NAME=value program.
func assignment(s string) bool {
	first, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	name, _, ok := strings.Cut(first, "=")
	return ok && envForm.MatchString(name)
}

// JSONSchema implements jsonschema's customisation: a text or a list of texts.
func (Command) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", MinLength: ptr(uint64(1))},
		{Type: "array", Items: &jsonschema.Schema{Type: "string"}, MinItems: ptr(uint64(1))},
	}}
}

func ptr[T any](v T) *T { return &v }
