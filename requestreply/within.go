package requestreply

import "github.com/crosstie/crosstie/outcome"

type withinOf struct{}

// A within connects an Endpoint and the Transport of its client: what the
// Endpoint knows of its operation goes in, what the Transport did comes out.
type within struct {
	host       string // whom the two are said of; a redirect may lead elsewhere
	idempotent bool
	tell       bool

	made  int
	known outcome.Outcome // of the failed attempts
	gave  error           // why the last response is the last
}

// throughTransport is the error of a call whose attempts a Transport made.
type throughTransport struct {
	err error
	*within
}

func (e *throughTransport) Error() string { return e.err.Error() }
func (e *throughTransport) Unwrap() error { return e.err }

// Outcome is that of all attempts: the last one's alone would hide that an
// earlier one may have had its effect.
func (e *throughTransport) Outcome() outcome.Outcome {
	return outcome.Worst(e.known, outcome.Of(e.err))
}
