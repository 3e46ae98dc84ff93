package batchsync

import (
	"context"
	"log/slog"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/retry"
)

// Options are the choices of a [Sync]. The zero value, and nil, are ready.
type Options struct {
	// Checkpoints is where the run's position, counts, lease and dead rows are
	// kept. Defaults to a store in memory, new for each Sync: a crash then
	// means to begin again.
	Checkpoints Store

	// BatchRows is the most rows given to the sink in one call; a larger page
	// is written in several. Defaults to 1000, and for a [JobSink] to the page;
	// negative is no limit but the page.
	BatchRows int

	// Retry decides how often and when a batch, or single rows of it, are
	// written again after a transient failure. Its zero value is ready.
	Retry retry.Policy

	// MaxDead is how many rows a run may fail or park before it stops with
	// ErrTooManyDead, because then the input is wrong and not its rows.
	// Defaults to 10,000; negative is no limit.
	MaxDead int64

	// MaxOriginal is how many bytes of the original a dead row keeps. Defaults
	// to 64 KiB; negative keeps none.
	MaxOriginal int

	// Lease is how long a crashed runner keeps others from going on. Defaults
	// to 10 s; at least 100 ms.
	Lease time.Duration

	// Progress, if set, is called after each checkpoint, by the goroutine of
	// Run: it should be quick.
	Progress func(Progress)

	// Logger gets what no caller can: a lease that could not be given back.
	// Nil is silent.
	Logger *slog.Logger

	// Observer, if set, is told of each "run", "write" and "save".
	Observer Observer
}

// An Observer is told when an operation starts and ends. Start may return a
// context that carries a span; what the operation does runs under it, and End
// gets it back. Both are called by the goroutine that does the work. A panic
// in one is logged and goes no further: who watches changes nothing.
type Observer interface {
	// Start is called before op.
	Start(ctx context.Context, op string, attrs ...slog.Attr) context.Context
	// End is called after op, with its error or nil.
	End(ctx context.Context, op string, err error, attrs ...slog.Attr)
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Checkpoints == nil {
		d.Checkpoints = NewMem()
	}
	if d.BatchRows == 0 {
		d.BatchRows = 1000
	}
	if d.MaxDead == 0 {
		d.MaxDead = 10_000
	}
	if d.MaxOriginal == 0 {
		d.MaxOriginal = 64 << 10
	}
	if d.Lease == 0 {
		d.Lease = lease.Default
	}
	d.Lease = max(d.Lease, 100*time.Millisecond)
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	d.Observer = hook.Guard(d.Observer, d.Logger)
	return d
}
