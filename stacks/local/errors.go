package local

import "github.com/scale-levels/scale/internal/plan"

// Error is something that a person can set right.
type Error = plan.Error
