package sftest

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	oldest = 36 // API version

	// maxHead is the most that a URL, or a URL with its headers, may take.
	maxHead = 16_384
	// maxBody is the most that a call may send, a bulk upload excepted.
	maxBody = 50 << 20
	// maxForm is the most that a call without a session may send: a login.
	maxForm = 64 << 10
)

// A request is a call with what the path says.
type request struct {
	*http.Request
	op      Op
	version int      // of the API
	path    []string // decoded, after the version
	object  *object
	job     *job
	field   *field // that the path finds a record by
	key     string // its value
	body    []byte
	seq     int
	handle  func(*request) answer
	open    bool // needs no session
	free    bool // is not counted
}

// ServeHTTP answers a call as the platform would.
func (o *Org) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.seen++
	c := Call{Seq: o.seen, Time: time.Now(), Method: r.Method, Path: r.URL.Path, Query: redact(r.URL)}
	o.mu.Unlock()

	a := o.answer(r, &c)
	c.Status, c.Applied = a.status, a.applied
	o.mu.Lock()
	o.calls.add(c)
	o.mu.Unlock()
	o.opts.Logger.Debug("sftest: call", "seq", c.Seq, "op", c.Op, "method", c.Method, "path", c.Path, "status", c.Status)
	a.write(w, r)
}

// answer finds out what a call wants, and does it, unless a fault hits.
func (o *Org) answer(r *http.Request, c *Call) answer {
	if a := tooLong(r); a != nil {
		return *a
	}
	req := &request{Request: r, seq: c.Seq}
	p := o.route(req)
	c.Op = req.op
	if p != nil && !strings.HasPrefix(strings.TrimLeft(r.URL.Path, "/"), "services/") {
		return text(404, "text/html;charset=UTF-8", "<html><head><title>Error 404</title></head><body>URL No Longer Exists</body></html>")
	}
	object := ""
	if req.object != nil {
		object = req.object.Name
	}
	delay, fault := o.hit(req.op, object)
	if fault != nil {
		c.Fault = fault.Kind
	} else if delay > 0 {
		c.Fault = FaultDelay
	}
	if fault != nil && fault.Kind == FaultDropRequest {
		return answer{drop: true}
	}
	var broken *problem
	if req.open || o.enter(req) == nil { // what a stranger sends is not read: it may be a bomb
		broken = req.read(o.opts.MaxUpload)
	}
	o.pause(delay)
	if fault != nil {
		if fault.Kind == FaultExpire {
			o.ExpireSessions()
		} else if a := fault.before(); a != nil {
			return *a
		}
	}
	a := o.obey(req, p, broken)
	if fault != nil {
		a = fault.after(a)
	}
	return a
}

// obey lets a call in, counts it and does it; the problems are those that were
// found with its path and its body.
func (o *Org) obey(req *request, path, body *problem) answer {
	if !req.open {
		if a := o.enter(req); a != nil {
			return *a
		}
	}
	p := o.spend(req)
	for _, other := range []*problem{path, body} {
		if p == nil {
			p = other
		}
	}
	if p != nil {
		return o.counted(req, refuse(p))
	}
	return o.counted(req, req.handle(req))
}

// pause waits, until the org is closed.
func (o *Org) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-o.closing:
	}
}

func limitExceeded() *problem {
	return wrong("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").with(http.StatusForbidden)
}

// tooLong refuses what the edge of the platform refuses, before the API sees
// it.
func tooLong(r *http.Request) *answer {
	head := len(r.RequestURI)
	status := 0
	if head > maxHead {
		status = http.StatusRequestURITooLong
	}
	for k, vs := range r.Header {
		for _, v := range vs {
			head += len(k) + len(v) + len(": \r\n")
		}
	}
	if status == 0 && head > maxHead {
		status = http.StatusRequestHeaderFieldsTooLarge
	}
	if status == 0 {
		return nil
	}
	a := text(status, "text/html;charset=UTF-8", fmt.Sprintf("<html><head><title>Error %d</title></head><body>%s</body></html>", status, http.StatusText(status)))
	return &a
}

// media refuses a body of a kind that the resource does not take. One that says
// nothing of its kind is taken for the right one.
func (r *request) media() *problem {
	given := r.Header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(given)
	want := []string{"application/json"}
	switch {
	case r.op == OpJobUpload:
		want = []string{"text/csv"}
	case r.op == OpJobCreate:
		want = append(want, "multipart/form-data")
	}
	if given == "" || r.free || len(r.body) == 0 || err == nil && slices.Contains(want, kind) {
		return nil
	}
	return wrong("UNSUPPORTED_MEDIA_TYPE", "Content-Type header specified in HTTP request is not supported: %s", given).with(http.StatusUnsupportedMediaType)
}

// read takes the body in; upload is the most that the data of a job may be.
func (r *request) read(upload int) *problem {
	most := int64(maxBody)
	switch {
	case r.op == OpJobUpload:
		most = int64(upload)
	case r.open:
		most = maxForm
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodDelete {
		return nil // a body has no meaning there, and some clients send one
	}
	body := io.Reader(http.MaxBytesReader(nil, r.Body, most))
	if strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(body)
		if err != nil {
			return wrong("JSON_PARSER_ERROR", "The body is not gzip, as its Content-Encoding says")
		}
		body = io.LimitReader(z, most+1)
	}
	b, err := io.ReadAll(body)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over), int64(len(b)) > most:
		return wrong("REQUEST_ENTITY_TOO_LARGE", "The request is larger than %d bytes", most).with(http.StatusRequestEntityTooLarge)
	case err != nil:
		return wrong("JSON_PARSER_ERROR", "The body ended before its end")
	}
	r.body = b
	return r.media()
}

// spend counts a call against the day's allowance, or refuses it.
func (o *Org) spend(r *request) *problem {
	if r.free {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.used >= o.opts.DailyCalls {
		return limitExceeded()
	}
	o.used++
	return nil
}

// counted tells what is left of the allowance, as every metered answer does.
func (o *Org) counted(r *request, a answer) answer {
	if r.free || a.status == http.StatusUnauthorized {
		return a
	}
	if a.header == nil {
		a.header = map[string]string{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	a.header["Sforce-Limit-Info"] = fmt.Sprintf("api-usage=%d/%d", o.used, o.opts.DailyCalls)
	return a
}

// write sends the answer, or breaks the connection where a fault says so.
func (a answer) write(w http.ResponseWriter, r *http.Request) {
	if a.drop {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	for k, v := range a.header {
		h.Set(k, v)
	}
	h.Set("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private")
	h.Set("X-Content-Type-Options", "nosniff")
	if a.kind != "" {
		h.Set("Content-Type", a.kind)
	}
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	body := a.body
	if r.Method == http.MethodHead {
		body = nil
	}
	if a.cut {
		body = body[:len(body)/2]
	}
	_, _ = w.Write(body) // a client that has gone is no error of ours
	if a.cut {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// redact gives the query of a URL without what a journal may not keep.
func redact(u *url.URL) string {
	q := u.Query()
	if !q.Has("token") && !q.Has("oauth_token") {
		return u.RawQuery
	}
	for _, k := range []string{"token", "oauth_token"} {
		if q.Has(k) {
			q.Set(k, "redacted")
		}
	}
	return q.Encode()
}
