package engine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/pkg/v3/backend"
	"github.com/pulumi/pulumi/pkg/v3/resource/stack/snapshot"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// fold applies journal entries to the base and returns the result, its bytes,
// and the names of resources whose creation had begun and not ended.
func (c *checkpoint) fold(entries []apitype.JournalEntry) (*apitype.DeploymentV3, []byte, []string, error) {
	// Steps run side by side: the file is not in sequence order, and the replayer needs it to be.
	slices.SortStableFunc(entries, func(a, b apitype.JournalEntry) int { return cmp.Compare(a.SequenceID, b.SequenceID) })
	base := &apitype.DeploymentV3{}
	if c.base != nil {
		b := *c.base // the replayer assigns to fields of its base
		base = &b
	}
	r := backend.NewJournalReplayer(base)
	for _, e := range entries {
		if err := r.Add(e); err != nil {
			return nil, nil, nil, err
		}
	}
	d, err := r.GenerateDeployment()
	if err != nil {
		return nil, nil, nil, err
	}
	if c.unsure {
		d.Deployment.PendingOperations = append(d.Deployment.PendingOperations, failedCreations(entries)...)
	}
	pending := c.settle(d.Deployment)
	if err := snapshot.VerifyIntegrity(d.Deployment); err != nil {
		return nil, nil, nil, fmt.Errorf("folded state is not sound: %w", err)
	}
	b, err := c.encode(d)
	return d.Deployment, b, pending, err
}

// failedCreations are the operations of a journal that were to make something, and
// failed.
func failedCreations(entries []apitype.JournalEntry) []apitype.OperationV2 {
	begun := map[int64]*apitype.OperationV2{}
	var ops []apitype.OperationV2
	for _, e := range entries {
		switch {
		case e.Kind == apitype.JournalEntryKindBegin && e.Operation != nil && e.Operation.Type == apitype.OperationTypeCreating:
			begun[e.OperationID] = e.Operation
		case e.Kind == apitype.JournalEntryKindFailure && begun[e.OperationID] != nil:
			ops = append(ops, *begun[e.OperationID])
		}
	}
	return ops
}

// settle turns creations that were in flight into resources, where the type's
// provider finds a resource by its name: what was made is then known, and
// deleted if it is not wanted; what was not made shows at the next refresh.
// Other pending creations stay as they are, for a person to look at; other
// pending operations are dropped, since running them again is harmless.
func (c *checkpoint) settle(d *apitype.DeploymentV3) []string {
	known := map[resource.URN]bool{}
	for _, r := range d.Resources {
		known[r.URN] = known[r.URN] || !r.Delete
	}
	var names []string
	var rest []apitype.OperationV2
	for _, op := range d.PendingOperations {
		if op.Type != apitype.OperationTypeCreating {
			continue
		}
		if c.adopts == nil || !c.adopts(op.Resource.Type) {
			rest = append(rest, op)
			names = append(names, op.Resource.URN.Name())
			continue
		}
		if known[op.Resource.URN] {
			continue
		}
		known[op.Resource.URN] = true
		r := op.Resource
		r.ID = resource.ID(r.URN.Name())
		d.Resources = append(d.Resources, r)
		names = append(names, r.URN.Name())
	}
	slices.SortFunc(rest, func(a, b apitype.OperationV2) int { return cmp.Compare(a.Resource.URN, b.Resource.URN) })
	d.PendingOperations = rest
	slices.Sort(names)
	return names
}
