package sftest

import (
	"encoding/json"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A value of a row is nil, a string (also of a date, an id and a reference), a
// float64, a bool, or a time.Time in UTC.

const (
	dateForm = "2006-01-02"
	timeForm = "2006-01-02T15:04:05.000+0000" // as the platform prints, in UTC
)

// moment are the spellings of a date and time that the platform takes.
var moment = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?$`)

// parseMoment reads a date and time; one without a zone is taken as UTC.
// Fractions of a second are dropped, as the platform does in what it keeps.
func parseMoment(s string) (time.Time, bool) {
	m := moment.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}
	zone := m[2]
	rest := strings.TrimSuffix(s, zone)
	switch {
	case zone == "":
		zone = "Z"
	case len(zone) == 5: // +0100
		zone = zone[:3] + ":" + zone[3:]
	}
	t, err := time.Parse(time.RFC3339, rest+zone)
	return t.UTC().Truncate(time.Second), err == nil
}

func parseDate(s string) (string, bool) {
	_, err := time.Parse(dateForm, s)
	return s, err == nil
}

// fromJSON reads a decoded JSON value into what a row keeps. A number is a
// json.Number.
func (f *field) fromJSON(object string, v any) (any, *problem) {
	cannot := func(kind, token string) *problem {
		return wrong("JSON_PARSER_ERROR", "Cannot deserialize instance of %s from %s or request may be missing a required field at [line:1, column:1]", kind, token)
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case bool:
		switch {
		case f.Type == Boolean:
			return v, nil
		case f.text():
			return f.fromText(object, strconv.FormatBool(v))
		}
		return nil, cannot(f.kind(), "VALUE_"+strings.ToUpper(strconv.FormatBool(v))+" value "+strconv.FormatBool(v))
	case json.Number:
		if f.number() || f.text() {
			return f.fromText(object, v.String())
		}
		return nil, cannot(f.kind(), "VALUE_NUMBER value "+v.String())
	case string:
		val, p := f.fromText(object, v)
		if p != nil && p.code == "INVALID_TYPE_ON_FIELD_IN_RECORD" {
			return nil, cannot(f.kind(), "VALUE_STRING value "+v)
		}
		return val, p
	case []any:
		return nil, cannot(f.kind(), "START_ARRAY value [")
	}
	return nil, cannot(f.kind(), "START_OBJECT value {")
}

// kind is the platform's word for what a field holds, in complaints.
func (f *field) kind() string {
	switch {
	case f.number() && f.Type != Int:
		return "double"
	case f.text():
		return "string"
	case f.Type == Reference:
		return "reference"
	}
	return string(f.Type)
}

// fromText reads a value as CSV spells it.
func (f *field) fromText(object, s string) (any, *problem) {
	bad := func() *problem {
		return wrong("INVALID_TYPE_ON_FIELD_IN_RECORD", "%s: value not of required type: %s", f.Name, s).of(f.Name)
	}
	if !utf8.ValidString(s) {
		return nil, wrong("INVALID_TYPE_ON_FIELD_IN_RECORD", "%s: value is not UTF-8", f.Name).of(f.Name)
	}
	// The platform trims what text fields keep, and keeps no empty text.
	if s = strings.TrimSpace(s); s == "" {
		return nil, nil
	}
	switch {
	case f.text():
		return s, nil
	case f.number():
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) || strings.ContainsAny(s, "xXpP_") {
			return nil, bad()
		}
		if f.Type == Int && n != math.Trunc(n) {
			return nil, bad()
		}
		return n, nil
	case f.Type == Boolean:
		switch strings.ToLower(s) {
		case "true", "yes", "y", "on", "1":
			return true, nil
		case "false", "no", "n", "off", "0":
			return false, nil
		}
		return nil, bad()
	case f.Type == Date:
		if d, ok := parseDate(s); ok {
			return d, nil
		}
		if t, ok := parseMoment(s); ok {
			return t.Format(dateForm), nil
		}
		return nil, bad()
	case f.Type == DateTime:
		if t, ok := parseMoment(s); ok {
			return t, nil
		}
		if d, ok := parseDate(s); ok {
			t, _ := time.Parse(dateForm, d)
			return t, nil
		}
		return nil, bad()
	}
	id, ok := shortID(s) // a reference
	if !ok {
		return nil, wrong("MALFORMED_ID", "%s: id value of incorrect type: %s", f.Label, s).of(f.Name)
	}
	return longID(id), nil
}

// check holds a value against what the field allows.
func (f *field) check(v any) *problem {
	switch v := v.(type) {
	case string:
		switch {
		case f.text() && utf8.RuneCountInString(v) > f.Length:
			return wrong("STRING_TOO_LONG", "%s: data value too large: %s (max length=%d)", f.Label, v, f.Length).of(f.Name)
		case f.Type == Email && !email.MatchString(v):
			return wrong("INVALID_EMAIL_ADDRESS", "%s: invalid email address: %s", f.Label, v).of(f.Name)
		case f.Type == Picklist && f.Restricted && !slices.Contains(f.Values, v):
			return wrong("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "%s: bad value for restricted picklist field: %s", f.Label, v).of(f.Name)
		}
	case float64:
		if math.Abs(v) >= math.Pow10(f.Precision-f.Scale) {
			return wrong("NUMBER_OUTSIDE_VALID_RANGE", "%s: value outside of valid range on numeric field: %s", f.Label, number(v)).of(f.Name)
		}
	}
	return nil
}

var email = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s.]+$`)

// round gives a number the digits that the field keeps: half away from zero, by
// its decimal digits, as money is rounded.
func (f *field) round(v any) any {
	n, ok := v.(float64)
	if !ok {
		return v
	}
	text := number(n)
	if _, digits, _ := strings.Cut(text, "."); len(digits) <= f.Scale {
		return n + 0 // no negative zero
	}
	exact, ok := new(big.Rat).SetString(text)
	if !ok {
		return v
	}
	r, err := strconv.ParseFloat(exact.FloatString(f.Scale), 64)
	if err != nil {
		return v
	}
	return r + 0
}

// key is what a value is found by and compared with where it is unique.
func (f *field) key(v any) string {
	switch v := v.(type) {
	case string:
		if !f.CaseSensitive {
			return strings.ToLower(v)
		}
		return v
	case float64:
		return number(v)
	}
	return ""
}

// number prints one in the fewest digits, without an exponent.
func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// double prints one as the platform's JSON does, which is Java's way: always
// with a point, and with an exponent from ten millions on and below a
// thousandth.
func double(n float64) string {
	if a := math.Abs(n); a != 0 && (a >= 1e7 || a < 1e-3) {
		s := strconv.FormatFloat(n, 'E', -1, 64) // d.dddE+07
		digits, exp, _ := strings.Cut(s, "E")
		if !strings.Contains(digits, ".") {
			digits += ".0"
		}
		e, _ := strconv.Atoi(exp)
		return digits + "E" + strconv.Itoa(e)
	}
	s := number(n)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// json gives what REST answers with for a value.
func (f *field) json(v any) any {
	switch v := v.(type) {
	case float64:
		if f.Type == Int {
			return json.RawMessage(number(v))
		}
		return json.RawMessage(double(v))
	case time.Time:
		return v.Format(timeForm)
	}
	return v
}
