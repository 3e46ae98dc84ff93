package pubsub

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// ContentTypeCloudEvent is the media type of what MarshalJSON writes
// (CloudEvents, JSON Event Format §1).
const ContentTypeCloudEvent = "application/cloudevents+json"

// MarshalJSON returns the message in CloudEvents' JSON event format 1.0
// (github.com/cloudevents/spec, formats/json-format.md): data that is JSON as
// it is, other data in data_base64. Cursor and Appended are the log's own and
// are left out.
func (m Message) MarshalJSON() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	o := map[string]any{"specversion": "1.0", "id": m.ID, "source": m.Source, "type": m.Type}
	if !m.Time.IsZero() {
		o["time"] = m.Time.UTC().Format(time.RFC3339Nano)
	}
	for k, v := range map[string]string{
		"subject": m.Subject, "dataschema": m.Schema, "datacontenttype": m.ContentType, "partitionkey": m.Key,
	} {
		if v != "" {
			o[k] = v
		}
	}
	for k, v := range m.Header {
		o[k] = v
	}
	switch {
	case len(m.Data) == 0:
	case isJSON(m.ContentType) && json.Valid(m.Data) && utf8.Valid(m.Data):
		o["data"] = json.RawMessage(m.Data)
	default:
		o["data_base64"] = base64.StdEncoding.EncodeToString(m.Data)
	}
	return json.Marshal(o)
}

// ParseCloudEvent reads an event in CloudEvents' JSON event format 1.0, for
// programs that put foreign events into a log with Log.Append. What it returns
// keeps the rules of this package; an error wraps [ErrInvalid] and names the
// attribute. An event without a time has the zero Time, which is for the
// caller to fill.
//
// Extensions that are no strings are kept as their JSON text; their names may
// have up to 100 characters, where an Event's have 20. Data declared
// as, or taken for, JSON is kept as it is written; a JSON string of another
// content type is the data itself, as §3.1 of the format says.
func ParseCloudEvent(b []byte) (Message, error) {
	o, err := members(b)
	if err != nil {
		return Message{}, err
	}
	m := Message{}
	version := ""
	for _, a := range []struct {
		name string
		to   *string
	}{
		{"specversion", &version}, {"id", &m.ID}, {"source", &m.Source}, {"type", &m.Type}, {"subject", &m.Subject},
		{"dataschema", &m.Schema}, {"datacontenttype", &m.ContentType}, {"partitionkey", &m.Key},
	} {
		if err := text(o, a.name, a.to); err != nil {
			return Message{}, err
		}
	}
	if version != "1.0" {
		return Message{}, &FieldError{Field: "specversion", Reason: "is not 1.0", err: ErrInvalid}
	}
	at := ""
	if err := text(o, "time", &at); err != nil {
		return Message{}, err
	}
	if at != "" {
		// T and Z may be small letters (RFC 3339, section 5.6).
		if m.Time, err = time.Parse(time.RFC3339Nano, strings.ToUpper(at)); err != nil {
			return Message{}, &FieldError{Field: "time", Reason: "is not a time of RFC 3339", err: ErrInvalid}
		}
		m.Time = m.Time.UTC()
	}
	if m.Data, err = dataOf(o, m.ContentType); err != nil {
		return Message{}, err
	}
	for k, v := range o { // what is left
		if m.Header == nil {
			m.Header = map[string]string{}
		}
		s := ""
		switch {
		case bytes.Equal(v, []byte("null")):
			continue // §2.2: as if it were not there
		case v[0] == '"':
			if err := json.Unmarshal(v, &s); err != nil {
				return Message{}, &FieldError{Field: k, Reason: "is not a string", err: ErrInvalid}
			}
		case v[0] == '{' || v[0] == '[':
			return Message{}, &FieldError{Field: k, Reason: "is neither a string, nor a number, nor a boolean", err: ErrInvalid}
		default:
			s = string(v)
		}
		m.Header[k] = s
	}
	if len(m.Header) == 0 {
		m.Header = nil
	}
	if err := m.check(); err != nil {
		return Message{}, err
	}
	return m, nil
}

// members reads one JSON object, and refuses one that has a name twice: two
// readers could take different events out of it.
func members(b []byte) (map[string]json.RawMessage, error) {
	bad := func(reason string) error { return &FieldError{Field: "event", Reason: reason, err: ErrInvalid} }
	if !utf8.Valid(b) {
		return nil, bad("is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, bad("is not a JSON object")
	}
	o := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, bad("is not JSON")
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, bad("is not JSON")
		}
		if _, twice := o[name]; twice {
			return nil, bad(fmt.Sprintf("has the member %.40q twice", name))
		}
		o[name] = v
	}
	if _, err := d.Token(); err != nil {
		return nil, bad("is not JSON")
	}
	if _, err := d.Token(); err == nil || len(bytes.TrimSpace(b[d.InputOffset():])) > 0 {
		return nil, bad("has something behind it")
	}
	return o, nil
}

// text takes a string out of o.
func text(o map[string]json.RawMessage, name string, to *string) error {
	v, ok := o[name]
	delete(o, name)
	if !ok || bytes.Equal(v, []byte("null")) {
		return nil
	}
	if v[0] != '"' || json.Unmarshal(v, to) != nil {
		return &FieldError{Field: name, Reason: "is not a string", err: ErrInvalid}
	}
	if *to == "" {
		return &FieldError{Field: name, Reason: "is empty", err: ErrInvalid}
	}
	return nil
}

// dataOf takes the data out of o.
func dataOf(o map[string]json.RawMessage, contentType string) ([]byte, error) {
	v, has := o["data"]
	encoded := ""
	delete(o, "data")
	if bytes.Equal(o["data_base64"], []byte(`""`)) { // no byte is data too
		delete(o, "data_base64")
		if !has {
			return nil, nil
		}
		return nil, &FieldError{Field: "data", Reason: "is there beside data_base64", err: ErrInvalid}
	}
	if err := text(o, "data_base64", &encoded); err != nil {
		return nil, err
	}
	switch {
	case encoded != "" && has:
		return nil, &FieldError{Field: "data", Reason: "is there beside data_base64", err: ErrInvalid}
	case encoded != "":
		b, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, &FieldError{Field: "data_base64", Reason: "is not Base64", err: ErrInvalid}
		}
		return b, nil
	case has && !isJSON(contentType) && v[0] == '"':
		var s string
		if err := json.Unmarshal(v, &s); err != nil {
			return nil, &FieldError{Field: "data", Reason: "is not a string", err: ErrInvalid}
		}
		return []byte(s), nil
	case has:
		return v, nil
	}
	return nil, nil
}
