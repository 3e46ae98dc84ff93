package soap

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"github.com/crosstie/crosstie/outcome"
)

// A Mux serves the operations of a SOAP 1.1 service at one URL, as an
// http.Handler. Make it with [NewMux] and add operations with [Handle], all
// before it serves. It is safe for concurrent use then.
type Mux struct {
	o   Options
	ops map[xml.Name]operation
}

// An operation answers the element that d is ready to read, which it decodes
// at once, and returns what is left to do. The answer of that is what stands
// in the Body, nil for none.
type operation struct {
	action  string
	in, out reflect.Type
	read    func(d *decoding, t xml.StartElement) (func(context.Context) (any, error), error)
	oneWay  bool
}

// NewMux returns a Mux without operations. o may be nil.
func NewMux(o *Options) *Mux {
	return &Mux{o: o.withDefaults(), ops: map[xml.Name]operation{}}
}

// Handle serves the requests whose Body holds the element of Req with fn, and
// answers with its Resp. Both are as [Endpoint] describes them. struct{} as Req
// is an empty Body; as Resp it makes a one-way operation, which is answered 202
// without an envelope when fn has returned.
//
// The element alone decides which operation is meant. A SOAPAction that is
// not empty must be action, so that nobody between reads another request than
// we do; an empty action takes any.
//
// An error of fn is answered as a fault. To choose it, return a [*Fault];
// retry.After adds a Retry-After to it. Else it is a Server fault without the
// text of the error, which goes to the Logger only, and with what the error says
// of the effect. So does a Fault that another service answered fn with: it is
// found in a [*requestreply.Error], and passing it on takes a Fault of fn's own.
//
// A panic of fn is answered as a Server fault with the outcome unknown, and
// logged; without a Logger it goes on to net/http, which logs it and breaks
// the connection. A repeated request runs fn again: where that matters, wrap
// the Mux in server.Idempotent, or make fn's effect idempotent by an id in the
// message.
//
// Handle panics if fn is nil, if Req or Resp is no struct with an XMLName, or
// if the element has an operation already.
func Handle[Req, Resp any](m *Mux, action string, fn func(context.Context, Req) (Resp, error)) {
	in, out := shapeOf(reflect.TypeFor[Req]()), shapeOf(reflect.TypeFor[Resp]())
	switch err := errors.Join(in.err, out.err); {
	case fn == nil:
		panic("requestreply/soap: Handle needs a function")
	case err != nil:
		panic("requestreply/soap: Handle: " + err.Error())
	}
	if _, taken := m.ops[in.name]; taken {
		panic("requestreply/soap: Handle: two operations for the element " + writeName(in.name))
	}
	m.ops[in.name] = operation{
		action: action,
		in:     reflect.TypeFor[Req](),
		out:    reflect.TypeFor[Resp](),
		oneWay: out.name.Local == "",
		read: func(d *decoding, t xml.StartElement) (func(context.Context) (any, error), error) {
			var req Req
			if d != nil {
				if err := d.into(&req, t); err != nil {
					return nil, err
				}
			}
			return func(ctx context.Context) (any, error) { return fn(ctx, req) }, nil
		},
	}
}

type requestOf struct{}

// A request is what a function can ask for by its context.
type request struct {
	http   *http.Request
	blocks []element
	strict bool
}

// Request returns the HTTP request a function served by a [Mux] answers, for
// its header and TLS state; its body is consumed. Nil outside.
func Request(ctx context.Context) *http.Request {
	r, ok := ctx.Value(requestOf{}).(*request)
	if !ok {
		return nil
	}
	return r.http
}

// ReadBlock reads the entry of the request's Header that v, a pointer to a
// struct, is named for by its XMLName, in a function served by a [Mux]. It
// returns false if there is none. An error is a [*Fault] for the caller to be
// answered with, or says what is wrong with the type of v.
func ReadBlock(ctx context.Context, v any) (bool, error) {
	r, ok := ctx.Value(requestOf{}).(*request)
	if !ok {
		return false, nil
	}
	found, err := find(r.blocks, v, r.strict)
	if e, ok := errors.AsType[*MessageError](err); ok {
		e.Place = "/Envelope/Header" + e.Place
		err = faultOf(e)
	}
	return found, err
}

// ServeHTTP implements [http.Handler].
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.o.Observer == nil {
		_ = m.serve(w, r)
		return
	}
	const op = "requestreply/soap.request"
	attr := slog.String("route", r.Pattern)
	ctx := m.o.Observer.Start(r.Context(), op, attr)
	err := errors.New("panicked")
	defer func() { m.o.Observer.End(ctx, op, err, attr) }()
	err = m.serve(w, r.WithContext(ctx))
}

func (m *Mux) serve(w http.ResponseWriter, r *http.Request) error {
	if err := refuse(w, r); err != nil {
		return err
	}
	data, err := m.body(w, r)
	if err != nil {
		return m.fail(w, r, err)
	}
	asked := &request{http: r, strict: !m.o.AllowUnknown}
	var op operation
	var do func(context.Context) (any, error)
	e, err := readEnvelope(data, m.o.Limits, asked.strict, func(e *envelope, d *decoding, t xml.StartElement) (err error) {
		if err = e.understood(m.o.Understands); err != nil {
			return err
		}
		if op, err = m.find(t, r); err == nil {
			do, err = op.read(d, t)
		}
		return err
	})
	if err == nil && e.fault != nil {
		err = &MessageError{Place: "/Envelope/Body/Fault", What: "a request is no fault"}
	}
	if err != nil {
		return m.fail(w, r, err)
	}
	asked.blocks = e.blocks
	ctx := context.WithValue(r.Context(), requestOf{}, asked)
	if m.o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.o.Timeout)
		defer cancel()
	}
	resp, err := m.run(ctx, do)
	if err != nil {
		return m.fail(w, r, err)
	}
	if op.oneWay {
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	body, err := writeBody(resp, m.o.Unqualified)
	if err != nil {
		return m.fail(w, r, outcome.Error(outcome.Applied, err))
	}
	return send(w, http.StatusOK, body)
}

// refuse answers what is no SOAP message, and so is answered with none (WS-I
// Basic Profile 1.1, R1113 to R1115).
func refuse(w http.ResponseWriter, r *http.Request) error {
	mt, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, given := params["charset"]
	status, why := 0, ""
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		status, why = http.StatusMethodNotAllowed, "want POST: this is a SOAP 1.1 service"
	case err != nil || mt != "text/xml":
		status, why = http.StatusUnsupportedMediaType, "want text/xml: this is a SOAP 1.1 service"
	case given && !strings.EqualFold(charset, "utf-8") && !isASCII(charset):
		status, why = http.StatusUnsupportedMediaType, "want text/xml in UTF-8"
	case r.Header.Get("Content-Encoding") != "":
		status, why = http.StatusUnsupportedMediaType, "want text/xml that is not compressed"
	default:
		return nil
	}
	http.Error(w, why, status)
	return errors.New(why)
}

func (m *Mux) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	from := r.Body
	if m.o.Limits.Bytes > 0 {
		from = http.MaxBytesReader(w, r.Body, m.o.Limits.Bytes)
	}
	data, err := io.ReadAll(from)
	if err == nil {
		return data, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &MessageError{Offset: m.o.Limits.Bytes, What: fmt.Sprintf("longer than %d bytes", m.o.Limits.Bytes), Err: ErrLimit}
	}
	return nil, &MessageError{Offset: int64(len(data)), What: "the message broke off"}
}

// find returns the operation for the element in the Body.
func (m *Mux) find(t xml.StartElement, r *http.Request) (operation, error) {
	op, ok := m.ops[t.Name]
	if !ok {
		return op, &MessageError{Place: "/Envelope/Body", What: "no operation has this element"}
	}
	if len(r.Header["Soapaction"]) > 1 {
		return op, &Fault{Code: codeClient, Text: "want one SOAPAction", Known: outcome.Refused.String()}
	}
	action := strings.Trim(strings.TrimSpace(r.Header.Get("SOAPAction")), `"`)
	if action != "" && op.action != "" && action != op.action {
		return op, &Fault{Code: codeClient, Text: "the SOAPAction is another operation's than the element in the Body", Known: outcome.Refused.String()}
	}
	return op, nil
}

func send(w http.ResponseWriter, status int, body []byte) error {
	message, err := writeEnvelope(nil, body, false)
	if err != nil { // only blocks can fail
		return err
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(message)
	return nil
}
