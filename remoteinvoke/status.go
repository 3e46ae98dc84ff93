package remoteinvoke

import (
	"strings"
	"time"
	"unicode/utf8"
)

// A State is where a job stands. A job only moves forward, in the order of the
// constants, and never leaves one of the last three.
type State string

const (
	// Queued: accepted, and begun by nobody.
	Queued State = "queued"
	// Running: begun, also while it waits for another attempt.
	Running State = "running"
	// Canceling: asked to stop. It may still end in any of the three ends.
	Canceling State = "canceling"
	// Done: ended, with a result.
	Done State = "done"
	// Failed: ended; Status.Failure says why.
	Failed State = "failed"
	// Canceled: ended because somebody asked for it. What it had done before
	// may have had effects.
	Canceled State = "canceled"
)

// Terminal reports whether s is an end.
func (s State) Terminal() bool { return s == Done || s == Failed || s == Canceled }

// A Status is what is known of a job, as its callers see it.
type Status struct {
	ID    string `json:"id"`
	State State  `json:"state"`
	// Version grows by one or more with each change that a caller can see.
	Version int64 `json:"version"`
	// Attempt counts how often the job was begun, 0 while nobody has.
	Attempt  int      `json:"attempt"`
	Progress Progress `json:"progress"`
	// Failure says why the job has failed; else it is nil.
	Failure *Failure `json:"failure,omitempty"`
	// Created is when the job was accepted, Updated when the version last
	// grew, by the clock of the store.
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Deadline is when the job will be failed if it has not ended; zero is
	// never.
	Deadline time.Time `json:"deadline,omitzero"`
	// Gone says that the result is not kept any more.
	Gone bool `json:"gone,omitempty"`
}

// Newer reports whether st was true after was: the version of a job only grows,
// and an id that is used again names a job that was created later. It is for
// stores.
func (st Status) Newer(was Status) bool {
	if !st.Created.Equal(was.Created) {
		return st.Created.After(was.Created)
	}
	return st.Version > was.Version
}

// A Progress is how far a job has come, in units of its own.
type Progress struct {
	// Done of Total; a Total of 0 says that it is not known.
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// Note is for people.
	Note string `json:"note,omitempty"`
}

const maxNote = 256

// ahead returns p, but not behind was: what a caller has seen stays true.
func (p Progress) ahead(was Progress) Progress {
	p.Done, p.Total = max(p.Done, was.Done, 0), max(p.Total, was.Total, 0)
	p.Note = clip(p.Note, maxNote)
	return p
}

// A Failure says why a job has failed. A job's function returns one to choose
// what its caller sees and to fail the job for good.
type Failure struct {
	// Code is for programs. The codes of this package are its constants; a
	// function may use others.
	Code string `json:"code"`
	// Message is for people.
	Message string `json:"message"`
}

// The codes of failures that this package makes.
const (
	// CodeFailed: the function returned an error that is permanent.
	CodeFailed = "failed"
	// CodeAttempts: the function failed as often as it may.
	CodeAttempts = "attempts"
	// CodeCrashed: the process that ran the job died each time.
	CodeCrashed = "crashed"
	// CodeQueueTimeout: nobody began the job in time. It had no effect.
	CodeQueueTimeout = "queue_timeout"
	// CodeTimeout: the job did not end in time.
	CodeTimeout = "timeout"
	// CodeResult: the function's result was too large, or no JSON.
	CodeResult = "result"
)

const (
	maxCode    = 64
	maxMessage = 1 << 10
)

// Error returns the code and the message.
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// Transient is false: a failed job does not pass by itself.
func (f *Failure) Transient() bool { return false }

// bounded returns a copy that fits a status.
func (f Failure) bounded() *Failure {
	if f.Code == "" {
		f.Code = CodeFailed
	}
	return &Failure{Code: clip(f.Code, maxCode), Message: clip(f.Message, maxMessage)}
}

// clip shortens s to n bytes of valid UTF-8.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Overdue returns the failure of a job that was not begun, or not ended, in
// time. It is for stores.
func Overdue(code string) *Failure {
	if code == CodeQueueTimeout {
		return &Failure{Code: code, Message: "nobody began the job in time"}
	}
	return &Failure{Code: CodeTimeout, Message: "the job did not end in time"}
}
