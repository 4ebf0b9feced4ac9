package local

import "github.com/scale-levels/scale/internal/plan"

// Finding is what the doctor saw of one thing that is needed.
type Finding = plan.Finding
