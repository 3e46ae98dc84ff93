package requestreply

import (
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/crosstie/crosstie/outcome"
)

// A Problem is an error in the form of RFC 9457, application/problem+json. A
// failed [Endpoint] call wraps the one the other side sent (find it with
// errors.AsType); a function served by package server returns one to choose
// what its caller sees.
//
// What a Problem read from the wire holds is bounded: 1 KiB a text, 64 fields.
type Problem struct {
	// Type is a URI that names the kind of problem; empty means about:blank.
	Type string
	// Title names the kind of problem for people.
	Title string
	// Status is the HTTP status, 400 to 599; package server answers another
	// one, zero too, as 500.
	Status int
	// Detail says what is wrong this time.
	Detail string
	// Instance is a URI that names this occurrence.
	Instance string
	// Known is what the server says of the effect, the text of an
	// outcome.Outcome, where the status alone would say something else; empty
	// says nothing. It travels as the member "outcome".
	Known string
	// Fields says what is wrong with which part of the request: a JSON
	// pointer (RFC 6901) without the leading "#", and a text.
	Fields map[string]string
}

// Error returns status, title and detail, with control characters escaped.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(p.Status))
	for _, s := range []string{p.Title, p.Detail} {
		if s != "" {
			b.WriteString(": " + printable(s))
		}
	}
	return b.String()
}

// What is kept of a problem from the wire.
const (
	maxProblem = 64 << 10
	maxText    = 1 << 10
	maxFields  = 64
)

// wireField is the member RFC 9457 §3 uses as its example of an extension.
type wireField struct {
	Detail  string `json:"detail"`
	Pointer string `json:"pointer"`
}

// MarshalJSON writes the members of RFC 9457, and "errors" for Fields.
func (p *Problem) MarshalJSON() ([]byte, error) {
	w := struct {
		Type     string      `json:"type,omitempty"`
		Title    string      `json:"title,omitempty"`
		Status   int         `json:"status,omitempty"`
		Detail   string      `json:"detail,omitempty"`
		Instance string      `json:"instance,omitempty"`
		Outcome  string      `json:"outcome,omitempty"`
		Errors   []wireField `json:"errors,omitempty"`
	}{p.Type, p.Title, p.Status, p.Detail, p.Instance, p.Known, nil}
	for _, at := range slices.Sorted(maps.Keys(p.Fields)) {
		w.Errors = append(w.Errors, wireField{Detail: p.Fields[at], Pointer: "#" + at})
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes. As RFC 9457 §3.1 asks, a member
// of another type than it should have is ignored.
func (p *Problem) UnmarshalJSON(data []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	*p = Problem{
		Type: text(m["type"]), Title: text(m["title"]), Detail: text(m["detail"]),
		Instance: text(m["instance"]), Known: text(m["outcome"]),
	}
	if json.Unmarshal(m["status"], &p.Status) != nil {
		p.Status = 0
	}
	var fields []json.RawMessage
	_ = json.Unmarshal(m["errors"], &fields)
	for _, raw := range fields[:min(len(fields), maxFields)] {
		var f map[string]json.RawMessage
		_ = json.Unmarshal(raw, &f)
		if at := text(f["pointer"]); at != "" {
			if p.Fields == nil {
				p.Fields = map[string]string{}
			}
			p.Fields[strings.TrimPrefix(at, "#")] = text(f["detail"])
		}
	}
	return nil
}

func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return cut(s)
}

// cut shortens s to maxText bytes, between runes.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// printable escapes what would let a peer's text forge log lines.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// problem reads the body of a failed response if it is a problem.
func problem(resp *http.Response) *Problem {
	mt, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mt != "application/problem+json" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem+1))
	if err != nil || len(body) > maxProblem {
		return nil
	}
	p := new(Problem)
	if json.Unmarshal(body, p) != nil {
		return nil
	}
	p.Status = resp.StatusCode // the member is advisory (RFC 9457 §3.1.3)
	return p
}

// said reads Problem.Known.
func (p *Problem) said() (outcome.Outcome, bool) {
	for _, o := range []outcome.Outcome{outcome.Unknown, outcome.Refused, outcome.Applied} {
		if p != nil && p.Known == o.String() {
			return o, true
		}
	}
	return outcome.Unknown, false
}
