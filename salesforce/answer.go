package salesforce

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// complaints are the forms an org's error body has: a list of errors, and
// OAuth's single one (RFC 6749 §5.2).
type complaint struct {
	Code    string   `json:"errorCode"`
	Message string   `json:"message"`
	Fields  []string `json:"fields"`
	Error   string   `json:"error"`
	Why     string   `json:"error_description"`
}

// complaint reads an answer that is no success.
func (o *Org) complaint(resp *http.Response, a attempt) *Error {
	after, asked := retry.ParseAfter(resp.Header, time.Now())
	e := &Error{Status: resp.StatusCode}
	e.Known, e.transient = outcome.Status(resp.StatusCode, asked)
	if asked {
		e.Err = retry.After(after, errAfter)
	}
	// An error page needs no more room than this to say what it is.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusMultipleChoices {
		e.Err = ErrNotSalesforce
		e.Message = "it answers with a redirect"
		if to, err := url.Parse(resp.Header.Get("Location")); err == nil && to.Host != "" {
			e.Message += " to " + clip(to.Host, 100)
		}
		return e
	}
	if resp.StatusCode == http.StatusMultipleChoices {
		e.Known, e.Err = outcome.Refused, ErrAmbiguous
		return e
	}
	if html(resp.Header, body) {
		if !e.transient {
			e.Err = ErrNotSalesforce
			if resp.StatusCode == http.StatusUnauthorized {
				e.session = a.bearer != ""
			}
		}
		e.Message = "the answer is a page for people, not for programs"
		return e
	}
	e.fill(body, a.secrets)
	e.judge(a)
	return e
}

// fill takes what the body says, without secrets that it repeats.
func (e *Error) fill(body []byte, secrets []string) {
	var many []complaint
	if json.Unmarshal(body, &many) != nil {
		many = make([]complaint, 1)
		if json.Unmarshal(body, &many[0]) != nil {
			return
		}
	}
	for i, c := range many {
		if i == 0 {
			e.Code = said(c.Code, 100, secrets...)
			if c.Error != "" {
				e.Code = said(c.Error, 100, secrets...)
			}
		}
		text := c.Message + c.Why
		if i > 0 {
			text = "; " + c.Code + ": " + text
		}
		if len(e.Message) < maxMessage {
			e.Message = clip(e.Message+said(text, maxMessage, secrets...), maxMessage)
		}
		e.name(c.Fields, secrets...)
	}
}

// What is kept of an answer that is no success: what answered may be anything.
const (
	maxMessage = 1000
	maxFields  = 50
)

// name notes the fields at fault.
func (e *Error) name(fields []string, secrets ...string) {
	for _, f := range fields[:min(len(fields), maxFields-len(e.Fields))] {
		e.Fields = append(e.Fields, said(f, 100, secrets...))
	}
}

// judge says what code and status mean.
func (e *Error) judge(a attempt) {
	if c, ok := codes[e.Code]; ok {
		e.Known, e.transient = c.known, c.transient
	}
	switch {
	case e.Code == "REQUEST_LIMIT_EXCEEDED" && strings.Contains(e.Message, "TotalRequests"):
		// The window rolls over a day: nothing a wait of seconds can cure.
		e.Err, e.transient = ErrLimit, false
	case a.bearer == "" && e.Status >= 400 && e.Status < 500 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout:
		e.Err, e.transient = ErrCredentials, false
		if e.Status == http.StatusNotFound {
			e.Err = ErrNotSalesforce
		}
	case e.Status == http.StatusUnauthorized:
		e.Err, e.session = ErrCredentials, true
	case e.Status == http.StatusNotFound:
		e.Err = ErrNotFound
	}
}

// errAfter is what a Retry-After is put on.
var errAfter error = afterError{}

type afterError struct{}

func (afterError) Error() string { return "the org asks to come back later" }
