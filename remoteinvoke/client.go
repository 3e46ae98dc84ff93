package remoteinvoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/id"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// A Client starts jobs of one service and waits for them. It is a value that
// may be copied; make it by its fields.
type Client[In, Out any] struct {
	// URL is where the service is mounted, absolute. Required.
	URL string
	// HTTP sends the requests, and proves by its Transport who asks. Defaults
	// to a client of its own. Redirects are never followed.
	HTTP *http.Client
	// Header is added to each request. Defaults to none. It is not changed.
	Header http.Header
	// Callbacks hears of the ends of jobs, so that Wait need not look for
	// them. Defaults to none: Wait polls alone.
	Callbacks *Callbacks
	// Retry says how often one request is repeated. Defaults to 4 attempts
	// with waits of up to 100 ms, doubled each time.
	Retry retry.Policy
	// Timeout limits one attempt of a request. Defaults to 30 s; negative is
	// no limit.
	Timeout time.Duration
	// Poll says how often Wait looks, where the service does not say: ours
	// does. Wait goes on after errors that may pass for as long as its
	// context allows, unless MaxErrors says otherwise.
	Poll PollOptions
	// MaxResult is the largest answer that is read, in bytes. Defaults to
	// 1 MiB.
	MaxResult int
}

// Start begins a job, and returns when the service has accepted it durably. It
// may be repeated with the same StartOptions.ID and input: the service has the
// job once.
//
// Errors: [ErrReused], [ErrFull], [ErrInvalid], [ErrTooLarge], [ErrCallback],
// and those of the network, in an [*Error] whose ID is the job's. When its
// outcome is Unknown the job may have been accepted: start it again with that
// ID, or [Client.Resume] it.
func (c Client[In, Out]) Start(ctx context.Context, in In, o *StartOptions) (*Pending[Out], error) {
	if o == nil {
		o = &StartOptions{}
	}
	name := o.ID
	if name == "" {
		name = id.New()
	}
	p, err := c.pending(name)
	if err != nil {
		return nil, failed("start", name, err)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, failed("start", name, invalid("the input is no JSON: %v", err))
	}
	h := http.Header{"Content-Type": {"application/json"}, headerKey: {`"` + name + `"`}}
	if o.Timeout < 0 {
		return nil, failed("start", name, invalid("the timeout is negative"))
	}
	if o.Timeout > 0 {
		h.Set(headerTimeout, strconv.FormatInt(int64(math.Ceil(min(o.Timeout, maxWait).Seconds())), 10))
	}
	callback := o.Callback
	if callback == "" && c.Callbacks != nil {
		callback = c.Callbacks.url
	}
	if callback != "" {
		h.Set(headerCallback, callback)
	}
	a, err := p.remote.call(ctx, http.MethodPost, "", body, h)
	if err != nil {
		return nil, failed("start", name, err)
	}
	st, err := a.job(name)
	if err != nil {
		return nil, failed("start", name, err)
	}
	p.note(st, a.after())
	return p, nil
}

// Resume returns the job that token names, to be waited for here. It asks
// nobody, so that it succeeds also when the service does not have the job: that
// is what Wait and Status say.
func (c Client[In, Out]) Resume(token string) (*Pending[Out], error) {
	name, ok := strings.CutPrefix(token, tokenForm)
	if !ok {
		return nil, failed("resume", "", invalid("the token is none that Pending.Token returns"))
	}
	p, err := c.pending(name)
	if err != nil {
		return nil, failed("resume", name, err)
	}
	return p, nil
}

// tokenForm begins a token, so that one of another form is seen.
const tokenForm = "job1."

func (c Client[In, Out]) pending(name string) (*Pending[Out], error) {
	if err := checkID(name); err != nil {
		return nil, invalid("the id: %v", err)
	}
	r, err := newRemote(c.URL, c.HTTP, c.Header, c.Retry, c.Timeout, c.MaxResult)
	if err != nil {
		return nil, err
	}
	return &Pending[Out]{id: name, remote: r, callbacks: c.Callbacks, poll: c.Poll.withDefaults(-1)}, nil
}

// A Pending is a job that was started. It is made by [Client.Start] and
// [Client.Resume], and safe for concurrent use.
type Pending[Out any] struct {
	id        string
	remote    *remote
	callbacks *Callbacks
	poll      PollOptions

	mu    sync.Mutex // guards what follows
	last  Status     // the newest that was seen; its Version is 0 before
	tag   string
	again time.Time // the service is not asked for the status before
}

// ID returns the id of the job.
func (p *Pending[Out]) ID() string { return p.id }

// Token returns a short text to keep, from which [Client.Resume] makes a
// Pending of the same job in another process. It holds no secret.
func (p *Pending[Out]) Token() string { return tokenForm + p.id }

// note takes in a status, unless a newer one was seen, and returns the newest.
func (p *Pending[Out]) note(st Status, after time.Duration) Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	if st.Version > p.last.Version || st.Version == p.last.Version && st.Gone {
		p.last, p.tag = st, etag(st)
	}
	p.again = time.Now().Add(after)
	return p.last
}

func (p *Pending[Out]) seen() (st Status, tag string, again time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.tag, p.again
}

// Status asks for the job's status. An older one than was seen before is
// never returned. The error wraps [ErrNotFound] when the service does not
// have the job.
func (p *Pending[Out]) Status(ctx context.Context) (Status, error) {
	st, _, err := p.status(ctx, p.remote.call)
	if err != nil {
		return st, failed("status", p.id, err)
	}
	return st, nil
}

// own reads the status of this job: one that was created at another time than
// what was seen before is another job, which has the id now.
func (p *Pending[Out]) own(a *answer) (Status, error) {
	st, err := a.job(p.id)
	if last, _, _ := p.seen(); err == nil && last.Version > 0 && !st.Created.Equal(last.Created) {
		return last, outcome.TransientError(outcome.Refused, false, ErrNotFound)
	}
	return st, err
}

type asking func(ctx context.Context, method, path string, body []byte, header http.Header) (*answer, error)

func (p *Pending[Out]) status(ctx context.Context, ask asking) (Status, time.Duration, error) {
	last, tag, _ := p.seen()
	h := http.Header{}
	if tag != "" {
		h.Set("If-None-Match", tag)
	}
	a, err := ask(ctx, http.MethodGet, p.id, nil, h)
	if err != nil {
		return last, 0, err
	}
	st := last
	if a.status != http.StatusNotModified {
		if st, err = p.own(a); err != nil {
			return last, 0, err
		}
	} else if tag == "" {
		return last, 0, outcome.TransientError(outcome.Applied, false, errors.New("the answer is 304, and nobody asked for a condition"))
	}
	return p.note(st, a.after()), a.after(), nil
}

// Cancel asks the service to cancel the job, and returns its status then:
// canceled if nobody had begun it, canceling while its function has not
// stopped, or the end it had come to. It may be repeated. What the job comes
// to is told by Wait.
func (p *Pending[Out]) Cancel(ctx context.Context) (Status, error) {
	a, err := p.remote.call(ctx, http.MethodPost, p.id+"/cancel", nil, nil)
	if err != nil {
		return Status{}, failed("cancel", p.id, err)
	}
	st, err := p.own(a)
	if err != nil {
		return Status{}, failed("cancel", p.id, err)
	}
	return p.note(st, a.after()), nil
}

// Wait returns the result when the job is done. It looks at the job no sooner
// than the service's Retry-After says, and at once when a callback tells of
// its end. A look that fails and may pass is repeated for as long as ctx
// lasts.
//
// Its [*Error] wraps a [*Failure] when the job has failed, [ErrCanceled] when
// it was canceled, [ErrNotFound] and [ErrGone] when the service does not have
// it, or its result, any more, and the cause of ctx when ctx has ended: then
// the job goes on, and may be waited for again. Its outcome speaks of the job:
// Refused when nothing was begun, Unknown when it did not end as done but may
// have had effects.
func (p *Pending[Out]) Wait(ctx context.Context) (Out, error) { return p.Watch(ctx, nil) }

// Watch is [Pending.Wait] that calls fn with each status it sees, in the
// order of their versions, none twice, from the caller's goroutine. It sees
// what is there when it looks, so not every version.
func (p *Pending[Out]) Watch(ctx context.Context, fn func(Status)) (Out, error) {
	w := &waiter[Out]{p: p, fn: fn}
	poller := NewPoller(w.look, &p.poll)
	if _, _, again := p.seen(); !again.IsZero() {
		poller.wait = max(time.Until(again), 0)
	}
	nap := sleep
	if p.callbacks != nil {
		ears, stop := p.callbacks.listen(p.id)
		defer stop()
		w.ears, nap = ears, w.nap
	}
	out, err := poller.until(ctx, nap, nil)
	if err != nil {
		return out, failed("wait", p.id, err)
	}
	return out, nil
}

// A waiter is one Wait.
type waiter[Out any] struct {
	p    *Pending[Out]
	fn   func(Status)
	told int64 // the version fn was called with last
	ears *ears // nil without callbacks
}

// nap waits for d, or until a callback has told of an end that is news.
func (w *waiter[Out]) nap(ctx context.Context, d time.Duration) {
	last, _, _ := w.p.seen()
	if st, ok := w.ears.wait(ctx, d, last); ok {
		w.p.note(st, 0)
	}
}

// look looks at the job once: at its status, unless the end is known, and at
// its result.
func (w *waiter[Out]) look(ctx context.Context) (v Poll[Out], err error) {
	st, _, _ := w.p.seen()
	if !st.State.Terminal() {
		if st, v.After, err = w.p.status(ctx, w.p.remote.ask); err != nil {
			return v, err
		}
	}
	if w.fn != nil && st.Version > w.told {
		w.told = st.Version
		w.fn(st)
	}
	begun := outcome.Unknown
	if st.Attempt == 0 {
		begun = outcome.Refused
	}
	switch st.State {
	case Done:
	case Failed:
		v.Done = true
		f := st.Failure
		if f == nil {
			f = &Failure{Code: CodeFailed, Message: "the service says no more"}
		}
		v.Err = outcome.Error(begun, f)
		return v, nil
	case Canceled:
		v.Done = true
		v.Err = outcome.Error(begun, ErrCanceled)
		return v, nil
	default:
		return v, nil
	}
	a, err := w.p.remote.ask(ctx, http.MethodGet, w.p.id+"/result", nil, nil)
	switch {
	case errors.Is(err, ErrGone), errors.Is(err, ErrNotFound):
		v.Done, v.Err = true, outcome.Error(outcome.Applied, ErrGone)
		return v, nil
	case err != nil:
		return v, fmt.Errorf("the job is done, its result was not fetched: %w", err)
	}
	if err := a.decode(&v.Result); err != nil {
		return v, err
	}
	v.Done = true
	return v, nil
}
