package uiupdatetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"strings"
)

// A Client is a browser for tests: it reads a stream into a [Copy], strictly,
// and goes on where it was when it connects again. It works with a handler of
// package uiupdate and with any other server of the same events. It is not
// safe for concurrent use.
type Client struct {
	// URL is that of the stream. HTTP is http.DefaultClient if it is nil.
	URL  string
	HTTP *http.Client
	// Header is sent along, for instance with a cookie.
	Header http.Header
	// Copy is what has been received.
	Copy Copy

	resp   *http.Response
	reader *bufio.Reader
	cancel context.CancelFunc
}

// A StatusError is an answer that is no stream.
type StatusError struct {
	Status int
	Header http.Header
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("status %d instead of a stream", e.Status)
}

// Connect opens the stream, after the last event that was applied. It checks
// the head of the answer. ctx ends the stream too.
func (c *Client) Connect(ctx context.Context) error {
	c.Close()
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		cancel()
		return err
	}
	maps.Copy(req.Header, c.Header)
	req.Header.Set("Accept", "text/event-stream")
	if c.Copy.LastID != "" {
		req.Header.Set("Last-Event-ID", c.Copy.LastID)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		cancel()
		return err
	}
	c.resp, c.cancel = resp, cancel
	if resp.StatusCode != http.StatusOK {
		c.Close()
		return &StatusError{Status: resp.StatusCode, Header: resp.Header}
	}
	if err := checkHead(resp.Header); err != nil {
		c.Close()
		return err
	}
	c.reader = bufio.NewReader(resp.Body)
	c.Copy.Connect()
	return nil
}

// checkHead looks for what keeps proxies from holding events back.
func checkHead(h http.Header) error {
	if media, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || media != "text/event-stream" {
		return fmt.Errorf("Content-Type is %q", h.Get("Content-Type"))
	}
	for _, want := range []string{"no-cache", "no-transform"} {
		if !strings.Contains(h.Get("Cache-Control"), want) {
			return fmt.Errorf("Cache-Control is %q, without %s", h.Get("Cache-Control"), want)
		}
	}
	if h.Get("Content-Length") != "" {
		return errors.New("a stream with a Content-Length")
	}
	return nil
}

// Next reads and applies one event and returns it.
func (c *Client) Next() (Event, error) {
	if c.reader == nil {
		return Event{}, errors.New("not connected")
	}
	e, err := ReadEvent(c.reader)
	if err != nil {
		return e, err
	}
	return e, c.Copy.Apply(e)
}

// Until reads events until done says so, or one breaks the contract, or the
// stream ends.
func (c *Client) Until(done func(*Copy) bool) error {
	for !done(&c.Copy) {
		if _, err := c.Next(); err != nil {
			return err
		}
	}
	return nil
}

// Close cuts the connection. Another Connect goes on.
func (c *Client) Close() {
	if c.cancel != nil {
		c.cancel()
		_ = c.resp.Body.Close()
	}
	c.cancel, c.resp, c.reader = nil, nil, nil
}

// Feed applies bytes that were received elsewhere. If they end inside an
// event, that one is left out and the error is [ErrCut].
func (c *Client) Feed(b []byte) error {
	r := bufio.NewReader(bytes.NewReader(b))
	for {
		e, err := ReadEvent(r)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := c.Copy.Apply(e); err != nil {
			return err
		}
	}
}
