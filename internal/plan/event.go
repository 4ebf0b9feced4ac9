package plan

import "time"

// EventKind says what an event tells.
type EventKind string

// The kinds of events.
const (
	StepStarted     EventKind = "step-started"
	StepDone        EventKind = "step-done"
	ResourceStarted EventKind = "resource-started"
	ResourceDone    EventKind = "resource-done"
	ResourceFailed  EventKind = "resource-failed"
	Waiting         EventKind = "waiting" // what an operation or a gate waits for
	GatePassed      EventKind = "gate-passed"
	GateFailed      EventKind = "gate-failed"
	Message         EventKind = "message"
	Found           EventKind = "found" // what an earlier run left behind
)

// Event is something that happened during a walk. Secret values are never in it.
type Event struct {
	Time    time.Time     `json:"time"`
	Kind    EventKind     `json:"kind"`
	Step    string        `json:"step,omitempty"`
	URN     string        `json:"urn,omitempty"`
	Name    string        `json:"name,omitempty"`
	Type    string        `json:"type,omitempty"`
	Op      Op            `json:"op,omitempty"`
	Text    string        `json:"text,omitempty"`
	Level   string        `json:"level,omitempty"` // of a message: info, warning, error
	Elapsed time.Duration `json:"elapsed,omitempty"`
}

// Sink takes events. It must not block for long: the engine waits for it.
type Sink func(Event)

// Status is how an environment stands.
type Status struct {
	Version    int         `json:"version"`
	App        string      `json:"app"`
	Env        string      `json:"env"`
	Target     string      `json:"target"`
	Level      int         `json:"level"`
	URL        string      `json:"url,omitempty"`
	State      string      `json:"state"` // absent, down, up, degraded, stopped, changing
	Walk       string      `json:"walk,omitempty"`
	Lock       string      `json:"lock,omitempty"`
	Supervisor string      `json:"supervisor,omitempty"` // what keeps the components running, and whether it does
	Components []Component `json:"components,omitempty"`
	Data       []DataPlace `json:"data,omitempty"`
}

// Component is one running part of an environment.
type Component struct {
	Name     string     `json:"name"`
	Node     string     `json:"node"`
	Kind     string     `json:"kind"`
	State    string     `json:"state"` // running, waiting, starting, stopped, restarting, failed
	Healthy  bool       `json:"healthy"`
	Address  string     `json:"address,omitempty"`
	PID      int        `json:"pid,omitempty"`
	Restarts int        `json:"restarts"`
	Since    *time.Time `json:"since,omitempty"`
	Detail   string     `json:"detail,omitempty"`
}

// DataPlace is where data lies.
type DataPlace struct {
	Name  string `json:"name"`
	Place string `json:"place"`
	Bytes int64  `json:"bytes"`
}
