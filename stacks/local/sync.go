//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/scale-levels/scale/internal/topology"
	"github.com/scale-levels/scale/stacks/engine"
)

// standbys are the replicas of which one must have a write before its leader acknowledges
// it. They are a resource of their own: it comes when they follow, and goes before they do,
// since a leader that waits for somebody who is not there takes no writes.
func (p *program) standbys(g []topology.Node, parent pulumi.Resource, after []pulumi.Resource) error {
	leader := leads(g)
	if !leader.Database.Sync {
		return nil
	}
	var names []string
	for _, n := range g {
		if n.Database.Of == leader.ID {
			names = append(names, n.ID)
		}
	}
	_, err := p.resource(typeStandbys, leader.ID+"-standbys", pulumi.Map{
		"node": pulumi.String(leader.ID), "port": pulumi.Int(portOf(p.pins, leader.ID)), "adminPassword": p.secret(passwordKey(leader.ID, admin)),
		"replicas": pulumi.ToStringArray(names),
	}, parent, after)
	return err
}

// anyOf is PostgreSQL's setting: one of the replicas, which tell their names.
func anyOf(in resource.PropertyMap) string {
	var names []string
	for _, v := range in["replicas"].ArrayValue() {
		names = append(names, `"`+v.StringValue()+`"`)
	}
	return "ANY 1 (" + strings.Join(names, ", ") + ")"
}

// superURL is what we ourselves connect with. It waits for no replica: what a leader needs
// before its replicas run must not.
func superURL(port int, password, database string) string {
	return databaseURL(port, admin, password, database) + "&" + url.Values{"synchronous_commit": {"local"}}.Encode()
}

// super connects to a database as its administrator.
func super(ctx context.Context, in resource.PropertyMap) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, superURL(integer(in["port"]), in["adminPassword"].StringValue(), "postgres"))
	if err != nil {
		return nil, fmt.Errorf("%s does not answer", in["node"].StringValue()) // pgx's own text quotes the connection string
	}
	return c, nil
}

const waitsFor = "synchronous_standby_names"

func (l *Local) putStandbys(ctx context.Context, r engine.Request) error {
	return setStandbys(ctx, r.Inputs, anyOf(r.Inputs))
}

// setStandbys is whom a leader waits for from now on: "" for nobody.
func setStandbys(ctx context.Context, in resource.PropertyMap, names string) error {
	c, err := super(ctx, in)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	// ALTER SYSTEM takes no arguments; ours are node ids, which hold no quotation marks.
	_, err = c.Exec(ctx, "ALTER SYSTEM SET "+waitsFor+" = '"+names+"'")
	if err == nil {
		_, err = c.Exec(ctx, "SELECT pg_reload_conf()")
	}
	return err
}

// deleteStandbys lets a leader wait for nobody. One that does not run waits for nobody, and
// when it is started again it is told whom to wait for.
func (l *Local) deleteStandbys(ctx context.Context, r engine.Request) error {
	if comp, ok, err := l.component(ctx, r.OldInputs["node"].StringValue()); err != nil || !ok || !comp.Healthy {
		return err
	}
	return setStandbys(ctx, r.OldInputs, "")
}

// readStandbys asks the leader, if it runs.
func (l *Local) readStandbys(ctx context.Context, r engine.Request) (resource.PropertyMap, error) {
	comp, ok, err := l.component(ctx, r.OldInputs["node"].StringValue())
	if err != nil || !ok || !comp.Healthy {
		return r.Olds, err
	}
	c, err := super(ctx, r.OldInputs)
	if err != nil {
		return r.Olds, nil // what is wrong with the leader is told of the leader
	}
	defer c.Close(context.WithoutCancel(ctx))
	var names string
	if err := c.QueryRow(ctx, "SELECT current_setting($1)", waitsFor).Scan(&names); err != nil {
		return nil, errors.New("the leader does not say whom it waits for")
	}
	out := r.Olds.Copy()
	out[engine.StateKey] = text(present)
	if names != anyOf(r.OldInputs) {
		out[engine.StateKey] = text(engine.Changed)
	}
	return out, nil
}
