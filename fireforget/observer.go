package fireforget

import (
	"context"
	"log/slog"
)

// An Observer sees operations begin and end, for traces and metrics. It is
// declared identically in every room, so that one value serves all. Its
// methods must be safe for concurrent use and quick. A panic in one is logged
// and goes no further: who watches changes nothing.
type Observer interface {
	// Start is called before op; the context it returns is the operation's.
	Start(ctx context.Context, op string, attrs ...slog.Attr) context.Context
	// End is called after op, with the context of Start and op's error.
	End(ctx context.Context, op string, err error, attrs ...slog.Attr)
}
