package remoteinvoke

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crosstie/crosstie/internal/id"
)

// The header fields of a start, beside Idempotency-Key.
const (
	headerKey      = "Idempotency-Key"
	headerCallback = "Crosstie-Callback"
	headerTimeout  = "Crosstie-Timeout"
	headerReplayed = "Idempotent-Replayed"
)

// ServeHTTP serves the jobs of a service. Paths are relative to where it is
// mounted, so mount it with http.StripPrefix, its prefix ending in a slash:
//
//	POST /            starts a job; the body is the input, application/json
//	GET  /{id}        its status
//	GET  /{id}/result its result, once it is done
//	POST /{id}/cancel asks it to stop
//
// A start may name the job with Idempotency-Key, a string of RFC 8941 or bare,
// 1 to 128 of A-Z a-z 0-9 _ and -; repeated with the same key and input it is
// the same job, marked by Idempotent-Replayed. With Crosstie-Timeout, in whole
// seconds, it may take no longer, and Crosstie-Callback names the URL to tell of
// its end. It is answered 202 (RFC 9110 §15.3.3) with the status, or 200 if
// the job has ended already; Location is the URL of the status.
//
// A status is a [Status] as JSON, with its version as ETag: If-None-Match is
// answered 304, whether it lists several or weak ones. While the job has not ended Retry-After says when to look
// again. The result of a job that has not ended is answered 409 with
// Retry-After, that of a job that failed or was canceled 409 without, and one
// that is not kept any more 410. A cancel is answered 202, or 200 if the job
// has ended.
//
// Other answers are problems (RFC 9457) with a member "code": 400 invalid, 401
// caller with WWW-Authenticate, 403 callback, 404
// not_found, 405 method with Allow, 413 too_large, 415 media_type with
// Accept-Post or Accept-Encoding, 422 reused, 503 full with Retry-After.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	caller := ""
	if s.o.Caller != nil {
		var err error
		if caller, err = s.o.Caller(r); err != nil {
			s.o.Logger.WarnContext(r.Context(), "caller_refused", "service", s.name, "error", err)
			if w.Header().Get("WWW-Authenticate") == "" { // RFC 9110, section 15.5.2
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			s.refuse(w, r, errCaller, 0)
			return
		}
	}
	part, rest, more := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case part == "" && !more:
		s.method(w, r, http.MethodPost, func() { s.serveStart(w, r, caller) })
	case !more:
		s.method(w, r, http.MethodGet, func() { s.serveStatus(w, r, caller, part) })
	case rest == "result":
		s.method(w, r, http.MethodGet, func() { s.serveResult(w, r, caller, part) })
	case rest == "cancel":
		s.method(w, r, http.MethodPost, func() { s.serveCancel(w, r, caller, part) })
	default:
		s.refuse(w, r, ErrNotFound, 0)
	}
}

func (s *Service) method(w http.ResponseWriter, r *http.Request, want string, fn func()) {
	if r.Method == want || want == http.MethodGet && r.Method == http.MethodHead {
		fn()
		return
	}
	if want == http.MethodGet {
		want = "GET, HEAD"
	}
	w.Header().Set("Allow", want)
	s.refuse(w, r, errMethod, 0)
}

func (s *Service) serveStart(w http.ResponseWriter, r *http.Request, caller string) {
	o, err := startOptions(r.Header)
	if err != nil {
		s.refuse(w, r, failed("start", "", err), 0)
		return
	}
	if o.ID == "" {
		o.ID = id.New()
	}
	if mt, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" ||
		params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		w.Header().Set("Accept-Post", "application/json") // W3C LDP 1.0, section 7.1
		s.refuse(w, r, errMedia, 0)
		return
	}
	if c := r.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110, section 12.5.3
		s.refuse(w, r, errMedia, 0)
		return
	}
	input, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.o.MaxInput)))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			err = fmt.Errorf("the input is %w (limit %d bytes)", ErrTooLarge, s.o.MaxInput)
		} else {
			err = invalid("the body broke off")
		}
		s.refuse(w, r, failed("start", o.ID, err), 0)
		return
	}
	st, added, err := s.start(r.Context(), caller, json.RawMessage(input), o, s.store.Add)
	if err != nil {
		s.refuse(w, r, err, 0)
		return
	}
	if !added {
		w.Header().Set(headerReplayed, "true")
	}
	w.Header().Set("Location", location(r, st.ID))
	s.send(w, st, http.StatusAccepted)
}

// startOptions reads the headers of a start.
func startOptions(h http.Header) (*StartOptions, error) {
	var o StartOptions
	for name, to := range map[string]*string{headerKey: &o.ID, headerCallback: &o.Callback} {
		switch vs := h.Values(name); len(vs) {
		case 0:
		case 1:
			*to = strings.Trim(vs[0], " \t")
			if *to == "" {
				return nil, invalid("%s is empty", name)
			}
		default:
			return nil, invalid("%s is there %d times", name, len(vs))
		}
	}
	if q := o.ID; len(q) >= 2 && q[0] == '"' && q[len(q)-1] == '"' {
		o.ID = q[1 : len(q)-1] // what would need an escape is no id
		if o.ID == "" {
			return nil, invalid("%s is empty", headerKey)
		}
	}
	if v := h.Get(headerTimeout); v != "" {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil || n == 0 {
			return nil, invalid("%s: want whole seconds, above 0", headerTimeout)
		}
		o.Timeout = min(time.Duration(n)*time.Second, maxWait)
	}
	return &o, nil
}

// location is a URL relative to that of the request, for only the caller knows
// under which one the service is reached (RFC 9110 §10.2.2).
func location(r *http.Request, id string) string {
	was := r.RequestURI // before any prefix was stripped
	if was == "" {
		was = r.URL.Path
	}
	was, _, _ = strings.Cut(was, "?")
	if last := was[strings.LastIndex(was, "/")+1:]; last != "" {
		return last + "/" + id
	}
	return id
}

// send answers with a status: with code while the job has not ended.
func (s *Service) send(w http.ResponseWriter, st Status, code int) {
	body, err := json.Marshal(st)
	if err != nil { // a status marshals
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("ETag", etag(st))
	if st.State.Terminal() {
		code = http.StatusOK
	} else {
		retryAfter(w, pace(st, time.Now()))
	}
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// etag names what a status says.
func etag(st Status) string {
	tag := "v" + strconv.FormatInt(st.Version, 10)
	if st.Gone {
		tag += "-gone"
	}
	return `"` + tag + `"`
}

// noneMatch reports whether If-None-Match names tag. Tags are compared weakly
// (RFC 9110, section 13.1.2): a proxy that compresses makes them weak.
func noneMatch(h http.Header, tag string) bool {
	for _, v := range h.Values("If-None-Match") {
		for t := range strings.SplitSeq(v, ",") { // ours have no comma
			if t = strings.Trim(t, " \t"); t == "*" || strings.TrimPrefix(t, "W/") == tag {
				return true
			}
		}
	}
	return false
}

func (s *Service) serveStatus(w http.ResponseWriter, r *http.Request, caller, id string) {
	st, err := s.Status(r.Context(), caller, id)
	if err != nil {
		s.refuse(w, r, err, 0)
		return
	}
	if noneMatch(r.Header, etag(st)) {
		w.Header().Set("ETag", etag(st))
		if !st.State.Terminal() {
			retryAfter(w, pace(st, time.Now()))
		}
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.send(w, st, http.StatusOK)
}

func (s *Service) serveResult(w http.ResponseWriter, r *http.Request, caller, id string) {
	st, output, err := s.result(r.Context(), caller, id)
	switch {
	case err != nil:
		s.refuse(w, r, err, 0)
	case !st.State.Terminal():
		s.refuse(w, r, errNotEnded, pace(st, time.Now()))
	case st.State != Done:
		s.refuse(w, r, errNoResult, 0)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(output)
	}
}

func (s *Service) serveCancel(w http.ResponseWriter, r *http.Request, caller, id string) {
	st, err := s.Cancel(r.Context(), caller, id)
	if err != nil {
		s.refuse(w, r, err, 0)
		return
	}
	s.send(w, st, http.StatusAccepted)
}
