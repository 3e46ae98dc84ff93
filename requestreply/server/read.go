package server

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/crosstie/crosstie/internal/shape"
	"github.com/crosstie/crosstie/internal/strictjson"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
)

// partsOf reads the tags of a request type. What is wrong with them is wrong
// with the program, and it cannot serve.
func partsOf[Req any]() shape.Parts {
	p, err := shape.PartsOf(reflect.TypeFor[Req]())
	if err != nil {
		panic("requestreply/server: " + reflect.TypeFor[Req]().String() + ": " + err.Error())
	}
	return p
}

// read reads the request into v, which points to a zero value.
func (h handler) read(w http.ResponseWriter, r *http.Request, v any) ([]byte, *requestreply.Problem) {
	none := false
	req := reflect.ValueOf(v).Elem()
	if !h.parts.Whole || h.o.Complete {
		if p := h.params(r, req); p != nil {
			return nil, p
		}
	}
	if !h.parts.Whole {
		if b := h.parts.Body; b == nil {
			v, none = &struct{}{}, true
		} else {
			v, none = req.FieldByIndex(b.Index).Addr().Interface(), b.Type.Kind() == reflect.Pointer
		}
	} else {
		_, none = v.(*struct{})
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return nil, nil
	}
	body, p := h.body(w, r)
	if p != nil || none && len(body) == 0 {
		return body, p
	}
	mt, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, ok := params["charset"]
	if err != nil || mt != "application/json" || ok && !strings.EqualFold(charset, "utf-8") || r.Header.Get("Content-Encoding") != "" {
		return nil, problem(http.StatusUnsupportedMediaType, outcome.Refused, "want application/json in UTF-8, not compressed")
	}
	return body, decode(body, v, strictjson.Rules{AllowUnknown: h.o.AllowUnknown, Enums: true, Complete: h.o.Complete})
}

// params reads path, query and headers into the fields of req.
func (h handler) params(r *http.Request, req reflect.Value) *requestreply.Problem {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // r.URL.Query would drop what it cannot read
		return problem(http.StatusBadRequest, outcome.Refused, "the query cannot be read: percent-encode it, and part it with &")
	}
	for _, q := range h.parts.Params {
		var texts []string
		switch q.In {
		case shape.Path:
			texts = []string{r.PathValue(q.Name)}
		case shape.Query:
			texts = query[q.Name]
		case shape.Header:
			texts = r.Header.Values(q.Name)
		}
		bad := func(what string) *requestreply.Problem {
			return problem(http.StatusBadRequest, outcome.Refused, q.In+" parameter "+strconv.Quote(q.Name)+": "+what)
		}
		if len(texts) == 0 {
			if q.Optional {
				continue
			}
			return bad("is required")
		}
		if err := q.Set(req, texts); err != nil {
			return bad(err.Error())
		}
	}
	if h.o.AllowUnknown {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.ContainsFunc(h.parts.Params, func(q shape.Param) bool { return q.In == shape.Query && q.Name == name }) {
			return problem(http.StatusBadRequest, outcome.Refused, fmt.Sprintf("query parameter %.256q: the name is not known", name))
		}
	}
	return nil
}
