package uiupdate_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/uiupdate"
)

func TestError(t *testing.T) {
	for _, sentinel := range []error{
		uiupdate.ErrInvalid, uiupdate.ErrTooLarge, uiupdate.ErrFull, uiupdate.ErrTooStale, uiupdate.ErrNotFound, uiupdate.ErrUnauthorized,
	} {
		err := error(&uiupdate.Error{Op: "load", Key: "a\nb", AsOf: noon.In(time.FixedZone("", 3600)), Known: outcome.Refused, Err: fmt.Errorf("%w: it is down", sentinel)})
		joined := errors.Join(errors.New("other"), fmt.Errorf("wrapped: %w", err))
		require.ErrorIs(t, joined, sentinel)
		e, ok := errors.AsType[*uiupdate.Error](joined)
		require.True(t, ok)
		require.Equal(t, "load", e.Op)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		require.Equal(t, `uiupdate: load: key "a\nb": as of 2026-11-23T12:00:00Z: `+sentinel.Error()+": it is down", err.Error())
	}
	require.Equal(t, "uiupdate: reset: full", (&uiupdate.Error{Op: "reset", Err: uiupdate.ErrFull}).Error())
}
