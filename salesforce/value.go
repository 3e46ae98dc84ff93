package salesforce

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// A Time is a point in time in the org's form of it. The zero value is null.
// Salesforce keeps whole seconds in most fields.
type Time struct{ time.Time }

// timeForms are what orgs write, and RFC 3339.
var timeForms = []string{"2006-01-02T15:04:05.999999999-0700", time.RFC3339Nano}

const timeForm = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes UTC with milliseconds, and null for the zero time.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return t.UTC().AppendFormat(nil, `"`+timeForm+`"`), nil
}

// UnmarshalJSON reads the forms "2026-01-02T15:04:05.000+0000" and RFC 3339,
// and null as the zero time.
func (t *Time) UnmarshalJSON(b []byte) error {
	s, err := unquote(b)
	if err != nil || s == "" {
		*t = Time{}
		return err
	}
	return t.UnmarshalText([]byte(s))
}

// MarshalText writes UTC with milliseconds, and nothing for the zero time.
func (t Time) MarshalText() ([]byte, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.UTC().AppendFormat(nil, timeForm), nil
}

// UnmarshalText reads what UnmarshalJSON reads.
func (t *Time) UnmarshalText(b []byte) error {
	for _, form := range timeForms {
		if v, err := time.Parse(form, string(b)); err == nil {
			*t = Time{v.UTC()}
			return nil
		}
	}
	return errors.New("salesforce: not a date and time such as 2026-01-02T15:04:05.000+0000")
}

// A Date is a day without a zone. The zero value is null. It is comparable.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf returns the day of t in t's zone.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// IsZero reports whether d is null.
func (d Date) IsZero() bool { return d == Date{} }

// String returns the form 2026-01-02.
func (d Date) String() string {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// MarshalJSON writes "2026-01-02", and null for the zero date.
func (d Date) MarshalJSON() ([]byte, error) {
	if d.IsZero() {
		return []byte("null"), nil
	}
	return strconv.AppendQuote(nil, d.String()), nil
}

// UnmarshalJSON reads "2026-01-02", and null as the zero date.
func (d *Date) UnmarshalJSON(b []byte) error {
	s, err := unquote(b)
	if err != nil || s == "" {
		*d = Date{}
		return err
	}
	return d.UnmarshalText([]byte(s))
}

// MarshalText writes 2026-01-02, and nothing for the zero date.
func (d Date) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads 2026-01-02.
func (d *Date) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.DateOnly, string(b))
	if err != nil {
		return errors.New("salesforce: not a date such as 2026-01-02")
	}
	*d = DateOf(t)
	return nil
}

// An Int is a whole number in the org's form of it. Salesforce keeps numbers as
// decimals and prints 12 as 12.0, which a Go integer does not read. It is
// written as any integer; null is read as 0, so use *Int where that matters.
type Int int64

// UnmarshalJSON reads a number that is whole, in any spelling of it, and null
// as 0.
func (i *Int) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*i = 0
		return nil
	}
	if s, ok := decimal(string(b)); ok {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			*i = Int(n)
			return nil
		}
	}
	return errors.New("salesforce: not a whole number")
}

// unquote returns the text of a JSON string, and "" for null.
func unquote(b []byte) (string, error) {
	if string(b) == "null" {
		return "", nil
	}
	s, err := strconv.Unquote(string(b))
	if err != nil {
		return "", errors.New("salesforce: neither a text nor null")
	}
	return s, nil
}

// decimal is the one form of all spellings of a number.
func decimal(s string) (string, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || len(s) > 60 || strings.ContainsAny(s, "_xXpPiInN") {
		return "", false
	}
	if f == 0 {
		return "0", true
	}
	r, ok := new(big.Rat).SetString(s) // f is no zero, so the exponent is small
	if !ok {
		return "", false
	}
	return r.RatString(), true
}
