package fireforget

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/internal/redirect"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// WebhookOptions configure [Webhook]. Nil, and the zero value of each field,
// mean the default.
type WebhookOptions struct {
	// Client sends the requests. Defaults to webhook.NewClient(nil), which
	// connects to public addresses only. Redirects are never followed,
	// whatever the client says.
	Client *http.Client
	// Timeout limits one request, its response included. Defaults to 20 s.
	Timeout time.Duration
	// AllowHTTP permits a URL without TLS.
	AllowHTTP bool
}

// maxDrain is how much of a response is read so that its connection can be
// used again. Nothing of it is kept: what a receiver answers is not ours to
// store or show.
const maxDrain = 64 << 10

// Webhook returns a deliverer that sends each item as a POST to target, with the
// headers of Standard Webhooks signed by by: the same id on every attempt,
// the time of the attempt, and the signature. Crosstie-Attempt counts the
// attempts from 1.
//
// Only a 2xx answer has landed. Others are a [*StatusError]: 408, 425, 429
// and most 5xx are attempted again, no sooner than a Retry-After says; all
// others, 410 and redirects among them, are refused for good and parked. A
// connection that fails is attempted again; an address that is not allowed is
// parked.
//
// Webhook panics if target is not an absolute https URL, by is nil, or the URL
// has user info. Check a URL that somebody else chose beforehand, with the
// Check method of [webhook.TransportOptions].
func Webhook(target string, by webhook.Signer, o *WebhookOptions) Deliverer {
	w := &webhookDeliverer{by: by, timeout: 20 * time.Second}
	if o == nil {
		o = &WebhookOptions{}
	}
	if o.Timeout > 0 {
		w.timeout = o.Timeout
	}
	u, err := url.Parse(target)
	switch {
	case err != nil || u.Host == "":
		panic("fireforget: Webhook needs an absolute URL")
	case u.User != nil:
		panic("fireforget: Webhook: the URL has user info: requests are signed instead")
	case u.Scheme != "https" && (u.Scheme != "http" || !o.AllowHTTP):
		panic("fireforget: Webhook: the URL is not https: use https, or set AllowHTTP")
	case by == nil:
		panic("fireforget: Webhook needs a signer")
	}
	w.url = u
	c := o.Client
	if c == nil {
		c = webhook.NewClient(nil)
	}
	w.client = *c
	// A 307 would carry the signed body to whoever the receiver names.
	redirect.Refuse(&w.client)
	return w
}

type webhookDeliverer struct {
	client  http.Client
	url     *url.URL
	by      webhook.Signer
	timeout time.Duration
}

// Deliver implements Deliverer.
func (w *webhookDeliverer) Deliver(ctx context.Context, it Item) error {
	signed, err := webhook.Headers(it.ID, time.Now(), it.Body, w.by)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	// Whether a connection was there says whether anything can have arrived.
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url.String(), bytes.NewReader(it.Body))
	if err != nil {
		return retry.Permanent(outcome.Error(outcome.NotSent, errors.New("the request could not be made")))
	}
	// Without it net/http cannot repeat the request by itself, which it does
	// when there is an Idempotency-Key: each attempt is ours to count.
	req.GetBody = nil
	for k, v := range it.Header {
		req.Header.Set(k, v)
	}
	if it.ContentType != "" {
		req.Header.Set("Content-Type", it.ContentType)
	}
	req.Header.Set("User-Agent", "crosstie-fireforget")
	req.Header.Set("Crosstie-Attempt", strconv.Itoa(it.Attempt+1))
	maps.Copy(req.Header, signed)
	resp, err := w.client.Do(req)
	if err != nil {
		return w.unsent(err, connected.Load())
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	return judgeStatus(resp)
}

// unsent says what is known after a request without an answer. The error of
// net/http is replaced, because its text has the whole URL.
func (w *webhookDeliverer) unsent(err error, connected bool) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if _, ok := errors.AsType[*webhook.Error](err); ok {
		return fmt.Errorf("POST to %s: %w", w.url.Host, err)
	}
	known := outcome.NotSent
	if connected {
		known = outcome.Unknown
	}
	return outcome.TransientError(known, true, fmt.Errorf("POST to %s: %w", w.url.Host, err))
}

func judgeStatus(resp *http.Response) error {
	after, ok := retry.ParseAfter(resp.Header, time.Now())
	known, transient := outcome.Status(resp.StatusCode, ok)
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	if resp.StatusCode == http.StatusNotModified {
		known = outcome.Refused // nobody asked for a condition
	}
	return retry.After(after, &StatusError{Status: resp.StatusCode, known: known, transient: transient})
}

// A StatusError is an HTTP answer other than 2xx.
type StatusError struct {
	// Status is the HTTP status.
	Status int

	known     outcome.Outcome
	transient bool
}

// Error names the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the receiver answered %d %s", e.Status, http.StatusText(e.Status))
}

// Outcome says what the status means for the effect, by [outcome.Status].
func (e *StatusError) Outcome() outcome.Outcome { return e.known }

// Transient says whether another attempt is of use.
func (e *StatusError) Transient() bool { return e.transient }
