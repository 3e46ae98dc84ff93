package openapi

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
)

// problemSchemas describe what requestreply.Problem writes.
func problemSchemas() map[string]*schema {
	text := func(doc string) *schema { return &schema{Type: "string", Description: doc} }
	return map[string]*schema{
		"Problem": {Type: "object", Properties: properties{
			{"type", text("A URI that names the kind of problem.")},
			{"title", text("The kind of problem, for people.")},
			{"status", &schema{Type: "integer", Format: "int32"}},
			{"detail", text("What is wrong this time.")},
			{"instance", text("A URI that names this occurrence.")},
			{"outcome", &schema{
				Type: "string", Description: "What is known of the effect, where the status alone would say something else.",
				Enum: []any{outcome.Unknown.String(), outcome.Refused.String(), outcome.Applied.String()},
			}},
			{"errors", &schema{Type: "array", Items: ref("ProblemField")}},
		}},
		"ProblemField": {Type: "object", Properties: properties{
			{"detail", text("What is wrong with this part of the request.")},
			{"pointer", text("A JSON pointer to it, after a #.")},
		}, Required: []string{"detail", "pointer"}},
	}
}

// problems makes the type of problems the one the caller reads.
type problems struct {
	http.ResponseWriter
	plain bool
}

// WriteHeader changes the type of a problem.
func (p *problems) WriteHeader(status int) {
	h := p.Header()
	if h.Get("Content-Type") == problemType {
		h.Add("Vary", "Accept")
		if p.plain {
			h.Set("Content-Type", jsonType)
		}
	}
	p.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (p *problems) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// plain says whether a caller is to read problems as application/json.
func (p Profile) plain(h http.Header) bool {
	var problem, plain, any bool
	for _, list := range h.Values("Accept") {
		for item := range strings.SplitSeq(list, ",") {
			mt, params, err := mime.ParseMediaType(item)
			if q, ok := params["q"]; err != nil || ok && strings.Trim(q, "0.") == "" {
				continue // q=0 is not wanted (RFC 9110 section 12.4.2)
			}
			problem = problem || mt == problemType
			plain = plain || mt == jsonType
			any = any || mt == "application/*" || mt == "*/*"
		}
	}
	if p == ExternalServices {
		return !problem
	}
	return plain && !problem && !any
}

// refuse answers for the API itself.
func refuse(w http.ResponseWriter, status int, detail string) {
	data, err := json.Marshal(&requestreply.Problem{Status: status, Title: http.StatusText(status), Detail: detail})
	if err != nil { // texts marshal
		data = []byte("{}")
	}
	w.Header().Set("Content-Type", problemType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
