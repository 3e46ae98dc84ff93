package csvrow

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crosstie/crosstie/batchsync"
)

// A column is a field of the row type.
type column struct {
	name     string
	optional bool // may be missing in the header
	index    int
	nullable bool // a pointer or an Opt
	opt      bool
	codec    codec
}

// A codec converts between the text of a cell and a Go value.
type codec struct {
	read  func(text string, v reflect.Value) error
	write func(b []byte, v reflect.Value) ([]byte, error)
	text  bool // an empty cell is a value of the type
	plain bool // the value is a string, and must be UTF-8
}

// A plan is how a row type is read and written.
type plan struct {
	columns []column
	names   []string
}

// planOf looks at T once. Its errors are errors of the program.
func planOf[T any](o *Options) (*plan, error) {
	t := reflect.TypeFor[T]()
	if err := o.check(); err != nil {
		return nil, err
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("csvrow: %w: a row type must be a struct, and %v is none", batchsync.ErrSchema, t)
	}
	p := &plan{}
	seen := map[string]bool{}
	for f := range t.Fields() {
		tag, tagged := f.Tag.Lookup("csv")
		name, rest, _ := strings.Cut(tag, ",")
		if tag == "-" || !f.IsExported() && !f.Anonymous && !tagged {
			continue
		}
		fail := func(why string) error {
			return fmt.Errorf("csvrow: %w: field %s of %v %s", batchsync.ErrSchema, f.Name, t, why)
		}
		switch {
		case f.Anonymous && !tagged:
			return nil, fail(`is embedded: name its columns in the row type itself, or tag it csv:"-"`)
		case !f.IsExported():
			return nil, fail("has a csv tag and is not exported")
		case rest != "" && rest != "optional":
			return nil, fail(fmt.Sprintf("has the unknown tag option %q: the only one is optional", rest))
		}
		if name == "" {
			name = f.Name
		}
		if seen[name] {
			return nil, fail(fmt.Sprintf("is the second for column %q", name))
		}
		seen[name] = true
		c := column{name: name, optional: rest == "optional", index: f.Index[0]}
		ft := f.Type
		switch {
		case reflect.PointerTo(ft).Implements(cellType):
			c.nullable, c.opt = true, true
			v, _ := reflect.New(ft).Interface().(cell).get()
			ft = v.Type()
		case ft.Kind() == reflect.Pointer:
			c.nullable = true
			ft = ft.Elem()
		}
		codec, ok := codecOf(ft, f.Tag.Get("layout"), o)
		if !ok {
			return nil, fail(fmt.Sprintf("has type %v, which has no form in CSV: use a string, bool, number, []byte, time.Time, encoding.TextMarshaler, a pointer to one or an Opt of one", f.Type))
		}
		c.codec = codec
		p.columns = append(p.columns, c)
		p.names = append(p.names, name)
	}
	if len(p.columns) == 0 {
		return nil, fmt.Errorf("csvrow: %w: %v has no exported field", batchsync.ErrSchema, t)
	}
	return p, nil
}

var (
	textType   = reflect.TypeFor[encoding.TextMarshaler]()
	untextType = reflect.TypeFor[encoding.TextUnmarshaler]()
	timeType   = reflect.TypeFor[time.Time]()
)

var (
	errUTF8    = errors.New("the text is not valid UTF-8")
	errEmpty   = errors.New("the cell is empty, and the column cannot be null")
	errNull    = errors.New("the cell is null, and the column cannot be")
	errRange   = errors.New("the number is too large for the column")
	errInt     = errors.New("not a whole number in decimal digits")
	errFloat   = errors.New("not a decimal number")
	errBool    = errors.New("not a bool: true, false, 1 and 0 are")
	errAbsent  = errors.New("an absent value has no form in CSV unless Options.Null is set")
	errIsNull  = errors.New("the text is the one that stands for null (Options.Null)")
	errNotReal = errors.New("NaN and infinities have no form in CSV")
)

func codecOf(t reflect.Type, layout string, o *Options) (codec, bool) {
	if t == timeType {
		return timeCodec(layout, o), true
	}
	if t.Implements(textType) && reflect.PointerTo(t).Implements(untextType) {
		return codec{
			read: func(s string, v reflect.Value) error {
				return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
			},
			write: func(b []byte, v reflect.Value) ([]byte, error) {
				s, err := v.Interface().(encoding.TextMarshaler).MarshalText()
				return append(b, s...), err
			},
			text: true,
		}, true
	}
	switch t.Kind() {
	case reflect.String:
		return codec{readString, writeString, true, true}, true
	case reflect.Bool:
		return codec{readBool, func(b []byte, v reflect.Value) ([]byte, error) { return strconv.AppendBool(b, v.Bool()), nil }, false, false}, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return codec{readInt, func(b []byte, v reflect.Value) ([]byte, error) { return strconv.AppendInt(b, v.Int(), 10), nil }, false, false}, true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return codec{readUint, func(b []byte, v reflect.Value) ([]byte, error) { return strconv.AppendUint(b, v.Uint(), 10), nil }, false, false}, true
	case reflect.Float32, reflect.Float64:
		return codec{readFloat, writeFloat, false, false}, true
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return codec{
				func(s string, v reflect.Value) error { v.SetBytes([]byte(s)); return nil },
				func(b []byte, v reflect.Value) ([]byte, error) { return append(b, v.Bytes()...), nil }, true, false,
			}, true
		}
	}
	return codec{}, false
}

// readString is given valid UTF-8: a reader checks its records as a whole.
func readString(s string, v reflect.Value) error {
	v.SetString(s)
	return nil
}

func writeString(b []byte, v reflect.Value) ([]byte, error) {
	if !utf8.ValidString(v.String()) {
		return b, errUTF8
	}
	return append(b, v.String()...), nil
}

func readBool(s string, v reflect.Value) error {
	switch {
	case s == "1", strings.EqualFold(s, "true"):
		v.SetBool(true)
	case s == "0", strings.EqualFold(s, "false"):
		v.SetBool(false)
	default:
		return errBool
	}
	return nil
}

func readInt(s string, v reflect.Value) error {
	n, err := strconv.ParseInt(s, 10, v.Type().Bits())
	if err != nil {
		return numberError(err, errInt)
	}
	v.SetInt(n)
	return nil
}

func readUint(s string, v reflect.Value) error {
	n, err := strconv.ParseUint(s, 10, v.Type().Bits())
	if err != nil {
		return numberError(err, errInt)
	}
	v.SetUint(n)
	return nil
}

// readFloat takes less than strconv: no hexadecimal, underscore, inf or nan.
func readFloat(s string, v reflect.Value) error {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return errFloat
		}
	}
	f, err := strconv.ParseFloat(s, v.Type().Bits())
	if err != nil {
		return numberError(err, errFloat)
	}
	v.SetFloat(f)
	return nil
}

// numberError drops strconv's message, which repeats the cell.
func numberError(err, syntax error) error {
	if errors.Is(err, strconv.ErrRange) {
		return errRange
	}
	return syntax
}

// writeFloat writes the shortest text that reads back as the same number, and
// never an exponent, which many readers take for text.
func writeFloat(b []byte, v reflect.Value) ([]byte, error) {
	f := v.Float()
	if f-f != 0 {
		return b, errNotReal
	}
	return strconv.AppendFloat(b, f, 'f', -1, v.Type().Bits()), nil
}

func timeCodec(layout string, o *Options) codec {
	layouts, zone := o.layouts(), o.location()
	if layout != "" {
		layouts = append([]string{layout}, layouts...)
	}
	wrong := fmt.Errorf("not a time in a declared layout: %s", strings.Join(layouts, " or "))
	return codec{
		read: func(s string, v reflect.Value) error {
			for _, l := range layouts {
				if t, err := time.ParseInLocation(l, s, zone); err == nil {
					v.Set(reflect.ValueOf(t))
					return nil
				}
			}
			return wrong
		},
		write: func(b []byte, v reflect.Value) ([]byte, error) {
			t := v.Interface().(time.Time)
			return t.AppendFormat(b, layouts[0]), nil
		},
	}
}

// read puts a cell into its field. An empty cell without quotes says nothing
// (absent, or null where null has no text of its own); with quotes it is the
// empty text.
func (c *column) read(text string, quoted bool, nullText string, row reflect.Value) error {
	v := row.Field(c.index)
	isNull := text == nullText && (nullText != "" || !quoted)
	says := text != "" || quoted && c.codec.text
	if !c.nullable {
		switch {
		case isNull && nullText != "":
			return errNull
		case text == "" && !c.codec.text:
			return errEmpty
		}
		return c.codec.read(text, v)
	}
	if isNull || !says {
		if !c.opt {
			v.SetZero()
			return nil
		}
		s := absent
		if isNull || nullText == "" {
			s = null
		}
		v.Addr().Interface().(cell).set(s)
		return nil
	}
	if c.opt {
		o := v.Addr().Interface().(cell)
		if err := c.codec.read(text, o.set(present)); err != nil {
			o.set(absent)
			return err
		}
		return nil
	}
	p := reflect.New(v.Type().Elem())
	if err := c.codec.read(text, p.Elem()); err != nil {
		return err
	}
	v.Set(p)
	return nil
}

// write appends the cell of a field, without quotes; value is false where that
// is null or absent.
func (c *column) write(b []byte, nullText string, row reflect.Value) (out []byte, value bool, err error) {
	v := row.Field(c.index)
	s := present
	switch {
	case c.opt:
		v, s = v.Addr().Interface().(cell).get()
	case c.nullable && v.IsNil():
		s = null
	case c.nullable:
		v = v.Elem()
	}
	switch {
	case s == absent && nullText == "":
		return b, false, errAbsent
	case s == absent:
		return b, false, nil
	case s == null:
		return append(b, nullText...), false, nil
	}
	start := len(b)
	if b, err = c.codec.write(b, v); err != nil {
		return b, false, err
	}
	if nullText != "" && string(b[start:]) == nullText {
		return b, false, errIsNull
	}
	return b, true, nil
}
