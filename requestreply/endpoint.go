package requestreply

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/crosstie/crosstie/internal/id"
	"github.com/crosstie/crosstie/outcome"
)

// An Endpoint is one operation of a JSON API: the request is a Req, the answer
// a Resp. It is a stateless value; make it where you need it, with the URL
// given whole:
//
//	stock := requestreply.Endpoint[struct{}, Stock]{
//		Method: "GET", URL: base + "/stock/" + url.PathEscape(sku), Guard: guard,
//	}
//	s, err := stock.Call(ctx, struct{}{})
//
// An Endpoint may be copied and its Call used concurrently.
type Endpoint[Req, Resp any] struct {
	// Method defaults to POST. The requests of GET, HEAD and DELETE have no
	// body: their Req is not sent.
	Method string
	// URL is absolute, http or https.
	URL string
	// Idempotent says that the operation may happen twice without harm. GET,
	// HEAD, OPTIONS, TRACE, PUT and DELETE are taken to be so anyway.
	Idempotent bool
	// Keyed says that the endpoint honours the Idempotency-Key header. Calls
	// then carry the key of their context ([WithIdempotencyKey]), or one made
	// for the call, and are repeated under it. Error.Key tells which.
	Keyed bool
	// Client makes the attempts. Nil means a client on http.DefaultTransport
	// that follows no redirect. When its Transport is a [*Transport] and
	// Guard is nil, that one's guard alone protects the call, as Idempotent
	// and Keyed say of the host of URL; the host need not be in KeyHosts.
	Client *http.Client
	// Guard protects the call; the target is the host of the URL. Nil means
	// default limits and nothing shared.
	Guard *Guard
	// MaxBody limits the answer, in bytes after decompression; a longer one
	// is ErrTooLarge. Defaults to 1 MiB; a negative value means no limit.
	MaxBody int64
	// Header is added to the requests. It is not changed.
	Header http.Header
}

const defaultMaxBody = 1 << 20

// noRedirects serves endpoints without a client of their own. A redirect
// would take the headers, and with 307 and 308 the body, elsewhere.
var noRedirects = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Call sends req as JSON and decodes the answer, repeating as [Run] does. A
// 2xx answer must be JSON in UTF-8 and nothing after it; 204, 205, a 2xx
// without a body when Resp is struct{}, and answers to HEAD decode to the zero
// Resp. What is wrong with a 2xx answer leaves the outcome Applied.
//
// Any other status is an error with the outcome the table of package outcome
// gives it, or the one the server states; an application/problem+json body is
// found as a [*Problem]. Every error is an [*Error].
func (e Endpoint[Req, Resp]) Call(ctx context.Context, req Req) (Resp, error) {
	var zero Resp
	p, err := e.plan(ctx)
	if err == nil && p.sends {
		p.body, err = json.Marshal(req)
	}
	if err != nil {
		p.call.harmless = true
		return zero, p.call.refused(outcome.TransientError(outcome.NotSent, false, err))
	}
	return run(ctx, &p.call, p.op, func(ctx context.Context) (Resp, error) {
		var v Resp
		err := p.attempt(ctx, &v)
		return v, err
	})
}

// A plan is a call of an endpoint without its types.
type plan struct {
	call    call
	op      Op
	method  string
	url     *url.URL
	header  http.Header
	client  *http.Client
	maxBody int64
	sends   bool
	body    []byte
	guarded bool // the client's transport repeats by itself
}

func (e Endpoint[Req, Resp]) plan(ctx context.Context) (plan, error) {
	p := plan{
		method: orText(e.Method, http.MethodPost), header: e.Header.Clone(),
		client: e.Client, maxBody: e.MaxBody,
		call: call{g: e.Guard},
	}
	if p.client == nil {
		p.client = noRedirects
	}
	_, p.guarded = p.client.Transport.(*Transport)
	if p.call.g == nil {
		p.call.g = bare
		if p.guarded {
			p.call.g = once
		}
	}
	if p.maxBody == 0 {
		p.maxBody = defaultMaxBody
	}
	if p.header == nil {
		p.header = http.Header{}
	}
	p.call.name = p.method
	if name := badHeader(p.header); name != "" {
		return p, fmt.Errorf("Endpoint.Header: the value of %s has a control character: perhaps a line end read with it from a file", name)
	}
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return p, errors.New("Endpoint.URL is no absolute http or https URL") // its text may hold a password
	}
	p.url = u
	p.call.name += " " + safeURL(e.URL)
	p.op = Op{Target: u.Host, Idempotent: e.Idempotent || idempotent(p.method)}
	switch p.method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
	default:
		p.sends = true
		setDefault(p.header, "Content-Type", "application/json")
	}
	setDefault(p.header, "Accept", "application/json, application/problem+json")
	if e.Keyed {
		return p, p.key(ctx)
	}
	return p, nil
}

func (p *plan) key(ctx context.Context) error {
	if p.call.key = IdempotencyKey(ctx); p.call.key == "" {
		p.call.key = id.New()
	}
	v, err := keyValue(p.call.key)
	if err != nil {
		return err
	}
	p.header.Set(keyHeader, v)
	p.op.Idempotent = true
	return nil
}

// badHeader names a field that net/http would refuse. It does so before it
// asks for a connection, but its error does not show that.
func badHeader(h http.Header) string {
	for name, vs := range h {
		for _, v := range vs {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return printable(cut(name))
			}
		}
	}
	return ""
}

func setDefault(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}

// attempt makes one attempt, of which a Transport may make several, and
// decodes its answer into v.
func (p *plan) attempt(ctx context.Context, v any) error {
	if !p.guarded {
		return p.ask(ctx, v)
	}
	w := &within{host: p.op.Target, idempotent: p.op.Idempotent, known: outcome.NotSent}
	if err := p.ask(context.WithValue(ctx, withinOf{}, w), v); err != nil {
		return &throughTransport{err, w}
	}
	return nil
}

func (p *plan) ask(ctx context.Context, v any) error {
	var body io.Reader
	if p.sends {
		body = bytes.NewReader(p.body)
	}
	r, err := http.NewRequestWithContext(ctx, p.method, p.url.String(), body)
	if err != nil {
		return outcome.TransientError(outcome.NotSent, false, errors.New("the method or URL is not valid"))
	}
	if p.guarded {
		r.Header = p.header // whoever repeats it makes it outgoing
	} else {
		r = outgoing(ctx, r, p.header, r.Body)
	}
	resp, err := exchange(r, p.client.Do)
	if err != nil {
		return err
	}
	defer func() {
		// Its connection is used again only if nothing is left unread.
		_, _ = io.CopyN(io.Discard, resp.Body, drained)
		_ = resp.Body.Close()
	}()
	if err := ofStatus(resp, nil); err != nil {
		return ofStatus(resp, problem(resp))
	}
	if resp.StatusCode == http.StatusNotModified {
		return &statusError{status: resp.StatusCode, known: outcome.Applied}
	}
	return p.decode(resp, v)
}

// decode reads the answer of a 2xx: the effect has happened, whatever is
// wrong with it now.
func (p *plan) decode(resp *http.Response, v any) error {
	if p.method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusResetContent {
		return nil
	}
	from := io.Reader(resp.Body)
	if p.maxBody > 0 {
		from = io.LimitReader(resp.Body, p.maxBody+1)
	}
	data, err := io.ReadAll(from)
	switch {
	case err != nil:
		return outcome.TransientError(outcome.Applied, true, fmt.Errorf("status %d, its body broke off: %w", resp.StatusCode, err))
	case p.maxBody > 0 && int64(len(data)) > p.maxBody:
		return outcome.TransientError(outcome.Applied, false, fmt.Errorf("status %d: %w", resp.StatusCode, ErrTooLarge))
	}
	if _, none := v.(*struct{}); none && len(data) == 0 {
		return nil
	}
	if len(data) == 0 {
		return outcome.TransientError(outcome.Applied, false, fmt.Errorf("status %d: %w", resp.StatusCode, errEmpty))
	}
	if err := isJSON(resp.Header.Get("Content-Type")); err != nil {
		return outcome.TransientError(outcome.Applied, false, fmt.Errorf("status %d: %w", resp.StatusCode, err))
	}
	if !utf8.Valid(data) { // encoding/json would replace what is not
		return outcome.TransientError(outcome.Applied, false, fmt.Errorf("status %d: %w", resp.StatusCode, errNotUTF8))
	}
	if err := json.Unmarshal(data, v); err != nil {
		return outcome.TransientError(outcome.Applied, false, fmt.Errorf("status %d: the answer does not decode: %w", resp.StatusCode, decodeError(err)))
	}
	return nil
}

var (
	errNotUTF8 = errors.New("the answer is not in UTF-8")
	errEmpty   = errors.New("the answer is empty: where none is wanted, make Resp an empty struct")
)

// isJSON accepts application/json and any type of the +json suffix, in UTF-8.
func isJSON(contentType string) error {
	mt, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return errors.New("the answer names no content type that can be read; want application/json")
	}
	if mt != "application/json" && !strings.HasSuffix(mt, "+json") {
		return fmt.Errorf("the answer is %s; want application/json", printable(cut(mt)))
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") {
		return errNotUTF8
	}
	return nil
}

// decodeError keeps of a JSON error what is ours: the place, not the value.
func decodeError(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("field %q at byte %d does not fit %s", cut(t.Field), t.Offset, t.Type)
	}
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not JSON at byte %d", s.Offset)
	}
	return errors.New("its decoder refused it")
}
