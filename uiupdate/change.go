package uiupdate

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

// A Change is one row's new state.
type Change[K comparable, V any] struct {
	// Key names the row. Value is its content, unless Deleted is set.
	Key     K
	Value   V
	Deleted bool
	// AsOf is when the source had this state, by the source's clock; it is
	// required. A change that is older than what the view has of its row is
	// late, and left out. Of two of the same instant the later call counts.
	AsOf time.Time
}

// staged is a change that has been checked and encoded.
type staged[K comparable, V any] struct {
	Change[K, V]
	body []byte
}

// stage checks and encodes a change, outside of any lock.
func (v *View[K, V]) stage(i int, c Change[K, V], now time.Time) (staged[K, V], error) {
	bad := func(field, reason string) (staged[K, V], error) {
		return staged[K, V]{}, &FieldError{Field: field, Index: i, Reason: reason, err: ErrInvalid}
	}
	switch {
	case c.AsOf.IsZero():
		return bad("AsOf", "is missing: give the time at which the source had this state")
	case c.AsOf.After(now.Add(v.opts.MaxAhead)):
		return bad("AsOf", fmt.Sprintf("is %s ahead of this clock (at most %s): check the clock of the source", c.AsOf.Sub(now).Round(time.Second), v.opts.MaxAhead))
	}
	c.AsOf = c.AsOf.Round(0) // the wall clock alone is the source's
	key, err := keyText(c.Key)
	if err != nil {
		return bad("Key", err.Error())
	}
	s := staged[K, V]{Change: c}
	name, err := json.Marshal(key)
	if err != nil {
		return bad("Key", err.Error())
	}
	s.body = append(append(s.body, `{"key":`...), name...)
	if c.Deleted {
		var none V
		s.Value = none
		s.body = append(s.body, `,"deleted":true`...)
	} else {
		val, err := json.Marshal(c.Value)
		if err != nil {
			return bad("Value", "cannot be written as JSON: "+reason(err))
		}
		s.body = append(append(s.body, `,"value":`...), val...)
	}
	if len(s.body) > v.opts.MaxRow {
		return staged[K, V]{}, &FieldError{Field: "Value", Index: i, Reason: "with its key is too large", Size: int64(len(s.body)), Limit: int64(v.opts.MaxRow), err: ErrTooLarge}
	}
	return s, nil
}

// reason says why encoding/json refused a value, without the value: its own
// text may have it.
func reason(err error) string {
	switch e := err.(type) {
	case *json.UnsupportedTypeError:
		return "type " + e.Type.String() + " has no JSON"
	case *json.UnsupportedValueError:
		return "a value has no JSON, such as NaN"
	default:
		return fmt.Sprintf("%T", err)
	}
}

// keyText writes a key as encoding/json writes the keys of a map, so that a
// browser has text for every kind of key and loses no digit of a large number.
func keyText[K comparable](k K) (string, error) {
	text, err := keyOf(k)
	switch {
	case err != nil:
		return "", err
	case !utf8.ValidString(text):
		return "", fmt.Errorf("is not UTF-8")
	}
	return text, nil
}

func keyOf[K comparable](k K) (string, error) {
	rv := reflect.ValueOf(&k).Elem()
	switch {
	case rv.Kind() == reflect.String:
		return rv.String(), nil
	case isText(rv.Type()):
		b, err := any(k).(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return "", fmt.Errorf("MarshalText failed: %T", err)
		}
		return string(b), nil
	case rv.CanInt():
		return strconv.FormatInt(rv.Int(), 10), nil
	default:
		return strconv.FormatUint(rv.Uint(), 10), nil
	}
}

func isText(t reflect.Type) bool {
	return t.Kind() != reflect.Interface && t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// checkKey panics for a type of keys that has no text.
func checkKey[K comparable]() {
	t := reflect.TypeFor[K]()
	if k := t.Kind(); k == reflect.String || k >= reflect.Int && k <= reflect.Uintptr || isText(t) && k != reflect.Pointer {
		return
	}
	panic(fmt.Sprintf("uiupdate: new view: a key of type %s has no text: use a string, an integer or an encoding.TextMarshaler", t))
}
