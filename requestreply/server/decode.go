package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/crosstie/crosstie/internal/strictjson"
	"github.com/crosstie/crosstie/requestreply"
)

// decode reads data into v, which points to a zero value.
func decode(data []byte, v any, rules strictjson.Rules) *requestreply.Problem {
	t := reflect.TypeOf(v).Elem()
	if err := strictjson.Check(data, t, rules); err != nil {
		return invalid(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return invalid(strictjson.Place(data, t, err))
	}
	return nil
}

// invalid is the answer to a body that does not decode. It names the place
// and what is wanted there, and repeats nothing of what was sent but names.
func invalid(err error) *requestreply.Problem {
	p := &requestreply.Problem{Status: 400, Title: "Bad Request", Detail: "the body does not decode"}
	var at *strictjson.Fault
	var syn *json.SyntaxError
	switch {
	case err == strictjson.ErrNotUTF8, err == strictjson.ErrGoesOn:
		p.Detail = "the body " + err.Error()
	case errors.As(err, &at):
		p.Detail = "the body does not fit: see errors"
		p.Fields = map[string]string{at.Pointer: at.What}
	case errors.As(err, &syn):
		p.Detail = fmt.Sprintf("the body is not JSON at byte %d", syn.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		p.Detail = "the body ends before its JSON does"
	}
	return p
}
