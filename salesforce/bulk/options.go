package bulk

import (
	"context"
	"log/slog"
	"time"

	"github.com/crosstie/crosstie/salesforce/internal/hook"
)

// Options are the choices of a [Sink]. The zero value, and nil, are ready.
type Options struct {
	// Compare asks the org for the current values before sending, and leaves
	// out rows that are already so. Defaults to false: every row is sent.
	Compare bool

	// MaxJobBytes is the most bytes of CSV in one job. Defaults to
	// 100,000,000, which is what the org's limit of 150 MB as base64 safely
	// holds; more is not allowed.
	MaxJobBytes int

	// PollFirst is the wait before a job's state is asked for the first time.
	// It grows by half each time. Defaults to 1 s.
	PollFirst time.Duration

	// PollMax is the longest wait between two polls; each poll costs a call.
	// Defaults to 30 s.
	PollMax time.Duration

	// Wait is how long one write waits for a job's end. When it ends the job
	// goes on, the write fails with ErrRunning, and the next run takes the job
	// up. Defaults to 0: as long as ctx.
	Wait time.Duration

	// Logger gets what no caller can: a job that could not be aborted, or may
	// have been left behind. Nil is silent.
	Logger *slog.Logger

	// Observer, if set, is told of each "bulk.job".
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
	if d.MaxJobBytes <= 0 || d.MaxJobBytes > maxJobBytes {
		d.MaxJobBytes = maxJobBytes
	}
	if d.PollFirst <= 0 {
		d.PollFirst = time.Second
	}
	if d.PollMax <= 0 {
		d.PollMax = 30 * time.Second
	}
	d.PollMax = max(d.PollMax, d.PollFirst)
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	d.Observer = hook.Guard(d.Observer, d.Logger)
	return d
}

const maxJobBytes = 100_000_000
