package engine

import (
	"context"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/scale-levels/scale/internal/plan"
)

// Outputs are what the program exported at the last Up, without secrets.
func (s *Stack) Outputs() (map[string]any, error) {
	if _, err := s.state.load(false); err != nil {
		return nil, err
	}
	out := map[string]any{}
	if s.state.base == nil {
		return out, nil
	}
	for _, r := range s.state.base.Resources {
		if r.Type != resource.RootStackType {
			continue
		}
		for k, v := range r.Outputs {
			if m, ok := v.(map[string]any); ok && m[resource.SigKey] != nil {
				continue
			}
			out[k] = v
		}
	}
	return out, nil
}

// Digest names the state as it is, a left-behind journal included.
func (s *Stack) Digest() (string, error) {
	_, err := s.state.load(false)
	return s.state.digest, err
}

// Empty reports whether the state holds no resource that a provider manages.
func (s *Stack) Empty() (bool, error) {
	names, err := s.Resources()
	return len(names) == 0, err
}

// Resources are the names of the resources in the state that a provider manages.
func (s *Stack) Resources() ([]string, error) {
	if _, err := s.state.load(false); err != nil {
		return nil, err
	}
	var names []string
	if s.state.base != nil {
		for _, r := range s.state.base.Resources {
			if r.Custom && !strings.HasPrefix(string(r.Type), "pulumi:") {
				names = append(names, r.URN.Name())
			}
		}
	}
	return names, nil
}

// Guessed are the resources in the state of which only a refresh can tell whether
// they were made: their creation was in flight when a run ended.
func (s *Stack) Guessed() (names []string) {
	if s.state.base == nil {
		return nil
	}
	for _, r := range s.state.base.Resources {
		if r.Custom && !r.Delete && len(r.Outputs) == 0 && string(r.ID) == r.URN.Name() && s.adopts(r.Type) {
			names = append(names, r.URN.Name())
		}
	}
	return names
}

// InFlight are the resources whose creation had begun when a run ended, and of which a
// refresh cannot tell whether they were made: their provider finds nothing by its name.
func (s *Stack) InFlight() (names []string, err error) {
	if _, err := s.state.load(false); err != nil || s.state.base == nil {
		return nil, err
	}
	for _, op := range s.state.base.PendingOperations {
		if op.Type == apitype.OperationTypeCreating {
			names = append(names, op.Resource.URN.Name())
		}
	}
	return names, nil
}

// Standing are the resources in the state that a provider manages, with what it
// was last told and answered. Secrets are decrypted: the caller keeps them.
func (s *Stack) Standing(ctx context.Context) ([]Request, error) {
	if _, err := s.state.load(false); err != nil {
		return nil, err
	}
	snap, err := s.snapshot(ctx)
	if err != nil || snap == nil {
		return nil, err
	}
	configs := map[string]resource.PropertyMap{}
	var rs []Request
	for _, r := range snap.Resources {
		switch {
		case strings.HasPrefix(string(r.Type), "pulumi:providers:"):
			configs[string(r.URN)+resource.URNNameDelimiter+string(r.ID)] = plain(r.Inputs)
		case r.Custom && !r.Delete:
			rs = append(rs, Request{URN: string(r.URN), Type: string(r.Type), Name: r.URN.Name(), ID: string(r.ID), OldInputs: plain(r.Inputs), Olds: plain(r.Outputs), Config: configs[r.Provider]})
		}
	}
	return rs, nil
}

// Expect is how long changes that have been made usually take: side by side, as far
// as one does not depend on another, and what is deleted after the rest.
func (s *Stack) Expect(changes []plan.Change) time.Duration {
	takes, deletes := map[resource.URN]time.Duration{}, time.Duration(0)
	for _, c := range changes {
		if c.Op == plan.Delete {
			deletes = max(deletes, s.table.Duration(c))
			continue
		}
		takes[resource.URN(c.URN)] = s.table.Duration(c)
	}
	var longest time.Duration
	ends := map[resource.URN]time.Duration{}
	if s.state.base == nil {
		return deletes
	}
	for _, r := range s.state.base.Resources { // what is depended on comes first
		var begins time.Duration
		for _, d := range r.Dependencies {
			begins = max(begins, ends[d])
		}
		ends[r.URN] = begins + takes[r.URN]
		longest = max(longest, ends[r.URN])
	}
	return longest + deletes
}
