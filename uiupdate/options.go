package uiupdate

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
)

// ViewOptions configure a [View]. Nil, and the zero value of each field, mean
// the default.
type ViewOptions struct {
	// Window is how many bytes of framed changes are kept for streams that
	// lag behind. A stream that lags further gets the latest value of each
	// row that changed, and none in between. Defaults to 1 MiB, and is at
	// least 4 KiB.
	Window int
	// MaxRows is how many rows the view may have; more are refused with
	// [ErrFull]. Defaults to 1,000,000; negative is no limit.
	MaxRows int
	// MaxRow is the largest row in bytes, as JSON with its key. Defaults to
	// 64 KiB; negative is no limit.
	MaxRow int
	// Deleted is how many deleted rows are remembered. A reader that was away
	// for longer than that many deletions gets a reset and a snapshot, and a
	// late change of a row forgotten brings it back until the next Reset.
	// Defaults to 10,000; negative remembers none.
	Deleted int
	// MaxAhead is how far an as-of may lie ahead of this machine's clock. One
	// that is further ahead is refused with [ErrInvalid], since it would make
	// every change after it look late. Defaults to 1 minute; negative is not
	// at all.
	MaxAhead time.Duration
	// MaxReaders is how many streams and watchers the view may have at once;
	// more are refused with [ErrFull]. Defaults to 10,000; negative is no
	// limit.
	MaxReaders int
}

func (o *ViewOptions) withDefaults() ViewOptions {
	var d ViewOptions
	if o != nil {
		d = *o
	}
	d.Window = max(orDefault(d.Window, 1<<20), 4<<10)
	d.MaxRows = orUnlimited(orDefault(d.MaxRows, 1_000_000))
	d.MaxRow = orUnlimited(orDefault(d.MaxRow, 64<<10))
	d.Deleted = max(orDefault(d.Deleted, 10_000), 0)
	d.MaxAhead = max(orDefault(d.MaxAhead, time.Minute), 0)
	d.MaxReaders = orUnlimited(orDefault(d.MaxReaders, 10_000))
	return d
}

// HandlerOptions configure a [Handler]. Nil, and the zero value of each field,
// mean the default.
type HandlerOptions struct {
	// Authorize is asked at the beginning of each stream and says until when
	// the stream may go on; the zero time is for ever. An error refuses: 401
	// for [ErrUnauthorized], else 403, and its text goes to the log only. Nil
	// lets everybody in.
	Authorize func(r *http.Request) (until time.Time, err error)
	// Origins are the other web origins, such as "https://app.example", whose
	// pages may read the stream with the credentials of their visitor. Pages
	// of other origins are answered 403. Defaults to none: only pages of the
	// handler's own host. Clients that are no browser send no origin.
	Origins []string
	// Hosts are the values of the Host header that are answered; others get
	// 421. It stops pages that reach a private address under a name of their
	// own. Defaults to all.
	Hosts []string
	// Heartbeat is how often a stream with nothing to say sends a live event.
	// Defaults to 15 s; it is at least 1 s.
	Heartbeat time.Duration
	// WriteTimeout ends a stream whose client takes less than 16 KiB of what
	// is there for it in so long.
	// Defaults to 30 s; negative is no limit.
	WriteTimeout time.Duration
	// Retry is how long a browser waits before it connects again; each stream
	// is told a time at random between this and twice this. Defaults to 2 s,
	// and is at least 1 ms.
	Retry time.Duration
	// Poll is how long a long poll waits for a change. Defaults to 25 s,
	// below the 30 s at which many proxies give up.
	Poll time.Duration
	// Drain is the time over which Shutdown spreads the ends of the streams,
	// each at random, so that their browsers do not come back all at once.
	// Defaults to 5 s; negative ends all at once.
	Drain time.Duration
	// Lean takes the connection of a stream over from net/http where it can:
	// HTTP/1.1 without TLS in this process, on Unix. An idle stream then costs
	// a tenth of the memory, and many streams are written faster, since no
	// goroutine waits for each. Middleware does not see what is written, each
	// such response ends its connection, ends by Authorize and heartbeats may
	// be a second late, and http.Server's own Shutdown knows nothing of it:
	// call Shutdown here. Defaults to false.
	Lean bool
	// Logger is told what no caller can be told. Nil is silent.
	Logger *slog.Logger
	// Observer sees each stream and each long poll. Nil is none.
	Observer Observer
}

func (o *HandlerOptions) withDefaults() HandlerOptions {
	var d HandlerOptions
	if o != nil {
		d = *o
	}
	d.Heartbeat = max(orDefault(d.Heartbeat, 15*time.Second), time.Second)
	d.WriteTimeout = max(orDefault(d.WriteTimeout, 30*time.Second), 0)
	d.Retry = max(orDefault(d.Retry, 2*time.Second), time.Millisecond)
	d.Poll = max(orDefault(d.Poll, 25*time.Second), 0)
	d.Drain = max(orDefault(d.Drain, 5*time.Second), 0)
	d.Logger = orSilent(d.Logger)
	d.Observer = hook.Guard(d.Observer, d.Logger)
	return d
}

// FreshOptions configure a [Fresh]. Nil, and the zero value of each field,
// mean the default.
type FreshOptions struct {
	// MaxAge is how old a value may be and count as fresh. Defaults to 10 s;
	// negative is no time at all, so that each Load waits for a load.
	MaxAge time.Duration
	// MaxStale is how old a value may be that is answered, marked as stale,
	// when loading a fresh one failed. Defaults to 1 minute; negative, and
	// anything less than MaxAge, means never.
	MaxStale time.Duration
	// Patience is how long a caller waits for a load when there is a value
	// within MaxStale, before it is answered with that, marked as stale. The
	// load goes on. Defaults to no limit; negative is no wait.
	Patience time.Duration
	// Pause is how long after a failed load of a key its error stands and no
	// other load begins. Defaults to 1 s; negative is none, so that each
	// caller tries.
	Pause time.Duration
	// Timeout ends the context of a load, and the wait of those who wait for
	// it. Defaults to 10 s.
	Timeout time.Duration
	// Loads is how many loads run at once; callers wait for room as long as
	// their context allows. Defaults to 64.
	Loads int
	// Size is how many keys are kept; the longest unused makes room. Defaults
	// to 10,000.
	Size int
	// Skew is how far the source's clock and this machine's may differ.
	// Defaults to 1 s; negative is not at all.
	Skew time.Duration
	// Logger is told what no caller can be told. Nil is silent.
	Logger *slog.Logger
	// Observer sees each load. Nil is none.
	Observer Observer
}

func (o *FreshOptions) withDefaults() FreshOptions {
	var d FreshOptions
	if o != nil {
		d = *o
	}
	d.MaxAge = max(orDefault(d.MaxAge, 10*time.Second), 0)
	d.MaxStale = max(orDefault(d.MaxStale, time.Minute), 0)
	d.Pause = max(orDefault(d.Pause, time.Second), 0)
	if d.Timeout <= 0 {
		d.Timeout = 10 * time.Second
	}
	if d.Loads <= 0 {
		d.Loads = 64
	}
	if d.Size <= 0 {
		d.Size = 10_000
	}
	d.Skew = max(orDefault(d.Skew, time.Second), 0)
	d.Logger = orSilent(d.Logger)
	d.Observer = hook.Guard(d.Observer, d.Logger)
	return d
}

func orSilent(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// orUnlimited turns a negative bound into one that is never reached.
func orUnlimited(n int) int {
	if n < 0 {
		return int(^uint(0) >> 1)
	}
	return n
}
