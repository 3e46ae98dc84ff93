package remoteinvoke

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/internal/redirect"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// A remote is a client without its types.
type remote struct {
	base    *url.URL
	client  *http.Client
	header  http.Header
	retry   retry.Policy
	timeout time.Duration
	max     int
}

// An answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func newRemote(raw string, client *http.Client, header http.Header, policy retry.Policy, timeout time.Duration, most int) (*remote, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, invalid("Client.URL is no absolute http or https URL") // its text may hold a password
	}
	if u.RawPath != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, invalid("Client.URL has a query, a fragment or an escaped path: it is where a service is mounted")
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	r := &remote{base: u, client: &http.Client{}, header: header, retry: policy, timeout: timeout, max: most}
	if client != nil {
		*r.client = *client
	}
	// A redirect would take the headers, and with 307 the body, elsewhere.
	redirect.Refuse(r.client)
	if r.timeout == 0 {
		r.timeout = 30 * time.Second
	}
	if r.max <= 0 {
		r.max = 1 << 20
	}
	return r, nil
}

// call makes a request as often as the policy allows. Each of ours may be
// repeated: a start carries its id, and the others are idempotent.
func (r *remote) call(ctx context.Context, method, path string, body []byte, header http.Header) (*answer, error) {
	return retry.DoIdempotent(ctx, r.retry, func(ctx context.Context) (*answer, error) {
		return r.ask(ctx, method, path, body, header)
	})
}

// ask makes one attempt. What it returns without an error is a 2xx or a 304.
func (r *remote) ask(ctx context.Context, method, path string, body []byte, header http.Header) (*answer, error) {
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	// Whether a connection was there says whether anything can have arrived.
	var asked, connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	var from io.Reader
	if body != nil {
		from = bytes.NewReader(body)
	}
	u := *r.base
	u.Path += path // ids need no escape; JoinPath would lose a last slash
	req, err := http.NewRequestWithContext(ctx, method, u.String(), from)
	if err != nil {
		return nil, retry.Permanent(outcome.Error(outcome.NotSent, errors.New("the request could not be made")))
	}
	// Without it net/http cannot repeat the request by itself, which it does
	// when there is an Idempotency-Key: each attempt is ours to count.
	req.GetBody = nil
	for _, h := range []http.Header{r.header, header} {
		maps.Copy(req.Header, h)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	resp, err := r.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // its text has the whole URL
		}
		known := outcome.Unknown
		if asked.Load() && !connected.Load() {
			known = outcome.NotSent
		}
		return nil, outcome.TransientError(known, true, fmt.Errorf("%s: %w", r.base.Host, err))
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, int64(r.max)+1))
	if a.status != http.StatusNotModified && (a.status < 200 || a.status > 299) {
		return nil, a.refusal()
	}
	switch {
	case err != nil:
		return nil, outcome.TransientError(outcome.Applied, true, fmt.Errorf("status %d, its body broke off: %w", a.status, err))
	case len(a.body) > r.max:
		return nil, outcome.TransientError(outcome.Applied, false, tooLarge("the answer", len(a.body), r.max))
	}
	return a, nil
}

// decode reads the JSON of an answer.
func (a *answer) decode(v any) error {
	if mt, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err != nil || mt != "application/json" {
		return outcome.TransientError(outcome.Applied, false, errors.New("the answer is not application/json: is Client.URL that of a service of this package?"))
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		// Not err: it may tell of the content.
		return outcome.TransientError(outcome.Applied, false, fmt.Errorf("the answer does not fit %T", v))
	}
	return nil
}

// status reads the status in an answer to a request about the job id.
func (a *answer) job(id string) (Status, error) {
	var st Status
	if err := a.decode(&st); err != nil {
		return st, err
	}
	if st.ID != id || st.State == "" || st.Version < 1 {
		return st, outcome.TransientError(outcome.Applied, false, errors.New("the answer is no status of this job"))
	}
	// Who answers may be anybody: what goes into errors and logs is bounded here
	// as it is where a job ends.
	st.Progress.Note = clip(st.Progress.Note, maxNote)
	if st.Failure != nil {
		st.Failure = st.Failure.bounded()
	}
	return st, nil
}

// after is the wait an answer asks for.
func (a *answer) after() time.Duration {
	d, _ := retry.ParseAfter(a.header, time.Now())
	return d
}

// refusal is the error an answer stands for.
func (a *answer) refusal() error {
	after := a.after()
	known, transient := outcome.Status(a.status, after > 0)
	var p problem
	if mt, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err == nil && mt == "application/problem+json" {
		_ = json.Unmarshal(a.body, &p)
	}
	for _, o := range []outcome.Outcome{outcome.Unknown, outcome.Refused, outcome.Applied} {
		if p.Outcome == o.String() {
			known = o
		}
	}
	err := fmt.Errorf("status %d %s", a.status, http.StatusText(a.status))
	if p.Detail != "" {
		err = fmt.Errorf("status %d: %q", a.status, clip(p.Detail, maxMessage))
	}
	for _, is := range problems {
		if is.code == p.Code && is.status == a.status {
			err = &meant{err, is.err}
		}
	}
	return retry.After(after, outcome.TransientError(known, transient || after > 0, err))
}

// meant is an answer that means one of our errors.
type meant struct{ text, is error }

func (e *meant) Error() string   { return e.text.Error() }
func (e *meant) Unwrap() []error { return []error{e.text, e.is} }
