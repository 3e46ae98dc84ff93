package sftest

import (
	"log/slog"
	"time"
)

// Options configure an org. A nil *Options is valid, and every field's zero
// value stands for its default.
type Options struct {
	// Addr is the address to listen on, host:port. The host must be a loopback
	// address, since the org talks plain HTTP and knows one user. Default
	// 127.0.0.1:0, any free port.
	Addr string
	// InMemory leaves out the listener: calls go through [Org.Client] alone,
	// to an https URL that no network has, and time may be that of
	// testing/synctest. Default false.
	InMemory bool
	// Objects are added to the standard ones, which every org has: Account,
	// Contact and Product2. One with the name of a standard object adds its
	// fields to that. Default none.
	Objects []Object
	// ClientID and ClientSecret are what a client logs in with. Default: made
	// from Seed, see [Org.ClientID] and [Org.ClientSecret].
	ClientID, ClientSecret string
	// Seed decides ids, also the org's own, what logs in, and which calls a fault
	// with a Ratio hits, so that a failing test can be run again. A test with
	// two orgs gives them two seeds. Default 1.
	Seed uint64
	// SessionIdle is how long a session lives without a call. Default 2 h, as
	// in an org nobody has configured; negative: for ever.
	SessionIdle time.Duration
	// DailyCalls is the allowance of API calls. At it, calls are refused with
	// REQUEST_LIMIT_EXCEEDED until [Org.SetCallsUsed]. Default 100,000;
	// negative: none are allowed.
	DailyCalls int
	// Version is the newest API version that the org knows, as in v67.0; all
	// from v36.0 on are served. Default 67.
	Version int
	// BulkHold keeps bulk jobs where they are until [Org.StepBulk]. Default
	// false: they run by themselves, one after another.
	BulkHold bool
	// BulkDelay is how long a job waits before it runs. Default 0.
	BulkDelay time.Duration
	// BulkPolls is how many times a job that has run is still told to be
	// InProgress to who asks for it. Default 0.
	BulkPolls int
	// MaxUpload is the most bytes of data that a bulk job takes. Default
	// 112,500,000, which is 150 MB as base64, as the platform counts.
	MaxUpload int
	// Journal is how many calls, and how many changes of rows, are kept; the
	// oldest are forgotten, which shows in their Seq. Default 1,000,000 each.
	Journal int
	// Logger gets a line per call at debug level. Default nil: silent.
	Logger *slog.Logger
}

func (o *Options) orDefault() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	if c.SessionIdle == 0 {
		c.SessionIdle = 2 * time.Hour
	}
	switch {
	case c.DailyCalls == 0:
		c.DailyCalls = 100_000
	case c.DailyCalls < 0:
		c.DailyCalls = 0
	}
	if c.Version == 0 {
		c.Version = 67
	}
	if c.Journal <= 0 {
		c.Journal = 1_000_000
	}
	if c.MaxUpload <= 0 {
		c.MaxUpload = 150_000_000 / 4 * 3
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
