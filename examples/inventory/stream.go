package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A screen is what a browser has of the stock: a map of rows, kept up to date by the stream. When the stream is cut it
// comes back with the id of the last event it applied, as a browser's EventSource does by itself. It is safe for
// concurrent use.
type screen struct {
	url    string
	client *http.Client

	mu     sync.Mutex // guards the rest
	rows   map[string]stockRow
	last   string // id of the last event
	cut    context.CancelFunc
	cuts   int64 // streams that ended before they were to
	resets int64 // times that it had to begin from nothing
	events int64
	moved  int64         // rows that came
	live   bool          // it has everything that was there when the last live event was sent
	news   chan struct{} // closed and replaced at each event
}

func newScreen(url string, client *http.Client) *screen {
	return &screen{url: url, client: client, rows: map[string]stockRow{}, news: make(chan struct{})}
}

// run watches until ctx ends.
func (s *screen) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.watch(ctx); err != nil && ctx.Err() == nil {
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				break
			}
		}
	}
	return ctx.Err()
}

// watch reads one stream until it is cut.
func (s *screen) watch(ctx context.Context) error {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	s.mu.Lock()
	s.cut = cut
	last := s.last
	s.mu.Unlock()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/event-stream")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the stream answers with status %d", resp.StatusCode)
	}
	err = readEvents(resp.Body, s.apply)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts++
	s.live = false
	return err
}

// cutNow cuts the stream that runs, wherever it is.
func (s *screen) cutNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut != nil {
		s.cut()
	}
}

// A sent is an event as it comes over the wire.
type sent struct{ id, kind, data string }

// maxLine is the longest line of a stream that is taken.
const maxLine = 8 << 20

// readEvents reads Server-Sent Events (HTML standard, section 9.2.6), as far as the server uses them. An event that is
// not whole is dropped, as the standard says: it comes again.
func readEvents(body io.Reader, apply func(sent) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	var e sent
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data += value
		case "":
			if lines.Text() == "" {
				if e.data != "" {
					if err := apply(e); err != nil {
						return err
					}
				}
				e = sent{id: e.id}
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// apply brings an event into the rows.
func (s *screen) apply(e sent) error {
	var data struct {
		Rows []struct {
			Key     string   `json:"key"`
			Value   stockRow `json:"value"`
			Deleted bool     `json:"deleted"`
		} `json:"rows"`
	}
	if err := json.Unmarshal([]byte(e.data), &data); err != nil {
		return errors.New("the stream sent an event that is no JSON")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.kind {
	case "reset":
		clear(s.rows)
		s.resets++
		s.live = false
	case "live":
		s.live = true
	case "snapshot", "delta":
		for _, r := range data.Rows {
			if r.Deleted {
				delete(s.rows, r.Key)
			} else {
				s.rows[r.Key] = r.Value
			}
		}
		s.moved += int64(len(data.Rows))
	}
	s.last = e.id
	s.events++
	close(s.news)
	s.news = make(chan struct{})
	return nil
}

// compare counts the rows that are as wanted and those that are there, and returns what is closed when more came.
func (s *screen) compare(want map[string]stockRow) (same, shown int64, news <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sku, w := range want {
		if r, ok := s.rows[sku]; ok && r.same(w) {
			same++
		}
	}
	return same, int64(len(s.rows)), s.news
}

// story says how often the stream was cut, how often it began from nothing, and how many rows came.
func (s *screen) story() (cuts, resets, moved int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cuts, s.resets, s.moved
}
