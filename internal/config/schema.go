package config

import (
	"encoding/json"

	"github.com/invopop/jsonschema"
)

// Schema is the JSON Schema of scale.yaml, made from the types that read it.
func Schema() ([]byte, error) {
	r := jsonschema.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, DoNotReference: true}
	s := r.Reflect(&File{})
	s.ID = "https://github.com/scale-levels/scale/raw/main/docs/scale.schema.json"
	s.Title = "scale.yaml"
	s.Description = "What an application is made of, and where it stands."
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}
