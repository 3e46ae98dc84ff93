package soap

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// errPanicked is what a panic of a function is to its caller.
var errPanicked = errors.New("panicked")

// run runs a function, whose panic is an answer where there is a Logger to
// hear of it.
func (m *Mux) run(ctx context.Context, do func(context.Context) (any, error)) (resp any, err error) {
	if !m.o.logs {
		return do(ctx)
	}
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // it means to break the connection
			panic(p)
		default:
			m.o.Logger.ErrorContext(ctx, "operation_panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errPanicked
		}
	}()
	return do(ctx)
}

// fail answers with the fault that err is.
func (m *Mux) fail(w http.ResponseWriter, r *http.Request, err error) error {
	f, again := answerFor(err)
	if f.class() == codeServer && err != errPanicked {
		m.o.Logger.ErrorContext(r.Context(), "request_failed", "route", r.Pattern, slog.Any("error", err))
	}
	body, wrong := writeFault(f, m.o.Unqualified)
	if wrong != nil {
		m.o.Logger.ErrorContext(r.Context(), "fault_not_written", "route", r.Pattern, slog.Any("error", wrong))
		body, _ = writeFault(&Fault{Code: f.Code, Space: f.Space, Text: f.Text, Actor: f.Actor, Known: f.Known}, false)
	}
	if again > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(again.Seconds()))))
	}
	w.Header().Set("Cache-Control", "no-store")
	_ = send(w, http.StatusInternalServerError, body) // SOAP 1.1 §6.2: whatever the fault
	return err
}

// faultOf is the fault of a message that could not be read. Nothing was done.
func faultOf(e *MessageError) *Fault {
	f := &Fault{Code: codeClient, Text: e.Error(), Known: outcome.Refused.String()}
	switch e.Err {
	case ErrVersion:
		f.Code = codeVersion
	case ErrMustUnderstand:
		f.Code, f.Known = codeMust, "" // §4.4: a detail would be about the Body
	}
	return f
}

// answerFor turns an error into a fault.
func answerFor(err error) (f *Fault, again time.Duration) {
	if e, ok := err.(*MessageError); ok {
		return faultOf(e), 0
	}
	known, says := knownOf(err)
	if known == outcome.NotSent {
		known = outcome.Refused // of the caller's request, which was received
	}
	again, _ = retry.AfterOf(err)
	if given := chosen(err); given != nil {
		c := *given
		c.Code = orText(c.Code, codeServer)
		by, _ := judge(&c, http.StatusInternalServerError, again > 0)
		switch {
		case c.Known != "":
		case says && by != known:
			c.Known = known.String()
		case c.Detail == nil: // §4.4: one is due where the Body is at fault
			c.Known = by.String()
		}
		return &c, again
	}
	transient, _ := outcome.Transient(err)
	f = &Fault{Code: codeServer, Text: "the server failed to answer", Known: known.String()}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		f.Text = "the answer took too long"
	case known == outcome.Refused && transient:
		f.Text, again = "nothing was done: repeat it later", max(again, time.Second)
	}
	return f, again
}

func knownOf(err error) (o outcome.Outcome, says bool) {
	_, says = errors.AsType[interface {
		error
		Outcome() outcome.Outcome
	}](err)
	return outcome.Of(err), says
}

// chosen returns the fault the function chose to be answered with. One that
// another service answered the function with is told to that service's caller:
// its text may hold what ours must not read.
func chosen(err error) *Fault {
	switch x := err.(type) {
	case *Fault:
		return x
	case *requestreply.Error:
		return nil
	case interface{ Unwrap() error }:
		return chosen(x.Unwrap())
	case interface{ Unwrap() []error }:
		for _, b := range x.Unwrap() {
			if f := chosen(b); f != nil {
				return f
			}
		}
	}
	return nil
}

// writeFault makes the Body's element of f.
func writeFault(f *Fault, unqualified bool) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("<soapenv:Fault><faultcode")
	code := orText(f.Code, codeServer)
	switch {
	case f.Space != "":
		b.WriteString(` xmlns:f="`)
		_ = xml.EscapeText(&b, []byte(f.Space))
		b.WriteString(`">f:`)
	case f.class() != "" || f.Code == "":
		b.WriteString(`>soapenv:`)
	default:
		b.WriteString(`>`)
	}
	_ = xml.EscapeText(&b, []byte(code))
	b.WriteString("</faultcode><faultstring>")
	_ = xml.EscapeText(&b, []byte(f.Text))
	b.WriteString("</faultstring>")
	if f.Actor != "" {
		b.WriteString("<faultactor>")
		_ = xml.EscapeText(&b, []byte(f.Actor))
		b.WriteString("</faultactor>")
	}
	if f.Detail != nil || f.Known != "" {
		b.WriteString("<detail>")
		if err := f.writeDetail(&b, unqualified); err != nil {
			return nil, err
		}
		b.WriteString("</detail>")
	}
	b.WriteString("</soapenv:Fault>")
	return b.Bytes(), nil
}

// writeDetail puts what we add last: clients made from a WSDL take the first
// entry for the one that is declared.
func (f *Fault) writeDetail(b *bytes.Buffer, unqualified bool) error {
	if err := f.writeEntries(b, unqualified); err != nil {
		return err
	}
	if f.Known != "" {
		b.WriteString(`<outcome xmlns="` + ourSpace + `">`)
		_ = xml.EscapeText(b, []byte(f.Known))
		b.WriteString(`</outcome>`)
	}
	return nil
}

func (f *Fault) writeEntries(b *bytes.Buffer, unqualified bool) error {
	if f.Detail == nil {
		return nil
	}
	t := reflect.TypeOf(f.Detail)
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if name, _ := nameOf(t); name.Local == "" {
		return fmt.Errorf("the Detail %s of a Fault: %w", t, errNoName)
	}
	data, err := marshal(f.Detail, unqualified)
	if err != nil {
		return errors.New("the Detail of a Fault cannot be written as XML")
	}
	b.Write(data)
	return nil
}
