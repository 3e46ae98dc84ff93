package pubsub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
)

// A Codec turns data into bytes and back. Its methods are safe for concurrent
// use.
type Codec interface {
	// Encode returns the bytes of v and their media type.
	Encode(v any) (data []byte, contentType string, err error)
	// Decode reads m.Data into v, a pointer. m has the type, the schema and
	// the media type: a codec that reads old schemas looks there. What it
	// cannot read is an error; the event is parked with its text.
	Decode(m Message, v any) error
}

// JSON is the default codec: encoding/json. It keeps a json.RawMessage as it
// is, ignores fields that it does not know, so that a publisher may add some,
// and refuses data that is not declared as JSON or has something behind it.
type JSON struct{}

// Encode returns v as JSON, application/json.
func (JSON) Encode(v any) ([]byte, string, error) {
	data, err := json.Marshal(v)
	return data, "application/json", err
}

// Decode reads JSON into v.
func (JSON) Decode(m Message, v any) error {
	if !isJSON(m.ContentType) {
		return fmt.Errorf("content type %q is not JSON", m.ContentType)
	}
	d := json.NewDecoder(bytes.NewReader(m.Data))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err == nil {
		return errors.New("more data after the JSON value")
	}
	if len(bytes.TrimSpace(m.Data[d.InputOffset():])) > 0 {
		return errors.New("more data after the JSON value")
	}
	return nil
}

// isJSON follows CloudEvents' JSON format §3.1: no content type at all is
// JSON, and so is every subtype json or +json.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	t, _, err := mime.ParseMediaType(contentType)
	_, sub, _ := strings.Cut(t, "/")
	return err == nil && (sub == "json" || strings.HasSuffix(sub, "+json"))
}
