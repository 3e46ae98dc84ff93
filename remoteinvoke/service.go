package remoteinvoke

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/crosstie/crosstie/internal/id"
)

// A Service accepts jobs and runs them. As an http.Handler it takes starts
// and answers for jobs, see [Service.ServeHTTP]; Run runs what was accepted,
// by this process or by any other that has a Service of the same name on the
// same store. A process may do either or both.
type Service struct {
	name  string
	store Store
	o     ServiceOptions
	check func(input []byte) error
	call  func(ctx context.Context, j *Job, input []byte) (output []byte, err error)

	mu      sync.Mutex // guards running and jobs
	running bool
	jobs    map[Key]*Job // those that run here
}

// NewService returns a service of the jobs called name in store, which fn
// does. In and Out travel as JSON; an input that does not decode, or has a
// field that In has not, is refused at the start. The name is part of what is
// stored: it stays the same for the life of the jobs. At most 128 of A-Z a-z
// 0-9 _ and -.
//
// A job that was accepted by one version of the program may be run by the
// next, or by the one before: let In only gain fields. A process that cannot
// decode an input counts as an attempt that failed.
//
// fn is called again when an attempt failed or its process died, so it must
// bear to be repeated: with [Job.Save] and [Job.Saved] it goes on where it
// was. It returns soon after its context has ended, which happens when the
// job is asked to cancel ([ErrCanceled]), has taken too long ([ErrTimeout]),
// was lost ([ErrLost]) or is handed back ([ErrStopping]); context.Cause says
// which. One that ignores its context is waited for.
//
// NewService panics if the name is not good, or store or fn is nil.
func NewService[In, Out any](name string, store Store, fn func(ctx context.Context, job *Job, in In) (Out, error), o *ServiceOptions) *Service {
	if err := checkID(name); err != nil {
		panic(fmt.Sprintf("remoteinvoke: NewService: name %q: %v", name, err))
	}
	if store == nil || fn == nil {
		panic("remoteinvoke: NewService needs a store and a function")
	}
	return &Service{
		name: name, store: store, o: o.withDefaults(), jobs: map[Key]*Job{},
		check: func(input []byte) error {
			var in In
			return decode(input, &in)
		},
		call: func(ctx context.Context, j *Job, input []byte) ([]byte, error) {
			var in In
			if err := decode(input, &in); err != nil {
				// Perhaps a newer version of the program took it: its
				// processes may run it.
				return nil, fmt.Errorf("the input, accepted by another version of the program, does not decode: %w", err)
			}
			out, err := fn(ctx, j, in)
			if err != nil {
				return nil, err
			}
			output, err := json.Marshal(out)
			if err != nil {
				return nil, &unencodable{err}
			}
			return output, nil
		},
	}
}

// unencodable is the error of a result that is no JSON.
type unencodable struct{ err error }

func (e *unencodable) Error() string { return "the result is no JSON: " + e.err.Error() }
func (e *unencodable) Unwrap() error { return e.err }

// decode reads one JSON value and nothing else.
func decode(data []byte, v any) error {
	if !utf8.Valid(data) { // encoding/json would replace what is not
		return errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("field %q at byte %d does not fit %s", clip(t.Field, maxNote), t.Offset, t.Type)
		}
		if s, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fmt.Errorf("it is not JSON at byte %d", s.Offset)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("it ends before its JSON does")
		}
		return errors.New("it does not decode, or has a field that is not known")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it goes on after its JSON value")
	}
	return nil
}

const maxID = 128

// checkID says what is wrong with an id or a name. Ids are parts of URLs and
// of signatures, so they have no dot, slash or space.
func checkID(s string) error {
	if len(s) < 1 || len(s) > maxID {
		return fmt.Errorf("want 1 to %d characters", maxID)
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return errors.New("want A-Z a-z 0-9 _ and - only")
		}
	}
	return nil
}

// Start accepts a job of caller from within the program, as an HTTP request
// does from without. in must be what JSON makes an In of. The Status is that
// of the job, also when one of the same id and input was accepted before.
//
// Errors: [ErrInvalid], [ErrTooLarge], [ErrReused], [ErrFull], [ErrCallback],
// and those of the store, in an [*Error] whose ID is the job's.
func (s *Service) Start(ctx context.Context, caller string, in any, o *StartOptions) (Status, error) {
	st, _, err := s.start(ctx, caller, in, o, s.store.Add)
	return st, err
}

// StartTx is [Service.Start] inside tx: the job is accepted when tx commits,
// together with everything else tx did, and never existed if tx does not. The
// store must be in the database of tx; else the error is [ErrNoTx].
//
// Inside sqlstore's DB.Tx, this process hears of the commit at once. Nobody
// reports the commit of another transaction: this process looks often for a
// second, and others see it at their next poll.
func (s *Service) StartTx(ctx context.Context, tx *sql.Tx, caller string, in any, o *StartOptions) (Status, error) {
	st, _, err := s.start(ctx, caller, in, o, func(ctx context.Context, e Entry, limit int64) (Record, bool, error) {
		store, ok := s.store.(TxStore)
		if !ok || tx == nil {
			return Record{}, false, ErrNoTx
		}
		return store.AddTx(ctx, tx, e, limit)
	})
	return st, err
}

func (s *Service) start(ctx context.Context, caller string, in any, o *StartOptions, add func(context.Context, Entry, int64) (Record, bool, error)) (Status, bool, error) {
	if o == nil {
		o = &StartOptions{}
	}
	name := o.ID
	if name == "" {
		name = id.New()
	}
	input, err := json.Marshal(in)
	if err != nil {
		return Status{}, false, failed("start", name, invalid("the input is no JSON: %v", err))
	}
	e, err := s.entry(caller, name, input, o)
	if err != nil {
		return Status{}, false, failed("start", name, err)
	}
	attrs := []slog.Attr{slog.String("service", s.name), slog.String("id", name)}
	ctx = s.o.Observer.Start(ctx, "start", attrs...)
	r, added, err := add(ctx, e, s.o.MaxPending)
	s.o.Observer.End(ctx, "start", err, attrs...)
	if err != nil {
		return Status{}, false, failed("start", name, err)
	}
	return r.Status, added, nil
}

// entry checks what was asked for.
func (s *Service) entry(caller, name string, input []byte, o *StartOptions) (Entry, error) {
	e := Entry{
		Key: Key{s.name, caller, name}, Input: input, Callback: o.Callback,
		StartBy: s.o.QueueTimeout, Timeout: s.o.Timeout, KeepResult: s.o.KeepResult, Remember: s.o.Remember,
	}
	if err := checkID(name); err != nil {
		return e, invalid("the id: %v", err)
	}
	if len(caller) > maxCaller || !utf8.ValidString(caller) {
		return e, invalid("the caller's name: want at most %d bytes of UTF-8", maxCaller)
	}
	if len(input) > s.o.MaxInput {
		return e, tooLarge("the input", len(input), s.o.MaxInput)
	}
	if err := s.check(input); err != nil {
		return e, invalid("the input: %v", err)
	}
	if o.Timeout < 0 {
		return e, invalid("the timeout is negative")
	}
	if o.Timeout > 0 && (e.Timeout == 0 || o.Timeout < e.Timeout) {
		e.Timeout = o.Timeout
	}
	if e.StartBy > 0 && e.Timeout > 0 && e.StartBy >= e.Timeout {
		e.StartBy = 0 // Timeout says the same
	}
	if e.Callback != "" {
		if _, err := s.target(caller, e.Callback); err != nil {
			return e, err
		}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, input); err != nil {
		return e, invalid("the input is no JSON")
	}
	e.Sum = sha256.Sum256(compact.Bytes())
	return e, nil
}

const maxCaller = 255

// Status returns the status of a job of caller, or [ErrNotFound].
func (s *Service) Status(ctx context.Context, caller, id string) (Status, error) {
	r, err := s.store.Load(ctx, Key{s.name, caller, id})
	if err != nil {
		return Status{}, failed("status", id, err)
	}
	return r.Status, nil
}

// Cancel asks a job of caller to stop, and returns its status then: canceled
// if nobody ran it, canceling if somebody does, or the end it has come to.
// A function that runs in this process sees its context end at once, one in
// another at its next heartbeat, within a third of the lease.
func (s *Service) Cancel(ctx context.Context, caller, id string) (Status, error) {
	k := Key{s.name, caller, id}
	r, err := s.store.Cancel(ctx, k)
	if err != nil {
		return Status{}, failed("cancel", id, err)
	}
	if r.State == Canceling {
		s.mu.Lock()
		j := s.jobs[k]
		s.mu.Unlock()
		if j != nil {
			j.cancel(ErrCanceled)
		}
	}
	return r.Status, nil
}

// result returns the output of a job that is done.
func (s *Service) result(ctx context.Context, caller, id string) (Status, []byte, error) {
	r, out, err := s.store.Result(ctx, Key{s.name, caller, id})
	if err == nil && r.Gone {
		err = ErrGone
	}
	if err != nil {
		return r.Status, nil, failed("result", id, err)
	}
	return r.Status, out, nil
}

// pace is how long a caller shall wait before it looks at a job again: a tenth
// of the job's age, so that a long job is looked at seldom and a short one is
// not kept waiting.
func pace(st Status, now time.Time) time.Duration {
	return min(max(now.Sub(st.Created)/10, time.Second), 30*time.Second).Round(time.Second)
}
