package fireforget_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/outcome"
)

func claim(t *testing.T, s fireforget.Store, to string) []fireforget.Entry {
	t.Helper()
	es, err := s.Claim(t.Context(), fireforget.Claim{Owner: "test", Lease: time.Minute, Wants: []fireforget.Want{{To: to, Max: 1000}}})
	require.NoError(t, err)
	return es
}

func TestSendPayload(t *testing.T) {
	s := fireforget.NewMem()
	box := fireforget.NewOutbox(s, nil)
	raw := []byte("raw")
	for _, c := range []struct {
		payload any
		header  map[string]string
		body    string
		kind    string
	}{
		{struct{ N int }{1}, nil, `{"N":1}`, "application/json"},
		{"text", nil, `"text"`, "application/json"},
		{raw, nil, "raw", "application/octet-stream"},
		{json.RawMessage(`{ "a": 1 }`), nil, `{ "a": 1 }`, "application/json"},
		{nil, nil, "", ""},
		{[]byte("<x/>"), map[string]string{"content-type": "text/xml"}, "<x/>", "text/xml"},
	} {
		id, err := box.Send(t.Context(), fireforget.Message{To: "dest", Payload: c.payload, Header: c.header})
		require.NoError(t, err)
		es := claim(t, s, "dest")
		require.Len(t, es, 1)
		require.Equal(t, id, es[0].ID)
		require.Len(t, id, 36)
		require.Equal(t, c.body, string(es[0].Body))
		require.Equal(t, c.kind, es[0].ContentType)
		require.WithinDuration(t, time.Now(), es[0].AcceptedAt, time.Minute)
	}
}

func TestSendRefuses(t *testing.T) {
	s := fireforget.NewMem()
	box := fireforget.NewOutbox(s, &fireforget.OutboxOptions{MaxBody: 10})
	long := func(n int) string { return strings.Repeat("x", n) }
	many := map[string]string{}
	for i := range 33 {
		many[fmt.Sprint("h", i)] = "v"
	}
	for _, c := range []struct {
		name  string
		m     fireforget.Message
		field string
		limit int64
	}{
		{"no destination", fireforget.Message{}, "To", 0},
		{"destination too long", fireforget.Message{To: long(256)}, "To", 255},
		{"destination not UTF-8", fireforget.Message{To: "\xff"}, "To", 0},
		{"key too long", fireforget.Message{To: "d", Key: long(513)}, "Key", 512},
		{"key with a zero byte", fireforget.Message{To: "d", Key: "a\x00b"}, "Key", 0},
		{"ID too long", fireforget.Message{To: "d", ID: long(256)}, "ID", 255},
		{"ID with a line break", fireforget.Message{To: "d", ID: "a\r\nb"}, "ID", 0},
		{"ID with a dot", fireforget.Message{To: "d", ID: "a.b"}, "ID", 0},
		{"payload too large", fireforget.Message{To: "d", Payload: []byte(long(11))}, "Payload", 10},
		{"payload too large as JSON", fireforget.Message{To: "d", Payload: long(9)}, "Payload", 10},
		{"payload that is no JSON", fireforget.Message{To: "d", Payload: math.Inf(1)}, "Payload", 0},
		{"too many headers", fireforget.Message{To: "d", Header: many}, "Header", 32},
		{"header too large", fireforget.Message{To: "d", Header: map[string]string{"A": long(8 << 10)}}, "Header", 8 << 10},
		{"header that splits", fireforget.Message{To: "d", Header: map[string]string{"A": "b\r\nC: d"}}, "Header", 0},
		{"header name that splits", fireforget.Message{To: "d", Header: map[string]string{"A: b\r\nC": "d"}}, "Header", 0},
		{"header without a name", fireforget.Message{To: "d", Header: map[string]string{"": "d"}}, "Header", 0},
		{"expired", fireforget.Message{To: "d", Expires: time.Now().Add(-time.Second)}, "Expires", 0},
		{"begins after all time", fireforget.Message{To: "d", NotBefore: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, "NotBefore", 0},
		{"expires after all time", fireforget.Message{To: "d", Expires: time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC)}, "Expires", 0},
		{"expires before it begins", fireforget.Message{To: "d", NotBefore: time.Now().Add(2 * time.Hour), Expires: time.Now().Add(time.Hour)}, "Expires", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := box.Send(t.Context(), c.m)
			f, ok := errors.AsType[*fireforget.FieldError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.field, f.Field)
			require.Equal(t, c.limit, f.Limit)
			want := fireforget.ErrInvalid
			if c.field == "Payload" && c.limit > 0 {
				want = fireforget.ErrTooLarge
			}
			require.ErrorIs(t, err, want)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			require.NotContains(t, err.Error(), "\n")
			_, err = box.SendAll(t.Context(), []fireforget.Message{{To: "d"}, c.m})
			require.ErrorIs(t, err, want)
		})
	}
	require.Empty(t, claim(t, s, "d"), "nothing of a refused batch is accepted")
	for _, m := range []fireforget.Message{ // at the limits
		{To: long(255), Key: long(512), ID: long(255), Payload: []byte(long(10))},
		{To: "d", Payload: long(8)},
	} {
		_, err := box.Send(t.Context(), m)
		require.NoError(t, err)
	}
}

func TestSendTwice(t *testing.T) {
	s := fireforget.NewMem()
	box := fireforget.NewOutbox(s, nil)
	m := fireforget.Message{ID: "order-1", To: "dest", Payload: map[string]int{"b": 1, "a": 2}, NotBefore: time.Now()}
	for range 3 {
		m.NotBefore = m.NotBefore.Add(time.Nanosecond) // computed anew
		id, err := box.Send(t.Context(), m)
		require.NoError(t, err)
		require.Equal(t, "order-1", id)
	}
	require.Len(t, claim(t, s, "dest"), 1)
	for _, change := range []func(*fireforget.Message){
		func(m *fireforget.Message) { m.Payload = "other" },
		func(m *fireforget.Message) { m.To = "elsewhere" },
		func(m *fireforget.Message) { m.Key = "key" },
		func(m *fireforget.Message) { m.Header = map[string]string{"A": "1"} },
	} {
		other := m
		change(&other)
		_, err := box.Send(t.Context(), other)
		require.ErrorIs(t, err, fireforget.ErrReused)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		require.ErrorContains(t, err, "order-1")
	}
}

func TestSendFull(t *testing.T) {
	s := fireforget.NewMem()
	box := fireforget.NewOutbox(s, &fireforget.OutboxOptions{MaxPending: 2})
	for range 2 {
		_, err := box.Send(t.Context(), fireforget.Message{To: "dest"})
		require.NoError(t, err)
	}
	_, err := box.Send(t.Context(), fireforget.Message{To: "dest"})
	require.ErrorIs(t, err, fireforget.ErrFull)
	require.Equal(t, outcome.NotSent, outcome.Of(err))

	t.Run("waits if asked to", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := fireforget.NewMem()
			box := fireforget.NewOutbox(s, &fireforget.OutboxOptions{MaxPending: 1, Wait: true})
			_, err := box.Send(t.Context(), fireforget.Message{To: "dest"})
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err = box.Send(ctx, fireforget.Message{To: "dest"})
			require.ErrorIs(t, err, fireforget.ErrFull)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, outcome.NotSent, outcome.Of(err))

			sent := make(chan error)
			go func() {
				_, err := box.Send(context.Background(), fireforget.Message{To: "dest"})
				sent <- err
			}()
			time.Sleep(time.Minute)
			e := claim(t, s, "dest")[0]
			_, err = s.Settle(t.Context(), []fireforget.Result{{To: "dest", Seq: e.Seq, Epoch: e.Epoch, Verdict: fireforget.Landed}})
			require.NoError(t, err)
			require.NoError(t, <-sent)
		})
	})
}

func TestSendAll(t *testing.T) {
	s := fireforget.NewMem()
	box := fireforget.NewOutbox(s, nil)
	ids, err := box.SendAll(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, ids)
	var ms []fireforget.Message
	for i := range 10 {
		ms = append(ms, fireforget.Message{To: "dest", Key: "key", Payload: i})
	}
	ids, err = box.SendAll(t.Context(), ms)
	require.NoError(t, err)
	es := claim(t, s, "dest")
	require.Len(t, es, 10)
	for i, e := range es {
		require.Equal(t, ids[i], e.ID)
		require.Equal(t, fmt.Sprint(i), string(e.Body))
	}
}

// TestSendAllIsBounded: at the limits all are accepted, and above none is.
func TestSendAllIsBounded(t *testing.T) {
	s := fireforget.NewMem()
	box := fireforget.NewOutbox(s, nil)
	_, err := box.SendAll(t.Context(), slices.Repeat([]fireforget.Message{{To: "many"}}, 10_001))
	require.ErrorIs(t, err, fireforget.ErrInvalid)
	require.EqualError(t, err, "fireforget: send: messages are too many for one call: send them in parts (10001, limit 10000): nothing was accepted")
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	ids, err := box.SendAll(t.Context(), slices.Repeat([]fireforget.Message{{To: "other"}}, 10_000))
	require.NoError(t, err)
	require.Len(t, ids, 10_000)

	large := slices.Repeat([]fireforget.Message{{To: "large", Payload: make([]byte, 256<<10)}}, 257)
	_, err = box.SendAll(t.Context(), large)
	require.ErrorIs(t, err, fireforget.ErrTooLarge)
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	ids, err = box.SendAll(t.Context(), large[:256])
	require.NoError(t, err)
	require.Len(t, ids, 256)
	require.Empty(t, claim(t, s, "many"))
}

func TestSendTxNeedsAStore(t *testing.T) {
	_, err := fireforget.NewOutbox(fireforget.NewMem(), nil).SendTx(t.Context(), nil, fireforget.Message{To: "dest"})
	require.ErrorIs(t, err, fireforget.ErrNoTx)
	require.Equal(t, outcome.NotSent, outcome.Of(err))
}

// TestErrorsSurvive: every sentinel is found through wrapping and joining.
func TestErrorsSurvive(t *testing.T) {
	for _, err := range []error{fireforget.ErrFull, fireforget.ErrTooLarge, fireforget.ErrInvalid, fireforget.ErrReused, fireforget.ErrNoTx, fireforget.ErrLost, fireforget.ErrRunning} {
		wrapped := errors.Join(errors.New("x"), fmt.Errorf("y: %w", &fireforget.Error{Op: "send", Err: err}))
		require.ErrorIs(t, wrapped, err)
		_, ok := errors.AsType[*fireforget.Error](wrapped)
		require.True(t, ok)
	}
}

func TestHandlePanics(t *testing.T) {
	r := fireforget.NewRelay(fireforget.NewMem(), nil)
	var j journal
	r.Handle("dest", &j, nil)
	require.Panics(t, func() { r.Handle("dest", &j, nil) })
	require.Panics(t, func() { r.Handle("", &j, nil) })
	require.Panics(t, func() { r.Handle("other", nil, nil) })
	require.Panics(t, func() { fireforget.NewRelay(nil, nil) })
	require.Panics(t, func() { fireforget.NewOutbox(nil, nil) })
	require.Panics(t, func() { fireforget.NewDeadLetters(nil) })
}

func TestDeadLettersPages(t *testing.T) {
	s := fireforget.NewMem()
	const n = 350
	for range n {
		send(t, s, "dest", "", "x")
	}
	for _, e := range claim(t, s, "dest") {
		_, err := s.Settle(t.Context(), []fireforget.Result{{To: "dest", Seq: e.Seq, Epoch: e.Epoch, Verdict: fireforget.Park, Reason: "permanent"}})
		require.NoError(t, err)
	}
	require.Len(t, dead(t, s, fireforget.Filter{}), n)
	d := fireforget.NewDeadLetters(s)
	i := 0
	for l, err := range d.All(t.Context(), fireforget.Filter{}) { // nothing is held open: the loop may write
		require.NoError(t, err)
		require.NoError(t, d.Discard(t.Context(), l.Item.ID, "by the test"))
		if i++; i == 10 {
			break
		}
	}
	require.NoError(t, d.Discard(t.Context(), "unknown", "x"))
	require.Len(t, dead(t, s, fireforget.Filter{}), n-10)
	require.Len(t, dead(t, s, fireforget.Filter{Discarded: true}), 10)
	redriven, err := d.Redrive(t.Context(), fireforget.Filter{To: "dest"})
	require.NoError(t, err)
	require.Equal(t, n-10, redriven)
	require.Empty(t, dead(t, s, fireforget.Filter{}))
	require.Len(t, claim(t, s, "dest"), n-10)
}
