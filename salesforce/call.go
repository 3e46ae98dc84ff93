package salesforce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// A Call is one request to an org, for resources that have no method here:
// Apex REST, composite, invocable actions, jobs.
type Call struct {
	// Op names it in errors: "create Account". Defaults to Method and the
	// path without its query.
	Op string
	// Method is the HTTP method. Defaults to GET.
	Method string
	// Path is the resource, escaped, with its query: "sobjects/Account/001...".
	// It is below /services/data/vNN.0/ unless it begins with /services/.
	Path string
	// Body is what is sent: nil is nothing, a []byte is sent as it is, any
	// other value as JSON.
	Body any
	// ContentType is that of a []byte. Defaults to application/json.
	ContentType string
	// Idempotent says that the call may happen twice without harm, so that it
	// is repeated although the answer to an earlier attempt was lost. A GET
	// always is.
	Idempotent bool
	// Timeout limits one attempt. Defaults to Options.Timeout.
	Timeout time.Duration
}

// Do makes a call and reads its answer into out: nil drops it, a
// func(io.Reader) error reads the body as it comes, without a bound of its own,
// and any other value is filled from JSON. Any 2xx is a success, every other
// status an [*Error].
//
// What out's function returns is the call's error, with the outcome Applied
// and, unless it says otherwise, not repeated.
func (o *Org) Do(ctx context.Context, c Call, out any) error {
	if c.Method == "" {
		c.Method = http.MethodGet
	}
	if c.Op == "" {
		path, _, _ := strings.Cut(c.Path, "?")
		c.Op = c.Method + " " + path
	}
	attr := slog.String("op", c.Op)
	ctx = o.o.Observer.Start(ctx, "salesforce.call", attr)
	made, err := o.do(ctx, c, out)
	o.o.Observer.End(ctx, "salesforce.call", err, attr, slog.Int("attempts", made))
	return err
}

// maxURL keeps below the 16,384 bytes at which an org answers 414 or 431,
// with room for the headers.
const maxURL = 14_000

func (o *Org) do(ctx context.Context, c Call, out any) (int, error) {
	a, err := o.prepare(c)
	if err != nil {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, &Error{Op: c.Op, Known: outcome.NotSent, Err: context.Cause(ctx)}
	}
	tries := o.o.Retry.Begin(c.Idempotent || c.Method == http.MethodGet)
	for {
		err := o.once(ctx, a, out)
		if err == nil {
			return tries.Made() + 1, nil
		}
		if gave := tries.Next(ctx, err); gave != nil {
			return tries.Made(), final(c.Op, gave, tries.Made())
		}
	}
}

func (o *Org) prepare(c Call) (attempt, error) {
	path := c.Path
	if !strings.HasPrefix(path, "/services/") {
		path = "/services/data/v" + o.o.Version + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(path)
	if err != nil || u.Host != "" || u.Scheme != "" {
		return attempt{}, input(c.Op, "the path is no path of a URL")
	}
	if len(path) > maxURL {
		return attempt{}, &Error{Op: c.Op, Known: outcome.NotSent, Err: ErrTooLarge,
			Message: "the URL with its query is longer than an org accepts"}
	}
	a := attempt{op: c.Op, method: c.Method, url: u, accept: "application/json", contentType: c.ContentType, timeout: c.Timeout}
	switch b := c.Body.(type) {
	case nil:
	case []byte:
		a.body = b
	default:
		if a.body, err = json.Marshal(b); err != nil {
			return attempt{}, input(c.Op, "the record has no form in JSON: %v", err)
		}
	}
	if a.contentType == "" && c.Body != nil {
		a.contentType = "application/json"
	}
	return a, nil
}

// final is the error of a call from what the retry loop gave up with.
func final(op string, gave error, made int) error {
	last, ok := errors.AsType[*Error](gave)
	if !ok {
		return &Error{Op: op, Attempts: made, Known: outcome.Of(gave), Err: gave}
	}
	e := *last
	e.Op, e.Attempts = op, made
	if r, ok := gave.(*retry.Error); ok {
		e.Known, e.At, e.Reason = r.Known, r.At, r.Reason
	}
	return &e
}

// once makes one attempt, and a second one with a new token if the org says
// that the session is over: it has refused the first, so nothing is repeated.
func (o *Org) once(ctx context.Context, a attempt, out any) error {
	if !o.limits.allow(o.o.Reserve) {
		return &Error{Known: outcome.NotSent, Err: ErrReserve}
	}
	g, err := o.session.token(ctx, o, nil)
	if err != nil {
		return o.refuse(a.op, err)
	}
	e := o.send(ctx, a.with(g), out)
	if e == nil {
		return nil
	}
	if !e.session {
		return e
	}
	if g, err = o.session.token(ctx, o, g); err != nil {
		return o.refuse(a.op, err)
	}
	if e = o.send(ctx, a.with(g), out); e == nil {
		return nil
	}
	if e.session {
		e.Err = ErrCredentials
	}
	return e
}

// refuse is a failed login as the error of the call that needed it. A copy:
// all who waited for the login share the original.
func (o *Org) refuse(op string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return &Error{Op: op, Known: outcome.NotSent, Err: err}
	}
	c := *e
	c.Op, c.Known = op, outcome.NotSent
	if c.Message != "" {
		c.Message = "login: " + c.Message
	}
	return &c
}

// An attempt is one HTTP request.
type attempt struct {
	op          string
	method      string
	url         *url.URL // absolute once a token is there
	accept      string
	contentType string
	body        []byte
	bearer      string
	secrets     []string // what no error may hold
	timeout     time.Duration
}

func (a attempt) with(g *grant) attempt {
	a.url, a.bearer, a.secrets = g.base.ResolveReference(a.url), g.access, []string{g.access}
	return a
}

// send makes an attempt and reads the answer.
func (o *Org) send(ctx context.Context, a attempt, out any) *Error {
	limit := a.timeout
	if limit == 0 {
		limit = o.o.Timeout
	}
	actx := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		actx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	var body io.Reader
	if a.body != nil {
		body = bytes.NewReader(a.body)
	}
	r, err := http.NewRequestWithContext(actx, a.method, a.url.String(), body)
	if err != nil {
		return input(a.op, "the request cannot be made")
	}
	if _, stream := out.(func(io.Reader) error); stream {
		a.accept = "text/csv, " + a.accept + ";q=0.9" // lists of results; complaints are JSON all the same
	}
	r.Header.Set("Accept", a.accept)
	if a.contentType != "" {
		r.Header.Set("Content-Type", a.contentType)
	}
	if a.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+a.bearer)
	}
	resp, err := o.client.Do(r)
	if err != nil {
		return lost(ctx, err, a.secrets)
	}
	defer resp.Body.Close()
	o.limits.note(resp.Header)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return o.complaint(resp, a)
	}
	return o.read(ctx, resp, out)
}

// lost is an attempt that got no answer.
func lost(ctx context.Context, err error, secrets []string) *Error {
	e := &Error{Known: outcome.Of(err), transient: true, Err: err}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		e.Err = ue.Err // its text names the URL, and with it what a query looks for
	}
	if in, ok := errors.AsType[*requestreply.Error](err); ok {
		e.Err = in.Err
		if e.Err == nil {
			e.Err = in.Reason
		}
		if t, said := outcome.Transient(e.Err); said {
			e.transient = t
		}
	}
	if text := e.Err.Error(); text != said(text, maxMessage, secrets...) {
		e.Err = &tamed{said(text, maxMessage, secrets...), e.Err}
	}
	switch {
	case ctx.Err() != nil:
		e.Err, e.transient = context.Cause(ctx), false
	case e.Known == outcome.NotSent:
		e.Err = errors.Join(ErrUnreachable, e.Err)
	}
	return e
}

// tamed is an error of the network without what must not be in its text: that
// of net/http quotes an answer that is no HTTP.
type tamed struct {
	text string
	err  error
}

func (t *tamed) Error() string { return t.text }
func (t *tamed) Unwrap() error { return t.err }

// read takes the answer of a success. An answer that cannot be read is one all
// the same: the call was applied.
func (o *Org) read(ctx context.Context, resp *http.Response, out any) *Error {
	fail := func(err error, transient bool) *Error {
		if ctx.Err() != nil {
			err, transient = context.Cause(ctx), false
		}
		return &Error{Status: resp.StatusCode, Known: outcome.Applied, Err: err, transient: transient}
	}
	page := func() *Error {
		e := fail(ErrNotSalesforce, false)
		e.Known = outcome.Unknown // who answered did not know what it answered to
		return e
	}
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if out == nil {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if html(resp.Header, b) {
			return page()
		}
		return nil
	}
	body := &watched{r: resp.Body}
	if html(resp.Header, nil) {
		return page()
	}
	if fn, ok := out.(func(io.Reader) error); ok {
		if err := fn(body); err != nil {
			t, said := outcome.Transient(err)
			return fail(err, body.failed && (t || !said) || t)
		}
		return nil
	}
	b, err := o.all(body)
	if err != nil {
		return fail(err, !errors.Is(err, ErrTooLarge))
	}
	if html(resp.Header, b) {
		return page()
	}
	if err := json.Unmarshal(b, out); err != nil {
		// The text of a JSON error may quote a record.
		return fail(errors.New("the answer is not the JSON that was expected"), !json.Valid(b))
	}
	return nil
}

// watched notes that a body could not be read to its end.
type watched struct {
	r      io.Reader
	failed bool
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if err != nil && err != io.EOF {
		w.failed = true
	}
	return n, err
}

func (o *Org) all(r io.Reader) ([]byte, error) {
	if o.o.MaxBody < 0 {
		return io.ReadAll(r)
	}
	b, err := io.ReadAll(io.LimitReader(r, o.o.MaxBody+1))
	if err == nil && int64(len(b)) > o.o.MaxBody {
		return nil, ErrTooLarge
	}
	return b, err
}

// html says whether a body is a page for people.
func html(h http.Header, body []byte) bool {
	return strings.Contains(h.Get("Content-Type"), "html") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

func redact(s string, secrets []string) string {
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			s = strings.ReplaceAll(s, form, "(secret)")
		}
	}
	return s
}
