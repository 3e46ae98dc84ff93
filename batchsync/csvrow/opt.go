package csvrow

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// An Opt is a value with three states: absent (nothing is said about it),
// null (it is cleared) and present. The zero value is absent. It is a value;
// it is comparable if T is.
//
// In JSON null is null, and an absent field is left out if its tag says
// omitzero. In SQL null is NULL; absent is an error, since a column cannot say
// nothing.
type Opt[T any] struct {
	v     T
	state state
}

type state uint8

const (
	absent state = iota
	null
	present
)

// Some returns a present Opt.
func Some[T any](v T) Opt[T] { return Opt[T]{v, present} }

// Null returns an Opt that is null.
func Null[T any]() Opt[T] { return Opt[T]{state: null} }

// Load returns the value and true if o is present, else the zero value.
func (o Opt[T]) Load() (T, bool) { return o.v, o.state == present }

// IsNull reports whether o is null.
func (o Opt[T]) IsNull() bool { return o.state == null }

// IsZero reports whether o is absent, for the JSON tag omitzero.
func (o Opt[T]) IsZero() bool { return o.state == absent }

// String returns "absent", "null" or the value as fmt prints it.
func (o Opt[T]) String() string {
	switch o.state {
	case absent:
		return "absent"
	case null:
		return "null"
	}
	return fmt.Sprint(o.v)
}

// MarshalJSON writes the value, and null for null and absent.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if o.state != present {
		return []byte("null"), nil
	}
	return json.Marshal(o.v)
}

// UnmarshalJSON reads the value, or null.
func (o *Opt[T]) UnmarshalJSON(b []byte) error {
	if bytes.Equal(bytes.TrimSpace(b), []byte("null")) {
		*o = Null[T]()
		return nil
	}
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*o = Some(v)
	return nil
}

// Value returns what database/sql stores. An absent Opt is an error.
func (o Opt[T]) Value() (driver.Value, error) {
	switch o.state {
	case absent:
		return nil, errors.New("csvrow: an absent value cannot be stored: decide between null and a value")
	case null:
		return nil, nil
	}
	return driver.DefaultParameterConverter.ConvertValue(o.v)
}

// cell is how the plan of a row type sees an Opt of any T.
type cell interface {
	set(s state) reflect.Value
	get() (reflect.Value, state)
}

func (o *Opt[T]) set(s state) reflect.Value {
	var zero T
	o.v, o.state = zero, s
	return reflect.ValueOf(&o.v).Elem()
}

func (o *Opt[T]) get() (reflect.Value, state) { return reflect.ValueOf(&o.v).Elem(), o.state }

var cellType = reflect.TypeFor[cell]()

// Scan reads what database/sql loads: NULL is null.
func (o *Opt[T]) Scan(src any) error {
	var n sql.Null[T]
	if err := n.Scan(src); err != nil {
		return err
	}
	if *o = Null[T](); n.Valid {
		*o = Some(n.V)
	}
	return nil
}
