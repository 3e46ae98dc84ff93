// Package uiupdatetest checks streams of changes against the contract of
// package uiupdate: that a snapshot is whole, that nothing is missed or goes
// backwards over any disconnect, that every byte is well-formed, and that a
// slow reader costs nobody anything.
//
// [TestStream] does all of it to a handler, of package uiupdate or of your
// own, in whatever language, as long as a test can change its rows. [Client]
// is the strict reader it uses, for tests of your own.
//
//	func TestStock(t *testing.T) {
//		uiupdatetest.TestStream(t, func(t *testing.T) uiupdatetest.Subject {
//			view := uiupdate.NewView[string, string](nil)
//			server := httptest.NewServer(uiupdate.NewHandler(view, nil))
//			t.Cleanup(server.Close)
//			return uiupdatetest.Subject{
//				URL:    server.URL,
//				Set:    func(key, value string) { view.Set(key, value, time.Now()) },
//				Delete: func(key string) { view.Delete(key, time.Now()) },
//			}
//		})
//	}
package uiupdatetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A Subject is a stream under test, and the way to change what it shows.
type Subject struct {
	// URL is that of the stream. Client is http.DefaultClient if it is nil.
	URL    string
	Client *http.Client
	// Set gives a row a value, as of now; Delete removes one. They return
	// when the change is made, and may be called from several goroutines.
	Set    func(key, value string)
	Delete func(key string)
}

// limit is how long a test waits for what must come.
const limit = 2 * time.Minute

// TestStream tests that streams keep the contract. open returns an empty
// subject each time it is called; it may use t.Cleanup.
func TestStream(t *testing.T, open func(t *testing.T) Subject) {
	for _, test := range []struct {
		name string
		run  func(*subject)
	}{
		{"a snapshot is whole", (*subject).whole},
		{"an empty view is live", (*subject).empty},
		{"changes follow", (*subject).follow},
		{"a cut at every event", (*subject).cutEvents},
		{"a cut in the middle of a snapshot", (*subject).cutMiddle},
		{"a cut at every byte", (*subject).cutBytes},
		{"changes while away", (*subject).away},
		{"changes during a snapshot", (*subject).during},
		{"an id of elsewhere", (*subject).foreign},
		{"a reader that does not read", (*subject).stuck},
		{"values that look like fields", (*subject).forged},
		{"other methods", (*subject).methods},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			s := open(t)
			test.run(&subject{Subject: s, t: t, ctx: ctx, want: map[string]string{}})
		})
	}
}

// A subject keeps what its rows should be.
type subject struct {
	Subject
	t    *testing.T
	ctx  context.Context
	want map[string]string
}

func (s *subject) set(key, value string) {
	s.Set(key, value)
	s.want[key] = value
}

func (s *subject) delete(key string) {
	s.Delete(key)
	delete(s.want, key)
}

func (s *subject) must(err error, doing string) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", doing, err)
	}
}

func (s *subject) connect() *Client {
	s.t.Helper()
	c := &Client{URL: s.URL, HTTP: s.Client}
	s.again(c)
	s.t.Cleanup(c.Close)
	return c
}

func (s *subject) again(c *Client) {
	s.t.Helper()
	s.must(c.Connect(s.ctx), "connecting")
}

// settled says whether a copy is live and has what it should.
func (s *subject) settled(c *Copy) bool { return c.Live && s.differs(c) == "" }

func (s *subject) differs(c *Copy) string {
	if len(c.Rows) != len(s.want) {
		return fmt.Sprintf("%d rows, want %d", len(c.Rows), len(s.want))
	}
	for key, want := range s.want {
		var have string
		if err := json.Unmarshal(c.Rows[key].Value, &have); err != nil || have != want {
			return fmt.Sprintf("row %q is %s, want %q", key, c.Rows[key].Value, want)
		}
	}
	return ""
}

// settle reads until the copy is what it should be.
func (s *subject) settle(c *Client) {
	s.t.Helper()
	if err := c.Until(s.settled); err != nil {
		s.t.Fatalf("%v (%s)", err, s.differs(&c.Copy))
	}
}

// whole: at the first live event the copy is the view, not sooner or later.
func (s *subject) whole() {
	for i := range 3000 {
		s.set(fmt.Sprintf("row %d", i), fmt.Sprintf("value %d", i))
	}
	s.delete("row 7")
	c := s.connect()
	s.must(c.Until(func(c *Copy) bool { return c.Live }), "reading the snapshot")
	if d := s.differs(&c.Copy); d != "" {
		s.t.Fatalf("live, but %s", d)
	}
	if c.Copy.Resets != 1 || c.Copy.Snapshots == 0 || c.Copy.Lives != 1 {
		s.t.Fatalf("%d resets, %d snapshots, %d live, want one, some and one", c.Copy.Resets, c.Copy.Snapshots, c.Copy.Lives)
	}
}

func (s *subject) empty() {
	c := s.connect()
	s.settle(c)
	s.set("a", "1")
	s.settle(c)
	s.delete("a")
	s.settle(c)
}

func (s *subject) follow() {
	s.set("a", "1")
	c := s.connect()
	s.settle(c)
	for i := range 200 {
		s.set(fmt.Sprintf("k%d", i%20), fmt.Sprint(i))
		if i%7 == 0 {
			s.delete(fmt.Sprintf("k%d", i%20))
		}
		s.settle(c)
	}
	if c.Copy.Resets != 1 {
		s.t.Fatalf("%d resets on one connection", c.Copy.Resets)
	}
}

// cutEvents goes on after each single event of a stream.
func (s *subject) cutEvents() {
	for i := range 2000 {
		s.set(fmt.Sprintf("row %d", i), strings.Repeat("x", 100))
	}
	c := &Client{URL: s.URL, HTTP: s.Client}
	defer c.Close()
	for n := 0; n < 40 || !c.Copy.Live; n++ {
		s.again(c)
		for id := c.Copy.LastID; c.Copy.LastID == id && !c.Copy.Live; {
			_, err := c.Next()
			s.must(err, "reading one event")
		}
		if n < 40 { // else there is always one more change before it is live
			s.set(fmt.Sprintf("row %d", n), fmt.Sprint("changed ", n))
		}
		if n > 1000 {
			s.t.Fatal("a reader that is cut off again and again never gets there")
		}
	}
	s.again(c)
	s.settle(c)
	if c.Copy.Resets != 1 {
		s.t.Fatalf("%d resets, want that of the beginning", c.Copy.Resets)
	}
}

// cutMiddle cuts a snapshot once, after its first event, its second, and so
// on, changes rows that were given and rows that were not, and reads the rest
// on one connection.
func (s *subject) cutMiddle() {
	const all = 2000
	for i := range all {
		s.set(fmt.Sprint(i), strings.Repeat("x", 100))
	}
	for n, whole := 1, false; !whole; n++ {
		c := s.connect()
		for range n {
			_, err := c.Next()
			s.must(err, "reading the beginning")
			whole = c.Copy.Live
		}
		c.Close()
		for i := range 20 {
			s.set(fmt.Sprint(i*100+n), fmt.Sprint("changed after ", n))
			s.delete(fmt.Sprint(i*100 + n + 1))
		}
		s.again(c)
		s.must(c.Until(func(c *Copy) bool { return c.Live }), "reading the rest")
		if d := s.differs(&c.Copy); d != "" || c.Copy.Resets != 1 {
			s.t.Fatalf("cut after %d events: live after %d resets, but %s", n, c.Copy.Resets, d)
		}
		c.Close()
	}
}

// cutBytes cuts a stream after each of its bytes and lets the copy go on from
// there, as a browser does.
func (s *subject) cutBytes() {
	s.set("a", "1")
	c := s.connect()
	s.settle(c)
	from := c.Copy.LastID
	for i := range 20 {
		s.set(fmt.Sprintf("k%d", i%5), fmt.Sprint(i))
	}
	s.settle(c)
	base := c.Copy.Rows["a"]
	probe := &Client{URL: s.URL, HTTP: s.Client}
	probe.Copy = Copy{LastID: from}
	s.again(probe)
	defer probe.Close()
	var whole []byte
	for !probe.Copy.Live {
		e, err := probe.Next()
		s.must(err, "reading")
		whole = append(whole, e.Raw...)
	}
	for n := range whole {
		cut := &Client{URL: s.URL, HTTP: s.Client}
		cut.Copy = Copy{LastID: from, Rows: map[string]Row{"a": base}}
		cut.Copy.Connect()
		if err := cut.Feed(whole[:n]); err != nil && !errors.Is(err, ErrCut) {
			s.t.Fatalf("cut at byte %d: %v", n, err)
		}
		s.again(cut)
		s.settle(cut)
		cut.Close()
	}
}

// away changes rows while nobody reads.
func (s *subject) away() {
	for i := range 100 {
		s.set(fmt.Sprint(i), "before")
	}
	c := s.connect()
	s.settle(c)
	for round := range 20 {
		c.Close()
		for i := range 30 {
			key := fmt.Sprint((round*13 + i) % 120)
			if i%4 == 0 {
				s.delete(key)
			} else {
				s.set(key, fmt.Sprint("round ", round, " step ", i))
			}
		}
		s.again(c)
		s.settle(c)
	}
	if c.Copy.Resets != 1 {
		s.t.Fatalf("%d resets: the stream did not go on", c.Copy.Resets)
	}
}

// during changes rows while a snapshot is under way.
func (s *subject) during() {
	for i := range 3000 {
		s.set(fmt.Sprint(i), "before")
	}
	for range 5 {
		c := s.connect()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 2000 {
				s.Set(fmt.Sprint(i%300), fmt.Sprint("during ", i))
			}
		}()
		s.must(c.Until(func(c *Copy) bool { return c.Live }), "reading during changes")
		<-done
		for i := range 300 {
			s.set(fmt.Sprint(i), "after")
		}
		s.settle(c)
		c.Close()
	}
}

// foreign comes with ids that are none of this stream.
func (s *subject) foreign() {
	s.set("a", "1")
	for _, id := range []string{"0", "another-17", "-", "--", strings.Repeat("9", 300), "%00", "\"a\"", "a-1-1-1"} {
		c := &Client{URL: s.URL, HTTP: s.Client, Copy: Copy{LastID: id, Rows: map[string]Row{"ghost": {}}}}
		// It is cut off after its reset, and must not be reset again: a
		// client that always is never gets there.
		s.again(c)
		s.must(c.Until(func(c *Copy) bool { return c.Resets > 0 }), "reading after the id "+id)
		s.again(c)
		s.must(c.Until(func(c *Copy) bool { return c.Live }), "reading after a reset")
		if d := s.differs(&c.Copy); d != "" || c.Copy.Resets != 1 {
			s.t.Fatalf("after the id %q: %d resets, want one; %s", id, c.Copy.Resets, d)
		}
		c.Close()
	}
}

// stuck opens streams that nobody reads, writes far more than a connection
// holds, and has another reader follow meanwhile.
func (s *subject) stuck() {
	s.set("last", "no")
	slow := s.connect()
	s.settle(slow)
	for range 10 {
		s.connect()
	}
	reader := s.connect()
	s.settle(reader)
	big := strings.Repeat("x", 8<<10)
	for i := range 1000 {
		s.set(fmt.Sprint(i%50), fmt.Sprint(i, big))
	}
	s.set("last", "yes")
	s.settle(reader)
	s.settle(slow)
}

// forged has values that would be fields of their own if a line break came
// through.
func (s *subject) forged() {
	c := s.connect()
	for i, v := range []string{"\n\nevent: reset\ndata: {}\nid: 1\n\n", "\r\revent: x\r\r", "\r\n\r\ndata: y", "\u2028\u2029\x00", "</script>", ": comment", "\xef\xbb\xbf"} {
		s.set(fmt.Sprint("value ", i), v)
		s.set(v, "as a key")
	}
	s.settle(c)
}

func (s *subject) methods() {
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	for method, want := range map[string]int{http.MethodHead: http.StatusOK, http.MethodPost: http.StatusMethodNotAllowed, http.MethodDelete: http.StatusMethodNotAllowed} {
		req, err := http.NewRequestWithContext(s.ctx, method, s.URL, nil)
		s.must(err, method)
		resp, err := client.Do(req)
		s.must(err, method)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			s.t.Errorf("%s is answered %d, want %d", method, resp.StatusCode, want)
		}
		if want == http.StatusMethodNotAllowed && !strings.Contains(resp.Header.Get("Allow"), http.MethodGet) {
			s.t.Errorf("%s is refused without saying that GET is allowed", method)
		}
	}
}
