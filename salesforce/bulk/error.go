package bulk

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/salesforce"
)

var (
	// ErrAborted: somebody else aborted the job. What it had done stays done;
	// the next run sends the rest.
	ErrAborted = errors.New("somebody aborted the job in the org: if that was a mistake, run again to send the rest")
	// ErrFailed: the org gave the job up as a whole, for the reason it names.
	ErrFailed = errors.New("the org failed the job as a whole")
	// ErrRunning: the job was still at work when Options.Wait was over. It goes
	// on; the next run takes it up.
	ErrRunning = errors.New("the job is still at work: run again later to take it up, or raise Options.Wait")
	// ErrOtherOrg: the checkpoint names a job in another org.
	ErrOtherOrg = errors.New("the checkpoint of this sync belongs to another org: give the sync of each org a name of its own")
)

// An Error is a write that failed as a whole.
type Error struct {
	// Op is what failed: "describe", "compare", "create job", "upload", "close
	// job", "poll", "results", "abort" or "remember".
	Op string
	// Job is the job's id, if there was one.
	Job string
	// Known is what is known of the effect on every row of the write.
	Known outcome.Outcome
	// Err is the cause.
	Err error

	lasts bool // whatever Err says, a repeat does not help
}

// Error returns "bulk: op: job id: cause".
func (e *Error) Error() string {
	s := "bulk: " + e.Op
	if e.Job != "" {
		s += ": job " + e.Job
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Outcome returns Known.
func (e *Error) Outcome() outcome.Outcome { return e.Known }

// Transient reports whether the cause is likely to pass by itself.
func (e *Error) Transient() bool {
	t, _ := outcome.Transient(e.Err)
	return t && !e.lasts
}

// A RowError is why the org refused one row.
type RowError struct {
	// Code is the org's, such as "UNABLE_TO_LOCK_ROW".
	Code string
	// Message is the org's own text.
	Message string
	// Fields are the fields at fault, if the org names any.
	Fields []string
	// Job is the id of the job.
	Job string
}

// parseRowError reads a cell sf__Error: CODE:message:Field1 Field2 --
func parseRowError(job, cell string) *RowError {
	e := &RowError{Job: job}
	code, rest, ok := strings.Cut(cell, ":")
	if !ok || code == "" || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != "" {
		e.Message = said(cell, maxMessage)
		return e
	}
	e.Code, e.Message = clip(code, 100), rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && strings.HasSuffix(rest, "--") {
		e.Message = rest[:i]
		fields := strings.Fields(strings.TrimSuffix(rest[i+1:], "--"))
		for _, f := range fields[:min(len(fields), 50)] {
			e.Fields = append(e.Fields, said(f, 100))
		}
	}
	e.Message = said(e.Message, maxMessage)
	return e
}

const maxMessage = 1000

// said is text of the org for an error or a report: on one line, and no longer
// than n bytes.
func said(s string, n int) string {
	return clip(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return ' '
		}
		return r
	}, s), n)
}

// Error returns "CODE: message (fields; job id)".
func (e *RowError) Error() string {
	s := strings.TrimPrefix(e.Code+": "+e.Message, ": ")
	var more []string
	if len(e.Fields) > 0 {
		more = append(more, "fields "+strings.Join(e.Fields, " "))
	}
	if e.Job != "" {
		more = append(more, "job "+e.Job)
	}
	if len(more) == 0 {
		return s
	}
	return s + " (" + strings.Join(more, "; ") + ")"
}

// Outcome says what is known of the row: salesforce.Code.
func (e *RowError) Outcome() outcome.Outcome {
	o, _ := salesforce.Code(e.Code)
	return o
}

// Transient says whether sending the row again may help: salesforce.Code.
func (e *RowError) Transient() bool {
	_, t := salesforce.Code(e.Code)
	return t
}

// refused is a row that is not sent, and why.
func refused(format string, args ...any) error {
	return outcome.TransientError(outcome.NotSent, false, fmt.Errorf(format, args...))
}
