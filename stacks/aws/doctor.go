package aws

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/scale-levels/scale/internal/plan"
)

// Doctor looks for what a change needs that the machine or the account may lack.
func (a *AWS) Doctor(ctx context.Context, regions []string) []plan.Finding {
	who := a.credentials(ctx)
	fs := []plan.Finding{who, plugin(), a.delegation(ctx)}
	if who.OK {
		fs = append(fs, a.quotas(ctx, regions)...)
	}
	return fs
}

func (a *AWS) credentials(ctx context.Context) plan.Finding {
	f := plan.Finding{Name: "credentials", Level: 1}
	id, arn, err := a.verbs.Identity(ctx)
	switch {
	case err != nil:
		return f.Bad(err)
	case a.Account != "" && a.Account != id:
		f.What, f.Hint = "of account "+id+", and the environment belongs to "+a.Account, "choose the other account's with --profile"
	default:
		f.OK, f.What = true, arn
	}
	return f
}

// plugin looks where the engine does; the engine downloads what is not there.
func plugin() plan.Finding {
	home := os.Getenv("PULUMI_HOME")
	if home == "" {
		if h, err := os.UserHomeDir(); err == nil {
			home = filepath.Join(h, ".pulumi")
		}
	}
	dir := filepath.Join(home, "plugins", "resource-aws-"+pluginVersion)
	if _, err := os.Stat(dir); err != nil {
		return plan.Finding{Name: "aws plugin", Level: 1, What: dir + " is not there", Hint: "the first change downloads it (about 200 MB); without a network: unpack its archive there"}
	}
	return plan.Finding{Name: "aws plugin", Level: 1, OK: true, What: dir}
}

// delegation looks whether the domain's name servers are Route 53's: without that no
// certificate is issued, and nobody finds the application.
func (a *AWS) delegation(ctx context.Context) plan.Finding {
	f := plan.Finding{Name: "domain", Level: 1}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ns, err := a.servers(ctx, a.Domain)
	for _, n := range ns {
		f.OK = f.OK || strings.Contains(n.Host, ".awsdns-")
	}
	switch {
	case err != nil:
		f.What = a.Domain + " has no name servers of its own: " + err.Error()
	default:
		f.What = a.Domain + " is served by " + ns[0].Host
	}
	if !f.OK {
		f.Hint = "level 1 makes the zone: enter its four name servers where the domain above it is kept; from level 2 on it must be so"
	}
	return f
}
