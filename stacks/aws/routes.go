package aws

import (
	"fmt"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/stacks/rehearsal"
)

// StillLed implements stacks.Router: rule G9. A target group that goes while a rule, which
// neither goes nor changes in the same step, sends users to it takes their requests along.
func (a *AWS) StillLed(standing []engine.Request, changes []plan.Change) (vs []plan.Violation) {
	going, touched := map[string]string{}, map[string]bool{} // by ARN; by URN
	for _, c := range changes {
		touched[c.URN] = true
	}
	for _, r := range standing {
		for _, c := range changes {
			if r.Type == targetGroupType && c.URN == r.URN && (c.Op == plan.Delete || c.Op == plan.Replace) {
				going[text(r.Olds["arn"])] = r.Name
			}
		}
	}
	for _, r := range standing {
		if r.Type != ruleType || touched[r.URN] {
			continue
		}
		for _, arn := range ledTo(&rehearsal.Thing{Inputs: r.OldInputs}) {
			if name := going[arn]; name != "" {
				vs = append(vs, plan.Violation{Rule: "G9", Resource: name, What: fmt.Sprintf("%s would go while %s sends users to it: its weight must be 0 first", name, r.Name)})
			}
		}
	}
	return vs
}

const (
	targetGroupType = "aws:lb/targetGroup:TargetGroup"
	ruleType        = "aws:lb/listenerRule:ListenerRule"
)
