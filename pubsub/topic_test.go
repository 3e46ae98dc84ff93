package pubsub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/pubsub"
)

func TestLimits(t *testing.T) {
	topic := pubsub.NewTopic[string](pubsub.NewMem(), "t", &pubsub.TopicOptions{MaxData: 12})
	long := func(n int) string { return strings.Repeat("x", n) }
	headers := func(n int) map[string]string {
		h := map[string]string{}
		for i := range n {
			h[fmt.Sprint("h", i)] = ""
		}
		return h
	}
	for name, c := range map[string]struct {
		e     pubsub.Event[string]
		field string // "" is accepted
		want  error
	}{
		"the largest ID":             {pubsub.Event[string]{ID: long(150)}, "", nil},
		"an ID too long":             {pubsub.Event[string]{ID: long(151)}, "ID", pubsub.ErrInvalid},
		"an ID with a space":         {pubsub.Event[string]{ID: "a b"}, "ID", pubsub.ErrInvalid},
		"the largest key":            {pubsub.Event[string]{Key: long(512)}, "", nil},
		"a key too long":             {pubsub.Event[string]{Key: long(513)}, "Key", pubsub.ErrInvalid},
		"a key with a control":       {pubsub.Event[string]{Key: "a\x00"}, "Key", pubsub.ErrInvalid},
		"a key that is not UTF-8":    {pubsub.Event[string]{Key: "\xff"}, "Key", pubsub.ErrInvalid},
		"a subject too long":         {pubsub.Event[string]{Subject: long(513)}, "Subject", pubsub.ErrInvalid},
		"the largest data":           {pubsub.Event[string]{Data: long(10)}, "", nil}, // and two quotes
		"data too large":             {pubsub.Event[string]{Data: long(11)}, "Data", pubsub.ErrTooLarge},
		"the most headers":           {pubsub.Event[string]{Header: headers(32)}, "", nil},
		"too many headers":           {pubsub.Event[string]{Header: headers(33)}, "Header", pubsub.ErrInvalid},
		"a header too large":         {pubsub.Event[string]{Header: map[string]string{"a": long(8 << 10)}}, "Header", pubsub.ErrInvalid},
		"a header with a capital":    {pubsub.Event[string]{Header: map[string]string{"traceParent": "x"}}, "Header", pubsub.ErrInvalid},
		"a header with a long name":  {pubsub.Event[string]{Header: map[string]string{long(21): "x"}}, "Header", pubsub.ErrInvalid},
		"a header that is attribute": {pubsub.Event[string]{Header: map[string]string{"subject": "x"}}, "Header", pubsub.ErrInvalid},
		"a header with a line break": {pubsub.Event[string]{Header: map[string]string{"a": "x\ny"}}, "Header", pubsub.ErrInvalid},
		"a time out of all bounds":   {pubsub.Event[string]{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, "Time", pubsub.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := topic.PublishAll(t.Context(), []pubsub.Event[string]{{}, c.e})
			if c.field == "" {
				require.NoError(t, err)
				require.Equal(t, 2, n)
				return
			}
			require.Zero(t, n)
			require.ErrorIs(t, err, c.want)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			var f *pubsub.FieldError
			require.ErrorAs(t, err, &f)
			require.Equal(t, c.field, f.Field)
			require.ErrorContains(t, err, "event 2 of 2")
		})
	}
	_, err := topic.PublishAll(t.Context(), make([]pubsub.Event[string], 10_001))
	require.ErrorIs(t, err, pubsub.ErrInvalid)
	big := pubsub.NewTopic[string](pubsub.NewMem(), "t", &pubsub.TopicOptions{MaxData: 1 << 20})
	es := make([]pubsub.Event[string], 65)
	for i := range es {
		es[i].Data = long(1<<20 - 2)
	}
	_, err = big.PublishAll(t.Context(), es[:64])
	require.NoError(t, err)
	_, err = big.PublishAll(t.Context(), es)
	require.ErrorIs(t, err, pubsub.ErrTooLarge)
}

func TestPanicsAtConstruction(t *testing.T) {
	mem := pubsub.NewMem()
	topic := numbers(mem)
	handler := func(context.Context, pubsub.Event[int]) error { return nil }
	for name, fn := range map[string]func(){
		"no log":           func() { pubsub.NewTopic[int](nil, "t", nil) },
		"no name":          func() { pubsub.NewTopic[int](mem, "", nil) },
		"a long name":      func() { pubsub.NewTopic[int](mem, strings.Repeat("x", 101), nil) },
		"a name of spaces": func() { pubsub.NewTopic[int](mem, "a b", nil) },
		"a bad source":     func() { pubsub.NewTopic[int](mem, "t", &pubsub.TopicOptions{Source: "a\nb"}) },
		"a bad schema":     func() { pubsub.NewTopic[int](mem, "t", &pubsub.TopicOptions{Schema: "v2"}) },
		"no topic":         func() { pubsub.Subscribe[int](nil, "g", handler, nil) },
		"no group":         func() { pubsub.Subscribe(topic, "", handler, nil) },
		"no handler":       func() { pubsub.Subscribe[int](topic, "g", nil, nil) },
		"no inbox":         func() { pubsub.SubscribeTx[int](topic, "g", nil, nil, nil) },
		"no groups":        func() { pubsub.Subscribe(numbers(bare{mem}), "g", handler, nil) },
		"no dead letters":  func() { pubsub.NewDeadLetters(nil, "t", "g") },
	} {
		t.Run(name, func(t *testing.T) { require.Panics(t, fn) })
	}
}

type v1 struct {
	Price float64 `json:"price"`
}

type v2 struct {
	Cents int `json:"cents"`
}

// upgrading reads both versions.
type upgrading struct{ pubsub.JSON }

func (u upgrading) Decode(m pubsub.Message, v any) error {
	if m.Schema != "urn:price:1" {
		return u.JSON.Decode(m, v)
	}
	var old v1
	if err := u.JSON.Decode(m, &old); err != nil {
		return err
	}
	v.(*v2).Cents = int(old.Price*100 + 0.5)
	return nil
}

func TestSchema(t *testing.T) {
	bubble(t, "what is not known is parked, in words, and the rest goes on", func(t *testing.T) {
		log := pubsub.NewMem()
		one := pubsub.NewTopic[v1](log, "price", &pubsub.TopicOptions{Schema: "urn:price:1"})
		two := pubsub.NewTopic[v2](log, "price", &pubsub.TopicOptions{Schema: "urn:price:2"})
		other := pubsub.NewTopic[v2](log, "price", &pubsub.TopicOptions{Type: "price.removed"})
		publish(t, one, "k", v1{1.5})
		publish(t, two, "k", v2{250})
		publish(t, other, "k", v2{0})
		for _, m := range []pubsub.Message{
			{ContentType: "application/json", Data: []byte(`{"cents": "many"}`)},
			{ContentType: "application/json", Data: []byte(`{"cents": 1} {"cents": 2}`)},
			{ContentType: "application/avro", Data: []byte("\x02")},
		} {
			m.ID, m.Source, m.Type, m.Schema, m.Key = "foreign", "/x", "price", "urn:price:2", "k"
			_, err := log.Append(t.Context(), "price", []pubsub.Message{m})
			require.NoError(t, err)
		}
		publish(t, two, "k", v2{300})
		var got []int
		s := pubsub.Subscribe(two, "g", func(_ context.Context, e pubsub.Event[v2]) error {
			got = append(got, e.Data.Cents)
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{250, 300}, got)
		ds := dead(t, s.DeadLetters())
		require.Len(t, ds, 5)
		for i, part := range []string{
			`its schema is not known here: type "price", schema "urn:price:1", want one of ["urn:price:2"]`,
			`its type is not read here: type "price.removed", want one of ["price"]`,
			`its data does not decode: type "price", schema "urn:price:2", content type "application/json": json: cannot unmarshal string`,
			`more data after the JSON value`,
			`content type "application/avro" is not JSON`,
		} {
			require.Equal(t, "unreadable", ds[i].Reason)
			require.Equal(t, 1, ds[i].Attempts)
			require.Contains(t, ds[i].Error, part)
		}
		// A later program reads both; what was parked is handled after all.
		both := pubsub.NewTopic[v2](log, "price", &pubsub.TopicOptions{Schema: "urn:price:2", Accept: []string{"urn:price:1"}, Codec: upgrading{}})
		s = pubsub.Subscribe(both, "g", func(_ context.Context, e pubsub.Event[v2]) error {
			got = append(got, e.Data.Cents)
			return nil
		}, nil)
		_, err := s.DeadLetters().Redrive(t.Context(), ds[0].Message.ID)
		require.NoError(t, err)
		stop = start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{250, 300, 150}, got)
		require.Len(t, dead(t, s.DeadLetters()), 4)
	})
	bubble(t, "a codec that panics", func(t *testing.T) {
		log := pubsub.NewMem()
		topic := pubsub.NewTopic[int](log, "t", &pubsub.TopicOptions{Codec: panicking{}})
		publish(t, topic, "k", 1)
		s := pubsub.Subscribe(topic, "g", collect(&record{}), nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		ds := dead(t, s.DeadLetters())
		require.Len(t, ds, 1)
		require.Equal(t, "unreadable", ds[0].Reason)
		require.Contains(t, ds[0].Error, "the codec panicked: runtime error: index")
	})
	bubble(t, "a codec that does not encode", func(t *testing.T) {
		topic := pubsub.NewTopic[func()](pubsub.NewMem(), "t", nil)
		_, err := topic.Publish(t.Context(), "k", func() {})
		require.ErrorIs(t, err, pubsub.ErrInvalid)
		require.ErrorContains(t, err, "does not encode")
	})
	bubble(t, "Events shows what it cannot read and goes on", func(t *testing.T) {
		log := pubsub.NewMem()
		topic := numbers(log)
		publish(t, topic, "k", 1)
		_, err := log.Append(t.Context(), "numbers", []pubsub.Message{{ID: "bad", Source: "/", Type: "numbers", Data: []byte("x")}})
		require.NoError(t, err)
		publish(t, topic, "k", 2)
		var got []int
		for e, err := range topic.Events(t.Context(), pubsub.Start{}) {
			if e.ID == "bad" {
				require.ErrorIs(t, err, pubsub.ErrUnreadable)
				require.NotEmpty(t, e.Cursor)
				continue
			}
			require.NoError(t, err)
			got = append(got, e.Data)
		}
		require.Equal(t, []int{1, 2}, got)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range topic.Events(ctx, pubsub.Start{}) {
			require.ErrorIs(t, err, context.Canceled)
		}
	})
}

type panicking struct{ pubsub.JSON }

func (panicking) Decode(m pubsub.Message, _ any) error {
	_ = m.Data[len(m.Data)]
	return nil
}

// What is known of a failure comes through, and every sentinel survives
// wrapping and joins.
func TestErrors(t *testing.T) {
	topic := numbers(failing{pubsub.NewMem(), outcome.Error(outcome.Unknown, errors.New("the line is dead"))})
	id, err := topic.Publish(t.Context(), "k", 1)
	require.NotEmpty(t, id, "to publish it again under the same ID")
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	var e *pubsub.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "publish", e.Op)
	require.Equal(t, id, e.ID)
	require.EqualError(t, err, fmt.Sprintf("pubsub: publish: topic %q: event %q: the line is dead: whether it was published is unknown: publish it again under the same ID", "numbers", id))
	_, err = topic.PublishTx(t.Context(), nil, "k", 1)
	require.ErrorIs(t, err, pubsub.ErrNoTx)
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	for _, s := range []error{
		pubsub.ErrGone, pubsub.ErrLost, pubsub.ErrHeld, pubsub.ErrShards, pubsub.ErrTooLarge, pubsub.ErrInvalid,
		pubsub.ErrNoTx, pubsub.ErrUnreadable, pubsub.ErrRunning,
	} {
		topic := numbers(failing{pubsub.NewMem(), fmt.Errorf("store: %w", s)})
		_, err := topic.Publish(t.Context(), "k", 1)
		require.ErrorIs(t, errors.Join(errors.New("x"), fmt.Errorf("y: %w", err)), s)
	}
}

type failing struct {
	*pubsub.Mem
	err error
}

func (f failing) Append(context.Context, string, []pubsub.Message) (int, error) { return 0, f.err }

func TestCloudEvents(t *testing.T) {
	m := pubsub.Message{
		ID: "1", Source: "/shop", Type: "stock.changed", Subject: "lamp", Schema: "urn:stock:1", ContentType: "application/json",
		Key: "lamp", Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Header: map[string]string{"traceparent": "00-a"},
		Data: []byte(`{"free": 3}`), Cursor: "c", Appended: time.Now(),
	}
	b, err := json.Marshal(m)
	require.NoError(t, err)
	require.JSONEq(t, `{"specversion": "1.0", "id": "1", "source": "/shop", "type": "stock.changed", "subject": "lamp",
		"dataschema": "urn:stock:1", "datacontenttype": "application/json", "partitionkey": "lamp",
		"time": "2026-01-02T03:04:05.000006Z", "traceparent": "00-a", "data": {"free": 3}}`, string(b))
	back, err := pubsub.ParseCloudEvent(b)
	require.NoError(t, err)
	m.Cursor, m.Appended, m.Data = "", time.Time{}, []byte(`{"free":3}`)
	require.Equal(t, m, back)

	m.ContentType, m.Data = "application/octet-stream", []byte{0, 1, 0xff}
	b, err = json.Marshal(m)
	require.NoError(t, err)
	require.Contains(t, string(b), `"data_base64":"AAH/"`)
	back, err = pubsub.ParseCloudEvent(b)
	require.NoError(t, err)
	require.Equal(t, m, back)

	_, err = json.Marshal(pubsub.Message{ID: "1"})
	require.ErrorIs(t, err, pubsub.ErrInvalid)

	// What others write.
	back, err = pubsub.ParseCloudEvent([]byte(` {"specversion":"1.0","id":"a","source":"s","type":"t","com1":7,"flag":true,
		"gone":null,"time":"2018-04-05T17:31:00+02:00","datacontenttype":"text/xml","data":"<much wow=\"xml\"/>"} `))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"com1": "7", "flag": "true"}, back.Header)
	require.Equal(t, `<much wow="xml"/>`, string(back.Data))
	require.Equal(t, time.Date(2018, 4, 5, 15, 31, 0, 0, time.UTC), back.Time)

	for name, c := range map[string]struct{ event, field string }{
		"no object":              {`[]`, "event"},
		"cut":                    {`{"specversion":"1.0"`, "event"},
		"two":                    {`{}{}`, "event"},
		"not UTF-8":              {"{\"id\":\"\xff\"}", "event"},
		"an ID twice":            {`{"specversion":"1.0","id":"a","id":"b","source":"s","type":"t"}`, "event"},
		"another version":        {`{"specversion":"0.3","id":"a","source":"s","type":"t"}`, "specversion"},
		"no version":             {`{"id":"a","source":"s","type":"t"}`, "specversion"},
		"no ID":                  {`{"specversion":"1.0","source":"s","type":"t"}`, "ID"},
		"an empty ID":            {`{"specversion":"1.0","id":"","source":"s","type":"t"}`, "id"},
		"an ID that is a number": {`{"specversion":"1.0","id":1,"source":"s","type":"t"}`, "id"},
		"a time in words":        {`{"specversion":"1.0","id":"a","source":"s","type":"t","time":"noon"}`, "time"},
		"data twice":             {`{"specversion":"1.0","id":"a","source":"s","type":"t","data":1,"data_base64":"AA=="}`, "data"},
		"bad Base64":             {`{"specversion":"1.0","id":"a","source":"s","type":"t","data_base64":"*"}`, "data_base64"},
		"an extension in depth":  {`{"specversion":"1.0","id":"a","source":"s","type":"t","ext":{}}`, "ext"},
		"a bad extension name":   {`{"specversion":"1.0","id":"a","source":"s","type":"t","My-Ext":"x"}`, "Header"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pubsub.ParseCloudEvent([]byte(c.event))
			require.ErrorIs(t, err, pubsub.ErrInvalid)
			var f *pubsub.FieldError
			require.ErrorAs(t, err, &f)
			require.Equal(t, c.field, f.Field)
		})
	}
}

// What is read can be written and read again, and is the same.
func FuzzParseCloudEvent(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"a","source":"s","type":"t","data":{"a":1},"ext":"x"}`))
	f.Add([]byte(`{"specversion":"1.0","id":"a","source":"s","type":"t","datacontenttype":"text/plain","data":"x"}`))
	f.Add([]byte(`{"specversion":"1.0","id":"a","source":"s","type":"t","data_base64":"AAH/","time":"2018-04-05T17:31:00Z"}`))
	f.Add([]byte(`{"specversion" : "1.0" , "id": "a", "source":"s","type":"t","n": 1e3 , "data" :  null }`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := pubsub.ParseCloudEvent(b)
		if err != nil {
			require.ErrorIs(t, err, pubsub.ErrInvalid)
			return
		}
		if m.Time.IsZero() {
			m.Time = time.Unix(0, 0).UTC()
		}
		again, err := json.Marshal(m)
		require.NoError(t, err)
		back, err := pubsub.ParseCloudEvent(again)
		require.NoError(t, err, string(again))
		require.Equal(t, m.ID+m.Source+m.Type+m.Subject+m.Schema+m.ContentType+m.Key, back.ID+back.Source+back.Type+back.Subject+back.Schema+back.ContentType+back.Key)
		require.Equal(t, m.Header, back.Header)
		require.True(t, m.Time.Equal(back.Time))
		if json.Valid(m.Data) {
			require.Equal(t, len(m.Data) > 0, len(back.Data) > 0)
			return // written compactly
		}
		require.Equal(t, string(m.Data), string(back.Data))
	})
}
