package soap

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/crosstie/crosstie/internal/id"
	"github.com/crosstie/crosstie/internal/redirect"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// An Endpoint is one operation of a SOAP 1.1 service, document/literal: the
// element in the Body is a Req, that of the answer a Resp. Both are structs
// for encoding/xml whose XMLName names the element:
//
//	type Login struct {
//		XMLName  xml.Name `xml:"urn:partner.soap.sforce.com login"`
//		Username string   `xml:"username"`
//		Password string   `xml:"password"`
//	}
//
// As Req, struct{} is an empty Body; as Resp it says that no answer is wanted,
// so that an empty one (one-way operations) and any envelope will do.
//
// An Endpoint is a stateless value, like that of requestreply: make it where
// you need it. It may be copied and its Call used concurrently.
type Endpoint[Req, Resp any] struct {
	// URL is absolute, http or https.
	URL string
	// Action is what the SOAPAction header says, without its quotes. Empty
	// means that the URL says it all.
	Action string
	// Blocks are the entries of the Header, in their order.
	Blocks []Block
	// Understands names the blocks of an answer that the caller reads with
	// [Reply.Block], so that the answer may say that they must be understood.
	// One that must be and is not here is ErrMustUnderstand.
	Understands []xml.Name
	// Unqualified says that elements whose tag has no namespace are in none,
	// which XML Schema calls elementFormDefault="unqualified" and services
	// written in Java often are. By default they are in the namespace of the
	// element around them. Answers are read either way.
	Unqualified bool
	// Idempotent says that the operation may happen twice without harm. By
	// default it may not, since each SOAP message is a POST.
	Idempotent bool
	// Keyed says that the service honours the Idempotency-Key header. Calls
	// then carry the key of their context (requestreply.WithIdempotencyKey), or
	// one made for the call, and are repeated under it. Error.Key tells which.
	Keyed bool
	// Confirm settles a call that failed and may have had its effect, by asking
	// the service for the key: see requestreply.Op. The key is the one the calls
	// carried, or that of their context, which may travel in the message. Nil
	// leaves it unknown.
	Confirm func(ctx context.Context, key string) (outcome.Outcome, error)
	// Judge says what a Fault says of the effect, and whether the cause passes
	// by itself. Nil means that the Fault's Known decides, else its Code, else
	// the status; see the package comment. Give one where "Server" means that
	// the business said no, or where the codes are the service's own.
	Judge func(*Fault) (known outcome.Outcome, transient bool)
	// Client makes the attempts. Nil means a client on http.DefaultTransport
	// that follows no redirect; one of yours follows them with the message and its
	// blocks, unless its CheckRedirect (requestreply.CheckRedirect, for one)
	// forbids it. When its Transport is a
	// [*requestreply.Transport], the Base of that makes the attempts and its
	// Guard protects the call, unless Guard is set: only who reads the envelope
	// can tell a fault from a server that failed.
	Client *http.Client
	// Guard protects the call; the target is the host of the URL. Nil means
	// default limits and nothing shared.
	Guard *requestreply.Guard
	// Limits bound the answer. A longer one than Limits.Bytes is
	// requestreply.ErrTooLarge.
	Limits Limits
	// Header is added to the HTTP requests. It is not changed.
	Header http.Header
}

// A Reply is an answer with what came around it.
type Reply[T any] struct {
	// Value is the decoded answer.
	Value T
	// Status is the HTTP status.
	Status int
	// Header is that of the HTTP response.
	Header http.Header

	blocks []element
}

// Block reads the entry of the answer's Header that v, a pointer to a struct,
// is named for by its XMLName, and returns false if there is none. An error is
// a [*MessageError], or says what is wrong with the type of v.
func (r Reply[T]) Block(v any) (bool, error) { return find(r.blocks, v, false) }

// Call sends req in an envelope and decodes the answer, repeating as
// requestreply.Run does. What is wrong with the answer of a 2xx leaves the
// outcome Applied, and is found as a [*MessageError] where it is the message.
//
// An answer that is a Fault is an error, found as a [*Fault]; so is any status
// that is no 2xx, with the outcome the table of package outcome gives it.
// Every error is a [*requestreply.Error].
func (e Endpoint[Req, Resp]) Call(ctx context.Context, req Req) (Resp, error) {
	r, err := e.Reply(ctx, req)
	return r.Value, err
}

// Reply does what [Endpoint.Call] does, and returns the answer with its status,
// header and blocks. Beside an error, they are those of the last attempt's
// answer, if there was one.
func (e Endpoint[Req, Resp]) Reply(ctx context.Context, req Req) (Reply[Resp], error) {
	var r Reply[Resp]
	p, err := e.plan(ctx, req)
	if err != nil {
		return r, &requestreply.Error{
			Op: p.name, Known: outcome.NotSent, Reason: outcome.TransientError(outcome.NotSent, false, err),
		}
	}
	if p.key != "" { // for Confirm too
		ctx = requestreply.WithIdempotencyKey(ctx, p.key)
	}
	op := requestreply.Op{Target: p.url.Host, Idempotent: e.Idempotent || e.Keyed, Confirm: e.Confirm}
	r, err = requestreply.Run(ctx, p.guard, op, func(ctx context.Context) (Reply[Resp], error) {
		p.answer = answer{}
		var v Resp
		err := p.ask(ctx, &v)
		return Reply[Resp]{v, p.status, p.header, p.blocks}, err
	})
	if err == nil {
		return r, nil
	}
	failed := err.(*requestreply.Error) //nolint:errorlint // Run says that it is one
	failed.Op = p.name
	if p.key != "" {
		failed.Key = p.key
	}
	if p.status != 0 {
		failed.Status = p.status
	}
	return r, failed
}

// A plan is a call of an endpoint without its types.
type plan struct {
	name        string
	url         *url.URL
	body        []byte
	key         string
	sends       http.Header
	client      *http.Client
	guard       *requestreply.Guard
	limits      Limits
	understands []xml.Name
	judge       func(*Fault) (outcome.Outcome, bool)
	answer
}

// An answer is what an attempt learned besides the value.
type answer struct {
	status int
	header http.Header
	blocks []element
}

func (e Endpoint[Req, Resp]) plan(ctx context.Context, req Req) (*plan, error) {
	p := &plan{
		name: "POST", limits: e.Limits.withDefaults(),
		understands: e.Understands, judge: e.Judge,
	}
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return p, errors.New("Endpoint.URL is no absolute http or https URL") // its text may hold a password
	}
	p.url = u
	p.name += " " + (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	if s := shapeOf(reflect.TypeFor[Resp]()); s.err != nil {
		return p, fmt.Errorf("the answer: %w", s.err)
	}
	if p.sends, err = requestHeader(e.Header, e.Action); err != nil {
		return p, err
	}
	if e.Keyed {
		if p.key = requestreply.IdempotencyKey(ctx); p.key == "" {
			p.key = id.New()
		}
		v, err := keyValue(p.key)
		if err != nil {
			p.key = ""
			return p, err
		}
		p.sends.Set("Idempotency-Key", v)
	}
	p.route(e.Client, e.Guard)
	body, err := writeBody(req, e.Unqualified)
	if err == nil {
		p.body, err = writeEnvelope(e.Blocks, body, e.Unqualified)
	}
	return p, err
}

// writeBody makes what stands in the Body for v.
func writeBody(v any, unqualified bool) ([]byte, error) {
	if _, none := v.(struct{}); none {
		return nil, nil
	}
	t := reflect.TypeOf(v)
	if name, _ := nameOf(t); name.Local == "" {
		return nil, fmt.Errorf("%s: %w", t, errNoName)
	}
	data, err := marshal(v, unqualified)
	if err != nil || len(data) == 0 {
		return nil, fmt.Errorf("%s cannot be written as XML", t)
	}
	return data, nil
}

func requestHeader(given http.Header, action string) (http.Header, error) {
	h := given.Clone()
	if h == nil {
		h = http.Header{}
	}
	for name, vs := range h {
		for _, v := range vs {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return nil, fmt.Errorf("the value of the header %s has a control character: perhaps a line end read with it from a file", printable(cut(name)))
			}
		}
	}
	if strings.ContainsFunc(action, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' }) {
		return nil, errors.New("Endpoint.Action is no URI: give it without quotes and spaces")
	}
	h.Set("Content-Type", contentType)
	h.Del("SOAPAction")
	h["SOAPAction"] = []string{`"` + action + `"`} // as SOAP 1.1 §6.1.1 spells it: not every server folds case
	if h.Get("Accept") == "" {
		h.Set("Accept", "text/xml")
	}
	return h, nil
}

const contentType = "text/xml; charset=utf-8"

// keyValue writes key as package requestreply does: a string of RFC 8941 §3.3.3.
func keyValue(key string) (string, error) {
	if len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return "", errors.New("an idempotency key has 1 to 255 printable ASCII characters")
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`, nil
}

// once serves the attempts: the guard of the call is around it, and a second
// one inside would multiply them. What is left of the Transport is that it
// tells what was sent, and keeps net/http from repeating by itself.
var once = requestreply.NewGuard(&requestreply.Options{
	Timeout: -1, TryTimeout: -1, MaxInFlight: -1, MaxTargets: -1,
	Retry:   retry.Policy{MaxAttempts: 1},
	Breaker: requestreply.Breaker{Disabled: true},
})

// direct serves endpoints without a client of their own.
var direct = unredirected(&requestreply.Transport{Guard: once})

func unredirected(t http.RoundTripper) *http.Client {
	c := &http.Client{Transport: t}
	redirect.Refuse(c)
	return c
}

// route finds who makes the attempts and who protects the call.
func (p *plan) route(client *http.Client, guard *requestreply.Guard) {
	p.guard, p.client = guard, direct
	if client == nil {
		return
	}
	c := *client
	if t, ok := c.Transport.(*requestreply.Transport); ok {
		c.Transport = t.Base
		if p.guard == nil {
			p.guard = t.Guard
		}
	}
	c.Transport = &requestreply.Transport{Base: c.Transport, Guard: once}
	p.client = &c
}
