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
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/crosstie/crosstie/internal/id"
	"github.com/crosstie/crosstie/internal/redirect"
	"github.com/crosstie/crosstie/internal/strictjson"
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
	// Confirm settles a call that failed and may have had its effect: see
	// Op.Confirm. Its key is the one the calls carried, or that of their context,
	// for an operation that takes the key as a part of its request. Nil asks
	// nobody.
	Confirm func(ctx context.Context, key string) (outcome.Outcome, error)
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
	// Strict refuses an answer that two readers could read in two ways: with a
	// name twice in an object, with one that differs from the type's in case, or
	// nested more than 64 deep. By default the rules of encoding/json hold: the
	// last wins, and the case does not matter.
	Strict bool
	// NoUnknown refuses an answer with a name the type does not have, and is
	// Strict. By default such names are skipped, since servers add some.
	NoUnknown bool
	// Header is added to the requests. It is not changed.
	Header http.Header
	// TellTime tells the other side how long each attempt is waited for
	// ([TimeLeftHeader]), so that it need not work for nobody. By default it is
	// told nothing.
	TellTime bool
	// IfMatch is the version the call is meant for, an entity tag as
	// [Reply.ETag] returns it, or "*" for any: when the other side has another
	// one, it refuses with ErrPrecondition and nothing is lost. It does not
	// make the operation idempotent. A weak tag matches nothing where RFC 9110
	// §13.1.1 is kept, and is sent all the same: FHIR servers, for one, take
	// them. Empty means no condition.
	IfMatch string
	// IfNoneMatch is the version you have: when it is the current one, the
	// answer to GET or HEAD is ErrNotModified. With PUT, "*" means that there
	// must be none, so that only the first creates. Tags are sent as they are.
	// Empty means no condition.
	IfNoneMatch string
}

const defaultMaxBody = 1 << 20

// stalled are the copies of http.DefaultTransport for endpoints without a
// client of their own.
var stalled copies

// Call sends req as JSON and decodes the answer, repeating as [Run] does. A
// 2xx answer must be JSON in UTF-8 and nothing after it; 204, 205, a 2xx
// without a body when Resp is struct{}, and answers to HEAD decode to the zero
// Resp. What is wrong with a 2xx answer leaves the outcome Applied.
//
// Any other status is an error with the outcome the table of package outcome
// gives it, or the one the server states; an application/problem+json body is
// found as a [*Problem]. 304 is ErrNotModified, 412 is ErrPrecondition. Every
// error is an [*Error].
func (e Endpoint[Req, Resp]) Call(ctx context.Context, req Req) (Resp, error) {
	r, _, err := e.reply(ctx, req)
	return r.Value, err
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
	upload  *Upload
	guarded bool // the client's transport repeats by itself
	tell    bool
	strict  bool
	known   bool // names only
}

func (e Endpoint[Req, Resp]) plan(ctx context.Context) (plan, error) {
	p := plan{
		method: orText(e.Method, http.MethodPost), header: e.Header.Clone(),
		client: e.Client, maxBody: e.MaxBody, tell: e.TellTime,
		strict: e.Strict || e.NoUnknown, known: e.NoUnknown,
		call: call{g: e.Guard},
	}
	if p.client != nil {
		_, p.guarded = p.client.Transport.(*Transport)
	}
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
	p.conditions(e.IfMatch, e.IfNoneMatch)
	p.call.name = p.method
	if name := badHeader(p.header); name != "" {
		return p, fmt.Errorf("Endpoint: the value of the header %s has a control character: perhaps a line end read with it from a file", name)
	}
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return p, errors.New("Endpoint.URL is no absolute http or https URL") // its text may hold a password
	}
	p.url = u
	p.call.name += " " + safeURL(e.URL)
	p.op = Op{Target: u.Host, Idempotent: e.Idempotent || idempotent(p.method), Confirm: e.Confirm}
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
func (p *plan) attempt(ctx context.Context, v any, a *answer) error {
	if !p.guarded {
		return p.ask(ctx, v, a)
	}
	w := &within{host: p.op.Target, idempotent: p.op.Idempotent, tell: p.tell, known: outcome.NotSent}
	if err := p.ask(context.WithValue(ctx, withinOf{}, w), v, a); err != nil {
		return &throughTransport{err, w}
	}
	return nil
}

// request makes the request of one attempt.
func (p *plan) request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if p.sends {
		body = bytes.NewReader(p.body)
	}
	if p.upload != nil {
		opened, err := p.upload.open()
		if err != nil {
			return nil, err
		}
		body = opened
	}
	r, err := http.NewRequestWithContext(ctx, p.method, p.url.String(), body)
	if err != nil {
		if c, ok := body.(io.Closer); ok {
			_ = c.Close()
		}
		return nil, outcome.TransientError(outcome.NotSent, false, errors.New("the method or URL is not valid"))
	}
	if p.upload != nil {
		r.GetBody, r.ContentLength = p.upload.open, p.upload.length()
	}
	return r, nil
}

func (p *plan) ask(ctx context.Context, v any, a *answer) error {
	r, err := p.request(ctx)
	if err != nil {
		return err
	}
	switch header := p.header; {
	case p.guarded:
		r.Header = header // whoever repeats it makes it outgoing
	case p.tell:
		outgoing(r, withTimeLeft(ctx, header), r.Body)
	default:
		outgoing(r, header, r.Body)
	}
	client := p.client
	var via *visit
	if client == nil {
		client = &http.Client{}
		if tr, ok := http.DefaultTransport.(*http.Transport); ok {
			via = stalled.visit(new(visit), tr, r, p.call.g.quiet())
			defer via.leave(ctx)
			client.Transport = via
		}
		// A redirect would take the headers, and with 307 and 308 the body,
		// elsewhere.
		redirect.Refuse(client)
	}
	resp, err := exchange(r, client.Do, via)
	if err != nil {
		return err
	}
	if via != nil {
		resp.Body = heeded{resp.Body, via}
	}
	defer func() {
		// Its connection is used again only if nothing is left unread.
		_, _ = io.CopyN(io.Discard, resp.Body, drained)
		_ = resp.Body.Close()
	}()
	a.status, a.header, a.url = resp.StatusCode, resp.Header, p.url
	if resp.Request != nil { // a RoundTripper of somebody's may leave it out
		a.url = resp.Request.URL
	}
	if q := p.call.g.o.Quota; q != nil && a.url.Host == p.op.Target { // no redirect led elsewhere
		q.Saw(ctx, p.op.Target, resp.StatusCode, resp.Header)
	}
	if err := ofStatus(resp, nil); err != nil {
		return ofStatus(resp, problem(resp))
	}
	if resp.StatusCode == http.StatusNotModified {
		return nil // reply makes it an error
	}
	return p.decode(resp, v, a)
}

// decode reads the answer of a 2xx: the effect has happened, whatever is
// wrong with it now.
func (p *plan) decode(resp *http.Response, v any, a *answer) error {
	if p.method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusResetContent {
		return nil
	}
	from := io.Reader(resp.Body)
	if p.maxBody > 0 {
		from = io.LimitReader(resp.Body, p.maxBody+1)
	}
	data, err := io.ReadAll(from)
	a.size = int64(len(data))
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
	if p.strict {
		err = strictjson.Check(data, reflect.TypeOf(v).Elem(), strictjson.Rules{AllowUnknown: !p.known})
	}
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
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
	if f, ok := errors.AsType[*strictjson.Fault](err); ok {
		return errors.New(printable("field " + cut(f.Pointer) + ": " + f.What))
	}
	if err == strictjson.ErrGoesOn {
		return err
	}
	return errors.New("its decoder refused it")
}
