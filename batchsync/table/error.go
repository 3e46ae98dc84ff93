package table

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
)

// A rowFault is an error of one row: the engine, or its type, refused it.
type rowFault struct {
	column string
	err    error
}

func (f *rowFault) Error() string {
	if f.column != "" {
		return fmt.Sprintf("column %q: %v", f.column, f.err)
	}
	return f.err.Error()
}

func (f *rowFault) Unwrap() error { return f.err }

// SQLite's primary result codes (sqlite.org/rescode.html).
const (
	codeError      = 1
	codeBusy       = 5
	codeLocked     = 6
	codeTooBig     = 18
	codeConstraint = 19
	codeMismatch   = 20
)

// code returns the primary result code, or one guessed from SQLite's own
// messages for drivers whose errors have no method Code() int; else 0.
func code(err error) int {
	if c, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		return c.Code() & 0xff
	}
	text := err.Error()
	for _, m := range []struct {
		text string
		code int
	}{
		{"constraint failed", codeConstraint},
		{"datatype mismatch", codeMismatch},
		{"string or blob too big", codeTooBig},
		{"database is locked", codeBusy},
		{"database table is locked", codeLocked},
		{"no such table", codeError},
		{"no such column", codeError},
		{"has no column named", codeError},
		{"ON CONFLICT clause does not match", codeError},
	} {
		if strings.Contains(text, m.text) {
			return m.code
		}
	}
	return 0
}

// isRowFault is narrow on purpose: what it does not know fails the call, which
// loses nothing, while a row that is parked for a fault of the database is
// left behind.
func isRowFault(err error) bool {
	c := code(err)
	return c == codeConstraint || c == codeMismatch || c == codeTooBig
}

// explain wraps an error met before a commit.
func (t *Table[T]) explain(op string, err error) error {
	if err == nil {
		return nil
	}
	known := outcome.Refused
	wrapped := fmt.Errorf("table %s: %s: %w", t.name, op, err)
	if errors.Is(err, batchsync.ErrSchema) || errors.Is(err, batchsync.ErrCursor) {
		return outcome.TransientError(known, false, wrapped)
	}
	switch code(err) {
	case codeBusy, codeLocked:
		return outcome.TransientError(known, true, wrapped)
	case codeError:
		return outcome.TransientError(known, false, fmt.Errorf("table %s: %s: %w: %w", t.name, op, batchsync.ErrSchema, err))
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, context.DeadlineExceeded) {
		return outcome.TransientError(known, true, wrapped)
	}
	return outcome.Error(known, wrapped)
}

// explainCommit wraps an error of COMMIT: only a lock is known to have kept it
// from happening.
func (t *Table[T]) explainCommit(err error) error {
	if c := code(err); c == codeBusy || c == codeLocked {
		return t.explain("commit", err)
	}
	return outcome.Error(outcome.Unknown, fmt.Errorf("table %s: commit: %w", t.name, err))
}
