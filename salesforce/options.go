package salesforce

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce/internal/hook"
)

// Options are the choices of an [Org]. The zero value, and nil, are ready.
type Options struct {
	// Version is the version of the API, such as "66.0". Defaults to "66.0";
	// at least "46.0", since older ones answer an upsert in another way.
	Version string

	// Client makes the requests; it is copied, and its CheckRedirect is not
	// used. Defaults to one of its own on http.DefaultTransport.
	Client *http.Client

	// Timeout limits one attempt of a call, reading its answer included.
	// Defaults to 2 min, which is how long the org itself gives a query;
	// negative leaves the caller's deadline alone.
	Timeout time.Duration

	// Retry decides how often and when a call that may be repeated is. Its
	// zero value is ready.
	Retry retry.Policy

	// Reserve is how many of the org's daily calls are left to others: at it,
	// calls fail with ErrReserve and are not sent, except one a minute that
	// looks again. What is left is known from the answers to earlier calls.
	// Defaults to 0, no reserve.
	Reserve int64

	// MaxBody is the most bytes of an answer that is kept in memory. Defaults
	// to 32 MiB; negative is no limit.
	MaxBody int64

	// MaxRows is the most rows a [Query] yields. Defaults to 1,000,000;
	// negative is no limit.
	MaxRows int

	// PlainHTTP allows http URLs to hosts other than this machine, as for an
	// emulator in another container. Defaults to false: a token must not
	// travel in the clear.
	PlainHTTP bool

	// Logger gets what no caller can: a panic of the Observer. Nil is silent.
	Logger *slog.Logger

	// Observer, if set, is told of each "salesforce.call" and each
	// "salesforce.login".
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
	if d.Version == "" {
		d.Version = "66.0"
	}
	if d.Timeout == 0 {
		d.Timeout = 2 * time.Minute
	}
	if d.MaxBody == 0 {
		d.MaxBody = 32 << 20
	}
	if d.MaxRows == 0 {
		d.MaxRows = 1_000_000
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	d.Observer = hook.Guard(d.Observer, d.Logger)
	return d
}
