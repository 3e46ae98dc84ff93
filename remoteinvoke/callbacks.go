package remoteinvoke

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/webhook"
)

// CallbackOptions configure [Callbacks]. Nil, and the zero value of each
// field, mean the default.
type CallbackOptions struct {
	// Caller is the name the service knows us by. Callbacks about jobs of
	// others are refused, whatever they are signed with. Defaults to the
	// empty name, which a service has that tells no callers apart.
	Caller string
	// Notify is called for each job that has ended, before the callback is
	// answered, for programs in which nobody waits. It may be called more than
	// once for a job; when it returns an error the service calls back again.
	// Nil is none.
	Notify func(ctx context.Context, st Status) error
	// Poll is how often those who wait look in the store for callbacks that
	// another process has taken. Defaults to 1 s; negative never looks.
	Poll time.Duration
	// Remember is how long the store keeps what was said. Defaults to 8 days.
	Remember time.Duration
	// Logger is told what was refused and why. Nil is silent.
	Logger *slog.Logger
	// Observer sees each callback ("receive"). Nil is none.
	Observer Observer
}

// Callbacks hears of the ends of jobs. It is the http.Handler behind the URL
// that [Client.Start] sends along, and what [Pending.Wait] listens to. A
// callback that comes before Start has returned is kept, one that comes twice
// or late changes nothing, and one that is not signed by the service for this
// caller is refused. It is safe for concurrent use.
type Callbacks struct {
	service  string
	url      string
	verifier webhook.Verifier
	store    CallbackStore
	o        CallbackOptions

	mu      sync.Mutex // guards what follows
	waiting map[string]map[*ears]struct{}
	taken   int
}

// maxCallback is the longest callback that is read, in bytes.
const maxCallback = 64 << 10

// NewCallbacks returns the callbacks of the service called service. url is
// where the service reaches this handler; v has the secret that the service
// signs callbacks to this caller with; its MaxBody defaults to 64 KiB here.
// NewCallbacks panics if service or url is empty, v has no secret, or store is
// nil.
func NewCallbacks(service, url string, v webhook.Verifier, store CallbackStore, o *CallbackOptions) *Callbacks {
	if service == "" || url == "" || len(v.Secrets) == 0 || store == nil {
		panic("remoteinvoke: NewCallbacks needs a service, a URL, a secret and a store")
	}
	if v.MaxBody == 0 {
		v.MaxBody = maxCallback
	}
	c := &Callbacks{service: service, url: url, verifier: v, store: store, waiting: map[string]map[*ears]struct{}{}}
	if o != nil {
		c.o = *o
	}
	c.o.Poll = orDefault(c.o.Poll, time.Second)
	if c.o.Remember <= 0 {
		c.o.Remember = 8 * 24 * time.Hour
	}
	c.o.Logger = orSilent(c.o.Logger)
	c.o.Observer = hook.Guard(c.o.Observer, c.o.Logger)
	return c
}

// ServeHTTP takes a callback. It answers 204 when what it says is kept, now or
// before; 400, 401 and 413 for one that does not verify; 403 for one about
// another service or caller; 422 for one that is signed and makes no sense;
// 405 for a method that is not POST; and 500 when it could not be kept, so that
// the service comes back.
func (c *Callbacks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "a callback is a POST", http.StatusMethodNotAllowed)
		return
	}
	m, err := c.verifier.Read(r)
	if err != nil {
		c.o.Logger.Warn("callback_refused", "service", c.service, "error", err)
		http.Error(w, "the callback was not accepted", webhook.Status(err))
		return
	}
	var n notice
	if err := json.Unmarshal(m.Body, &n); err != nil || n.Job.ID != m.ID || checkID(n.Job.ID) != nil || n.Job.Version < 1 || !n.Job.State.Terminal() {
		c.o.Logger.Warn("callback_senseless", "service", c.service, "id", m.ID)
		http.Error(w, "this is no callback about the end of a job", http.StatusUnprocessableEntity)
		return
	}
	if n.Service != c.service || n.Caller != c.o.Caller {
		c.o.Logger.Warn("callback_misdirected", "service", c.service, "id", m.ID)
		http.Error(w, "this callback is for somebody else", http.StatusForbidden)
		return
	}
	id := slog.String("id", m.ID)
	ctx := c.o.Observer.Start(r.Context(), "receive", id)
	err = c.take(ctx, n.Job)
	c.o.Observer.End(ctx, "receive", err, id)
	if err != nil {
		c.o.Logger.Error("callback_failed", "service", c.service, "id", m.ID, "error", err)
		http.Error(w, "the callback was not kept: send it again", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// take keeps what a callback said and wakes those who wait for it.
func (c *Callbacks) take(ctx context.Context, st Status) error {
	k := c.key(st.ID)
	if c.o.Notify != nil {
		was, err := c.store.Load(ctx, k)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if st.Newer(was) {
			if err := c.o.Notify(ctx, st); err != nil {
				return err
			}
		}
	}
	if _, err := c.store.Put(ctx, k, st); err != nil {
		return err
	}
	c.mu.Lock()
	for e := range c.waiting[st.ID] {
		select {
		case e.heard <- struct{}{}:
		default:
		}
	}
	c.taken++
	sweep := c.taken%sweepEach == 1 // the first too: a process may not live for many
	c.mu.Unlock()
	if sweep {
		if _, err := c.store.Forget(ctx, time.Now().Add(-c.o.Remember), 4*sweepEach); err != nil {
			c.o.Logger.Warn("callbacks_not_forgotten", "service", c.service, "error", err)
		}
	}
	return nil
}

// sweepEach is after how many callbacks old ones are forgotten.
const sweepEach = 64

func (c *Callbacks) key(id string) Key { return Key{c.service, c.o.Caller, id} }

// ears hear of one job.
type ears struct {
	c     *Callbacks
	id    string
	heard chan struct{}
}

func (c *Callbacks) listen(id string) (e *ears, stop func()) {
	e = &ears{c: c, id: id, heard: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[id] == nil {
		c.waiting[id] = map[*ears]struct{}{}
	}
	c.waiting[id][e] = struct{}{}
	return e, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting[id], e)
		if len(c.waiting[id]) == 0 {
			delete(c.waiting, id)
		}
	}
}

// wait waits for d, or for the end of ctx, or until there is a status newer
// than last, which it returns.
func (e *ears) wait(ctx context.Context, d time.Duration, last Status) (Status, bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	var tick <-chan time.Time
	if e.c.o.Poll > 0 {
		k := time.NewTicker(e.c.o.Poll)
		defer k.Stop()
		tick = k.C
	}
	for {
		st, err := e.c.store.Load(ctx, e.c.key(e.id))
		switch {
		case err == nil && st.Newer(last) && (last.Version == 0 || st.Created.Equal(last.Created)):
			return st, true
		case err != nil && !errors.Is(err, ErrNotFound) && ctx.Err() == nil:
			e.c.o.Logger.Warn("callback_not_read", "service", e.c.service, "id", e.id, "error", err)
		}
		select {
		case <-ctx.Done():
			return Status{}, false
		case <-t.C:
			return Status{}, false
		case <-e.heard:
		case <-tick:
		}
	}
}
