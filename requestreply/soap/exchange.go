package soap

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// drained is how much of an answer that nobody reads is read, so that its
// connection is used again.
const drained = 64 << 10

// ask makes one attempt and decodes its answer into v.
func (p *plan) ask(ctx context.Context, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url.String(), bytes.NewReader(p.body))
	if err != nil {
		return outcome.TransientError(outcome.NotSent, false, errors.New("the URL is not valid"))
	}
	r.Header = p.sends.Clone()
	resp, err := p.client.Do(r)
	if err != nil {
		return unsent(err)
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, resp.Body, drained)
		_ = resp.Body.Close()
	}()
	p.status, p.header = resp.StatusCode, resp.Header
	return p.read(resp, v)
}

// unsent takes the error of an attempt, which says what is known of it, out of
// what was put around it.
func unsent(err error) error {
	if in, ok := errors.AsType[*requestreply.Error](err); ok {
		if in.Err == nil {
			return in.Reason
		}
		return in.Err
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err // its text names the URL with its query
	}
	return err
}

// A statusError is a response that is no success and no Fault.
type statusError struct {
	status    int
	known     outcome.Outcome
	transient bool
	err       error // what was wrong with its message, if it had one
}

func (e *statusError) Error() string {
	s := strings.TrimSpace(fmt.Sprintf("status %d %s", e.status, http.StatusText(e.status)))
	if e.err != nil {
		s += ": " + e.err.Error()
	}
	return s
}

func (e *statusError) Unwrap() error            { return e.err }
func (e *statusError) Outcome() outcome.Outcome { return e.known }
func (e *statusError) Transient() bool          { return e.transient }

// read makes the answer, or the error, of a response.
func (p *plan) read(resp *http.Response, v any) error {
	after, asked := retry.ParseAfter(resp.Header, time.Now())
	known, transient := outcome.Status(resp.StatusCode, asked)
	success := resp.StatusCode >= 200 && resp.StatusCode <= 299
	bad := func(err error, passes bool) error {
		if success {
			return outcome.TransientError(outcome.Applied, passes, fmt.Errorf("status %d: %w", resp.StatusCode, err))
		}
		if known == outcome.Applied { // a 304, which answers no POST
			known = outcome.Unknown
		}
		e := error(&statusError{resp.StatusCode, known, transient, err})
		if asked {
			e = retry.After(after, e)
		}
		return e
	}
	data, err := p.message(resp)
	switch {
	case errors.Is(err, requestreply.ErrTooLarge):
		return bad(err, false)
	case err != nil:
		return bad(err, true)
	}
	_, none := v.(*struct{})
	if len(data) == 0 && (none || !success) {
		if success {
			return nil
		}
		return bad(nil, false)
	}
	if len(data) == 0 {
		return bad(ErrEmpty, false)
	}
	if err := isXML(resp.Header.Get("Content-Type")); err != nil {
		if !success && !errors.Is(err, ErrCharset) {
			err = nil // a page of whoever stands between says no more than its status
		}
		return bad(err, false)
	}
	e, err := p.decode(data, v, none)
	if err == nil && e.fault != nil {
		return p.faulted(e.fault, resp, after, asked)
	}
	if err != nil || !success {
		return bad(err, false)
	}
	return nil
}

// message reads the body of a response. Those that cannot have a message in
// them are empty.
func (p *plan) message(resp *http.Response) ([]byte, error) {
	from := io.Reader(resp.Body)
	if p.limits.Bytes > 0 {
		from = io.LimitReader(resp.Body, p.limits.Bytes+1)
	}
	data, err := io.ReadAll(from)
	if p.limits.Bytes > 0 && int64(len(data)) > p.limits.Bytes {
		return nil, requestreply.ErrTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("its body broke off: %w", err)
	}
	return data, nil
}

// isXML accepts the types that servers give to an envelope, in UTF-8: the
// namespace of the envelope tells the rest.
func isXML(contentType string) error {
	mt, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return errors.New("the answer names no content type that can be read; want text/xml")
	}
	if mt != "text/xml" && mt != "application/xml" && !strings.HasSuffix(mt, "+xml") {
		return fmt.Errorf("the answer is %s; want text/xml", printable(cut(mt)))
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") && !isASCII(cs) {
		return &MessageError{What: "the content type names another charset", Err: ErrCharset}
	}
	return nil
}

func (p *plan) decode(data []byte, v any, none bool) (*envelope, error) {
	want := shapeOf(reflect.TypeOf(v).Elem()).name
	e, err := readEnvelope(data, p.limits, false, func(e *envelope, d *decoding, t xml.StartElement) error {
		if p.blocks = e.blocks; none {
			return nil
		}
		if d == nil {
			return &MessageError{Place: "/Envelope/Body", Err: ErrEmpty}
		}
		if t.Name != want {
			return &MessageError{Place: "/Envelope/Body", Offset: d.offset(), What: "want " + writeName(want)}
		}
		return d.into(v, t)
	})
	if err != nil {
		return nil, err
	}
	p.blocks = e.blocks
	return e, e.understood(p.understands)
}

// A faulted error is a Fault with what it says of the effect.
type faulted struct {
	fault     *Fault
	known     outcome.Outcome
	transient bool
}

func (e *faulted) Error() string            { return e.fault.Error() }
func (e *faulted) Unwrap() error            { return e.fault }
func (e *faulted) Outcome() outcome.Outcome { return e.known }
func (e *faulted) Transient() bool          { return e.transient }

// faulted makes the error of a Fault that answered.
func (p *plan) faulted(f *Fault, resp *http.Response, after time.Duration, asked bool) error {
	e := &faulted{fault: f}
	if p.judge != nil {
		e.known, e.transient = p.judge(f)
	} else {
		e.known, e.transient = judge(f, resp.StatusCode, asked)
	}
	if asked {
		return retry.After(after, e)
	}
	return e
}

// judge says what a Fault says of the effect: what it states, else what SOAP
// 1.1 §4.4.1 says of its code, else what its status says. The status alone
// tells nothing when it is the 500 that §6.2 asks of every Fault.
func judge(f *Fault, status int, asked bool) (known outcome.Outcome, transient bool) {
	known, transient = outcome.Status(status, asked)
	switch f.class() {
	case codeClient, codeMust, codeVersion:
		known, transient = outcome.Refused, false
	case codeServer:
		if known != outcome.Refused {
			known, transient = outcome.Unknown, true
		}
	default: // the service's own: it has answered, and would again
		if known != outcome.Refused {
			known, transient = outcome.Unknown, false
		}
	}
	if said, ok := f.said(); ok {
		known = said
	}
	return known, transient
}
