package table

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/crosstie/crosstie/batchsync"
)

// A plan is how a row type is stored.
type plan struct {
	columns []column
	key     int // index of the key in columns
	keyKind reflect.Kind
}

type column struct {
	name  string
	field int
	bind  func(v reflect.Value) (any, error)
	dest  func(v reflect.Value) any
}

var (
	valuerType  = reflect.TypeFor[driver.Valuer]()
	scannerType = reflect.TypeFor[sql.Scanner]()
	timeType    = reflect.TypeFor[time.Time]()
)

func planOf[T any](key string) (*plan, error) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("table: %w: a row type must be a struct, and %v is none", batchsync.ErrSchema, t)
	}
	p := &plan{key: -1}
	seen := map[string]bool{}
	for f := range t.Fields() {
		name, tagged := f.Tag.Lookup("db")
		if name == "-" || !f.IsExported() && !f.Anonymous && !tagged {
			continue
		}
		fail := func(why string) error {
			return fmt.Errorf("table: %w: field %s of %v %s", batchsync.ErrSchema, f.Name, t, why)
		}
		if name == "" {
			name = f.Name
		}
		switch {
		case f.Anonymous && !tagged:
			return nil, fail(`is embedded: name its columns in the row type itself, or tag it db:"-"`)
		case !f.IsExported():
			return nil, fail("has a db tag and is not exported")
		case !identifier.MatchString(name):
			return nil, fail(fmt.Sprintf("has the tag %q, which is no name of a column", name))
		case seen[strings.ToLower(name)]:
			return nil, fail(fmt.Sprintf("is the second for column %q", name))
		}
		seen[strings.ToLower(name)] = true
		c := column{name: name, field: f.Index[0]}
		if !c.mapType(f.Type) {
			return nil, fail(fmt.Sprintf("has type %v, which cannot be stored: use a string, bool, number, []byte, time.Time, a pointer to one, or a type with Scan and Value", f.Type))
		}
		if strings.EqualFold(name, key) {
			p.key, p.keyKind = len(p.columns), f.Type.Kind()
			switch p.keyKind {
			case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			default:
				return nil, fail("is the key and must be a string or a signed integer")
			}
			if f.Type.Implements(valuerType) || reflect.PointerTo(f.Type).Implements(scannerType) {
				return nil, fail("is the key and must be a plain string or integer")
			}
		}
		p.columns = append(p.columns, c)
	}
	if p.key < 0 {
		return nil, fmt.Errorf("table: %w: %v has no field for the key column %q", batchsync.ErrSchema, t, key)
	}
	return p, nil
}

var (
	errNaN  = errors.New("NaN cannot be stored: a database makes NULL of it")
	errUint = errors.New("the number is larger than a signed 64-bit integer")
)

func addr(v reflect.Value) any { return v.Addr().Interface() }

// mapType says how a field of type t is bound and scanned.
func (c *column) mapType(t reflect.Type) bool {
	c.dest = addr
	switch {
	case t.Implements(valuerType) && reflect.PointerTo(t).Implements(scannerType):
		c.bind = func(v reflect.Value) (any, error) {
			return v.Interface().(driver.Valuer).Value()
		}
		return true
	case t == timeType:
		c.bind = func(v reflect.Value) (any, error) { return timeText(v.Interface().(time.Time)), nil }
		c.dest = func(v reflect.Value) any { return &timeDest{v: v} }
		return true
	case t.Kind() == reflect.Pointer && t.Elem() == timeType:
		c.bind = func(v reflect.Value) (any, error) {
			if v.IsNil() {
				return nil, nil
			}
			return timeText(*v.Interface().(*time.Time)), nil
		}
		c.dest = func(v reflect.Value) any { return &timeDest{v: v, null: true} }
		return true
	case t.Kind() == reflect.Pointer:
		inner := column{}
		if t.Elem().Kind() == reflect.Pointer || t.Elem().Kind() == reflect.Slice || !inner.mapType(t.Elem()) {
			return false
		}
		c.bind = func(v reflect.Value) (any, error) {
			if v.IsNil() {
				return nil, nil
			}
			return inner.bind(v.Elem())
		}
		return true
	}
	switch t.Kind() {
	case reflect.String:
		c.bind = func(v reflect.Value) (any, error) { return v.String(), nil }
	case reflect.Bool:
		c.bind = func(v reflect.Value) (any, error) { return v.Bool(), nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		c.bind = func(v reflect.Value) (any, error) { return v.Int(), nil }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		c.bind = func(v reflect.Value) (any, error) {
			if v.Uint() > math.MaxInt64 {
				return nil, errUint
			}
			return int64(v.Uint()), nil
		}
	case reflect.Float32, reflect.Float64:
		c.bind = func(v reflect.Value) (any, error) {
			if math.IsNaN(v.Float()) {
				return nil, errNaN
			}
			return v.Float(), nil
		}
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			return false
		}
		c.bind = func(v reflect.Value) (any, error) {
			if v.IsNil() {
				return nil, nil
			}
			return v.Bytes(), nil
		}
	default:
		return false
	}
	return true
}

// timeLayout has a fixed width, so that texts sort as their times do.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

func timeText(t time.Time) string { return t.UTC().Format(timeLayout) }

// A timeDest scans what drivers make of a time: some parse it by the declared
// type of the column, some return the text.
type timeDest struct {
	v    reflect.Value
	null bool // v is a *time.Time
}

// Scan implements sql.Scanner.
func (d *timeDest) Scan(src any) error {
	var at time.Time
	switch x := src.(type) {
	case nil:
		if !d.null {
			return errors.New("NULL in a column whose field is a time.Time: make it a pointer")
		}
		d.v.SetZero()
		return nil
	case time.Time:
		at = x
	case []byte:
		return d.Scan(string(x))
	case string:
		var err error
		if at, err = parseTime(x); err != nil {
			return err
		}
	default:
		return fmt.Errorf("a %T in a column whose field is a time", src)
	}
	at = at.UTC()
	if d.null {
		d.v.Set(reflect.ValueOf(&at))
	} else {
		d.v.Set(reflect.ValueOf(at))
	}
	return nil
}

func parseTime(s string) (time.Time, error) {
	for _, l := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", time.DateOnly} {
		if t, err := time.Parse(l, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("not a time in ISO 8601")
}

// keyOf makes a key of a row's identity.
func (p *plan) keyOf(id string) (any, error) {
	if p.keyKind == reflect.String {
		return id, nil
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, errors.New("the identity of the row is not a whole number, as its key is")
	}
	return n, nil
}
