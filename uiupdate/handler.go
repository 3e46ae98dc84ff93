package uiupdate

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Handler serves a [View] to browsers: as Server-Sent Events, which a plain
// EventSource reads and resumes by itself, and as a long poll to a request
// that accepts application/json and not text/event-stream. It is made by
// [NewHandler] and safe for concurrent use.
//
// A stream begins with a reset and snapshots, or, when the request has the id
// of an earlier event in Last-Event-ID or in the parameter after, with the
// rows that changed since. Then comes a live event, and then every change as
// it is made.
//
//	id: <epoch>-<version>
//	event: delta
//	data: {"rows":[{"key":"M-1042","value":17,"asOf":"2026-11-23T12:00:00.000Z"},
//	                {"key":"M-1043","deleted":true,"asOf":"2026-11-23T12:00:00.000Z"}]}
//
// The data is on one line. A snapshot has the same form; a reset has
// {"why":"new"}, "unknown" or "gone", and voids all rows; a live event has
// {"now":...,"asOf":...,"heartbeatMs":...}, the last two where they are known.
//
// Every reader of a handler sees the whole view. For readers with other rights
// or of another projection make a view of their own, and feed both.
type Handler struct {
	feed  feed
	opts  HandlerOptions
	hosts map[string]bool
	may   map[string]bool // foreign origins

	requests sync.WaitGroup

	mu       sync.Mutex // guards all below
	streams  map[*stream]struct{}
	draining chan struct{} // closed by Shutdown
	drained  bool
	spread   time.Duration // set before draining is closed
	hurry    chan struct{} // closed when Shutdown waits no longer
	hurried  bool

	served, refused, dropped, expired atomic.Int64

	crowds []*crowd // of streams that were taken over
	next   atomic.Uint32
}

// HandlerStats count what a [Handler] has served.
type HandlerStats struct {
	// Open is how many streams there are now.
	Open int
	// Served is how many streams and long polls there have been, and Refused
	// how many requests were not let in.
	Served, Refused int64
	// Dropped is how many streams ended because their client took nothing for
	// HandlerOptions.WriteTimeout, and Expired how many because their
	// authorization ended.
	Dropped, Expired int64
}

// NewHandler returns a handler that serves v.
func NewHandler[K comparable, V any](v *View[K, V], o *HandlerOptions) *Handler {
	h := &Handler{feed: v, opts: o.withDefaults(), draining: make(chan struct{}), hurry: make(chan struct{}), streams: map[*stream]struct{}{}}
	for range runtime.GOMAXPROCS(0) {
		h.crowds = append(h.crowds, newCrowd(h))
	}
	h.hosts, h.may = set(h.opts.Hosts), set(h.opts.Origins)
	return h
}

func set(names []string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[strings.ToLower(n)] = true
	}
	return m
}

// Stats returns the handler's counts.
func (h *Handler) Stats() HandlerStats {
	h.mu.Lock()
	open := len(h.streams)
	h.mu.Unlock()
	return HandlerStats{Open: open, Served: h.served.Load(), Refused: h.refused.Load(), Dropped: h.dropped.Load(), Expired: h.expired.Load()}
}

// ServeHTTP answers GET with a stream or a long poll, and HEAD with its head.
// Other methods get 405; a view that has as many readers as it may, and a
// handler that shuts down, 503 with a Retry-After.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	until, status := h.admit(w, r)
	if status != 0 {
		h.refuse(w, status)
		return
	}
	poll := wantsPoll(r)
	head(w.Header(), poll)
	if r.Method == http.MethodHead {
		return
	}
	if !h.enter() {
		h.refuse(w, http.StatusServiceUnavailable)
		return
	}
	rd, err := h.feed.join(after(r))
	if err != nil {
		h.opts.Logger.Warn("uiupdate: refused a stream", slog.Any("error", err))
		h.refuse(w, http.StatusServiceUnavailable)
		h.requests.Done()
		return
	}
	h.served.Add(1)
	err = errAborted // unless it returns: middleware may panic in a write
	if poll {
		ctx := h.opts.Observer.Start(r.Context(), "poll")
		defer func() { h.close(ctx, "poll", err) }()
		err = h.poll(ctx, w, rd)
		return
	}
	ctx := h.opts.Observer.Start(r.Context(), "stream")
	s := &stream{h: h, reader: rd, until: until}
	if h.opts.Lean && h.takeOver(ctx, s, w, r) {
		return
	}
	s.wire = response{w, http.NewResponseController(w)}
	h.opened(s)
	defer func() {
		h.ended(s)
		h.close(ctx, "stream", err)
	}()
	err = s.run(ctx, h.hello(nil))
}

// close ends what ServeHTTP began.
func (h *Handler) close(ctx context.Context, op string, err error) {
	h.opts.Observer.End(ctx, op, err)
	h.feed.leave()
	h.requests.Done()
}

// admit says until when a request may be answered, or the status it is refused
// with.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (until time.Time, status int) {
	if len(h.hosts) > 0 && !h.hosts[strings.ToLower(r.Host)] {
		return until, http.StatusMisdirectedRequest
	}
	w.Header().Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	switch {
	case origin != "" && h.may[strings.ToLower(origin)]:
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	case !sameOrigin(r, origin):
		return until, http.StatusForbidden
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return until, http.StatusMethodNotAllowed
	}
	if h.opts.Authorize == nil {
		return until, 0
	}
	until, err := h.opts.Authorize(r)
	switch {
	case errors.Is(err, ErrUnauthorized):
		status = http.StatusUnauthorized
	case err != nil:
		status = http.StatusForbidden
	case !until.IsZero() && !until.After(time.Now()):
		status = http.StatusUnauthorized
	}
	if status != 0 {
		h.opts.Logger.Info("uiupdate: refused a request", slog.Int("status", status), slog.Any("error", err))
	}
	return until, status
}

// sameOrigin says whether a request comes from a page of this host, or from
// no page. Browsers send cookies with a GET of any page, and the cross-origin
// protection of net/http looks at other methods only. Sec-Fetch-Site is of the
// W3C's Fetch Metadata; browsers without it send Origin.
func sameOrigin(r *http.Request, origin string) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		_, host, ok := strings.Cut(origin, "://")
		return origin == "" || ok && strings.EqualFold(host, r.Host)
	default:
		return false
	}
}

func wantsPoll(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/event-stream")
}

// after is the id of the last event the client has. A browser that comes back
// sends the header, which is newer than what its URL says.
func after(r *http.Request) string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id
	}
	return r.URL.Query().Get("after")
}

// head sets what keeps caches and proxies from holding events back:
// no-transform is for those that compress (RFC 9111, section 5.2.2.6),
// X-Accel-Buffering for nginx and those that follow it.
func head(h http.Header, poll bool) {
	if poll {
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
	} else {
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache, no-transform")
		h.Set("X-Accel-Buffering", "no")
	}
	h.Add("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
}

func (h *Handler) refuse(w http.ResponseWriter, status int) {
	h.refused.Add(1)
	w.Header().Del("X-Accel-Buffering")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" { // RFC 9110, section 15.5.2
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(1+int(h.retry().Seconds())))
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(http.StatusText(status) + "\n"))
}

// retry is a time at random between Retry and twice that.
func (h *Handler) retry() time.Duration { return h.opts.Retry + rand.N(h.opts.Retry) }

func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.drained {
		return false
	}
	h.requests.Add(1)
	return true
}

func (h *Handler) opened(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams[s] = struct{}{}
	if h.hurried {
		s.hurry()
	}
}

func (h *Handler) ended(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
}

// Shutdown lets no more requests in and ends the streams, each at random
// within HandlerOptions.Drain, or within most of what ctx leaves. It returns
// when all have ended; when ctx ends first it ends them at once, waits for
// that, and returns ctx's cause. Call it before http.Server.Shutdown, which
// waits for streams and does not end them.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	if !h.drained {
		h.drained, h.spread = true, h.opts.Drain
		if end, ok := ctx.Deadline(); ok {
			h.spread = min(h.spread, time.Until(end)*4/5)
		}
		close(h.draining)
	}
	h.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		h.requests.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	if !h.hurried {
		h.hurried = true
		close(h.hurry)
		for s := range h.streams {
			s.hurry()
		}
	}
	h.mu.Unlock()
	<-ended
	return context.Cause(ctx)
}
