package local

// Finding is what the doctor saw of one thing that is needed.
type Finding struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	What  string `json:"what"`
	Hint  string `json:"hint,omitempty"`
	Level int    `json:"level"` // the lowest level that needs it
}
