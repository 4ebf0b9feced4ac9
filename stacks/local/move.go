//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
)

// move is a service's tables on their way to another database, by logical replication.
func (p *program) move(n topology.Node, c pulumi.Resource) error {
	m := n.Move
	from, _ := p.t.Node(m.From)
	to, _ := p.t.Node(m.To)
	var pools []string // which write where the tables come from
	for _, b := range p.t.OfKind(topology.Backend) {
		if b.Backend.Service == m.Service && b.Backend.Instances > 0 && slices.Contains(p.t.Behind(b.ID), from.ID) {
			pools = append(pools, b.ID)
		}
	}
	var after []pulumi.Resource
	for _, o := range slices.Concat(group(p.t, from), group(p.t, to)) {
		after = append(after, p.made[o.ID]...)
	}
	r, err := p.resource(typeMove, n.ID, pulumi.Map{
		"node": pulumi.String(n.ID), "service": pulumi.String(m.Service), "tables": pulumi.ToStringArray(m.Tables), "switched": pulumi.Bool(m.Switched),
		"from": pulumi.String(from.ID), "fromPort": pulumi.Int(portOf(p.pins, from.ID)), "via": pulumi.Int(portFrom(p.pins, to.Region, from)), "fromPassword": p.secret(passwordKey(from.ID, admin)),
		"to": pulumi.String(to.ID), "toPort": pulumi.Int(portOf(p.pins, to.ID)), "toPassword": p.secret(passwordKey(to.ID, admin)),
		"password": p.secret(passwordKey(n.ID, mover)), "pools": pulumi.ToStringArray(pools),
	}, c, after)
	if err != nil {
		return err
	}
	for _, o := range group(p.t, to) { // what uses them there comes after them
		p.made[o.ID] = append(p.made[o.ID], r)
	}
	return nil
}

// putMove brings a service's tables as far as is asked for: copied and in step, or
// switched. Where they are it reads from the databases, so that it goes on from whatever
// a killed one has left.
func (l *Local) putMove(ctx context.Context, r engine.Request) error {
	m := movingOf(r.Inputs)
	if err := m.connect(ctx); err != nil {
		return err
	}
	defer m.close(ctx)
	from, err := m.has(ctx, &m.from)
	if err != nil {
		return err
	}
	to, err := m.has(ctx, &m.to)
	if err != nil {
		return err
	}
	switch {
	case to.place == here && from.place != here && len(to.lacks) == 0: // they have arrived
		return m.forget(ctx)
	case len(from.lacks) > 0:
		return &Error{What: fmt.Sprintf("%s has no %s", m.from.node, plainly(from.lacks...)), Hint: fmt.Sprintf("services.%s.tables names the tables as the database does, with their schema where that is not public", m.service)}
	case to.place == moved && from.place == copying: // they never left: an earlier move was given up in the middle of its switch
		return errors.Join(m.to.open(ctx, m.tables), m.forget(ctx))
	case from.place == moved && to.place == copying: // it was killed in the middle of its switch
	case from.place == here && to.place == here && !to.empty:
		return &Error{What: fmt.Sprintf("%s has something in %s, and so has %s: neither is a copy of the other", m.from.node, plainly(m.tables...), m.to.node),
			Hint: "nothing was changed; keep what is wanted of the one in " + m.from.node + ", and drop the tables in the other"}
	case from.place == here:
		if err := l.copyTables(ctx, r, m, to); err != nil {
			return err
		}
	default:
		return &Error{What: fmt.Sprintf("neither %s nor %s takes writes to %s", m.from.node, m.to.node, plainly(m.tables...)), Hint: "see docs/local.md, 'A service's tables move'"}
	}
	if !r.Inputs["switched"].BoolValue() {
		return nil
	}
	return l.switchTables(ctx, r, m)
}

// readMove looks where the tables are, as far as the databases run. A move that was begun,
// however little of it was made, is one: what it has left must go with it.
func (l *Local) readMove(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	r.Inputs = r.OldInputs
	out := outputs(r)
	if _, made := r.Olds[engine.StateKey]; !made {
		out[engine.StateKey] = text(engine.Changed)
		return out, nil
	}
	m := movingOf(r.OldInputs)
	defer m.close(ctx)
	for _, e := range []*end{&m.from, &m.to} {
		if comp, ok, err := l.component(ctx, e.node); err != nil || !ok || !comp.Healthy || e.connect(ctx) != nil {
			return out, err // what is wrong with a database is told of the database
		}
	}
	from, err := m.has(ctx, &m.from)
	if err != nil {
		return nil, err
	}
	to, err := m.has(ctx, &m.to)
	if err != nil {
		return nil, err
	}
	arrived := to.place == here && from.place != here
	if !arrived && (r.OldInputs["switched"].BoolValue() || to.place != copying || !m.kept(ctx)) {
		out[engine.StateKey] = text(engine.Changed)
	}
	return out, nil
}

// deleteMove ends a move, as far as the databases run. Tables stay where they are: a copy
// that never took writes stays closed to them.
func (l *Local) deleteMove(ctx context.Context, r engine.Request) error {
	in := r.OldInputs
	if !in["from"].IsString() {
		in = r.Inputs
	}
	m := movingOf(in)
	defer m.close(ctx)
	for _, e := range []*end{&m.from, &m.to} {
		if comp, ok, err := l.component(ctx, e.node); err != nil || !ok || !comp.Healthy {
			continue
		}
		if err := e.connect(ctx); err != nil {
			return err
		}
	}
	if in["switched"].BoolValue() || m.from.Conn == nil || m.to.Conn == nil {
		return m.forget(ctx)
	}
	from, err := m.has(ctx, &m.from)
	if err != nil {
		return err
	}
	switch to, err := m.has(ctx, &m.to); {
	case err != nil:
		return err
	case from.place == moved && to.place == here:
		return &Error{What: fmt.Sprintf("the tables of %s take writes in %s already", m.service, m.to.node), Hint: "'scale up' to where the walk led finishes it; from there it goes back"}
	case from.place == moved && to.place == copying: // it was in the middle of its switch
		if err := m.from.open(ctx, m.tables); err != nil {
			return err
		}
	}
	return m.forget(ctx)
}

// movesInStep holds when what is copied follows, and replicas of it too.
func (l *Local) movesInStep(ctx context.Context, t topology.Topology, pins Pins, waiting func(string)) error {
	for _, n := range t.OfKind(topology.Move) {
		m := movingBy(*n.Move, pins)
		if err := m.connect(ctx); err != nil {
			return err
		}
		defer m.close(ctx)
		var follows bool
		if err := m.to.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_subscription WHERE subname = $1)", m.key()).Scan(&follows); err != nil {
			return err
		}
		if follows { // or it was there already
			if err := l.arrives(ctx, m, waiting); err != nil {
				return err
			}
		}
	}
	return l.caughtUp(ctx, t, pins, waiting)
}

// Movable refuses what could not move, before anything is changed.
func (l *Local) Movable(ctx context.Context, spec topology.MoveSpec, pins Pins) ([]string, error) {
	if c, ok := l.seen.Component(spec.From); !ok || !c.Healthy {
		return nil, nil // it is looked at when it runs
	}
	m := movingBy(spec, pins)
	if err := m.from.connect(ctx); err != nil {
		return nil, err
	}
	defer m.close(ctx)
	return nil, m.fit(ctx)
}

// Abandon implements stacks' mover: deleting the move does it.
func (l *Local) Abandon(context.Context, topology.MoveSpec, Pins, func(string)) error { return nil }

// Moved reports whether the tables take writes where they were to go.
func (l *Local) Moved(ctx context.Context, spec topology.MoveSpec, pins Pins) (bool, error) {
	m := movingBy(spec, pins)
	if err := m.to.connect(ctx); err != nil {
		return false, err
	}
	defer m.close(ctx)
	to, err := m.has(ctx, &m.to)
	return to.place == here, err
}
