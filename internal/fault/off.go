// Package fault marks the moments at which a test kills the program: after a
// journal entry, before a rename, at a gate. In a normal build the marks do
// nothing; built with the tag "faults", the environment variable SCALE_FAULT
// ("journal:7": the seventh time that mark is passed) makes the process kill
// itself there, as kill -9 would.
package fault

// The marks.
const (
	Journal      = "journal"       // an entry was made durable
	BeforeFold   = "before-fold"   // the update is done, the checkpoint is not written
	BeforeRename = "before-rename" // the new checkpoint lies beside the old one
	AfterRename  = "after-rename"  // the journal of a written checkpoint still lies there
	Record       = "record"        // the record was written
	Gate         = "gate"          // a step is done, its gate has not been passed
	Move         = "move"          // tables that move have come a step further
)
