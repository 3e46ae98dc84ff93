package sftest

import (
	"bytes"
	"encoding/json"
)

// An answer is what a call gets, whole, so that a fault can change it.
type answer struct {
	status  int
	kind    string // its Content-Type; none when the body is empty
	header  map[string]string
	body    []byte
	applied bool // something was changed
	drop    bool // close the connection instead of answering
	cut     bool // send half of the body, then close
}

const jsonKind = "application/json;charset=UTF-8"

func jsonAnswer(status int, v any) answer {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // our own types and decoded JSON
		panic("sftest: an answer that is no JSON: " + err.Error())
	}
	return answer{status: status, kind: jsonKind, body: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}
}

func text(status int, kind, body string) answer {
	return answer{status: status, kind: kind, body: []byte(body)}
}

// apiError is an element of the array that errors come in.
type apiError struct {
	Message   string   `json:"message"`
	ErrorCode string   `json:"errorCode"`
	Fields    []string `json:"fields,omitzero"`
}

// refuse answers with problems.
func refuse(problems ...*problem) answer {
	list := make([]apiError, len(problems))
	for i, p := range problems {
		list[i] = apiError{p.text, p.code, p.fields}
	}
	return jsonAnswer(problems[0].status, list)
}

// An object of JSON whose members keep their order, as records do.
type members []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (m members) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, f := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := e.Encode(f.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := e.Encode(f.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
