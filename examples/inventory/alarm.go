package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/crosstie/crosstie/sqlstore"
)

// An alarm is a slog.Handler that listens for errors no repeat can mend. A caller of the warehouse is told that it
// failed and not why; the person who runs it has to know.
type alarm struct {
	slog.Handler
	fail func(error)
}

var beyondRepair = []error{sqlstore.ErrDiskFull, sqlstore.ErrReadOnly, sqlstore.ErrCorrupt, sqlstore.ErrIO, sqlstore.ErrStopped}

// Enabled implements slog.Handler.
func (a alarm) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (a alarm) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(attr slog.Attr) bool {
		err, ok := attr.Value.Any().(error)
		for _, e := range beyondRepair {
			if ok && errors.Is(err, e) {
				a.fail(err)
				return false
			}
		}
		return true
	})
	return nil
}
