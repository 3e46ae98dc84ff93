package sftest

import (
	"fmt"
	"slices"
	"strings"
)

// A SchemaError says which declaration an org cannot be made with.
type SchemaError struct {
	// Object and Field name the declaration; Field is empty where it is the
	// object's own.
	Object, Field string
	// Reason says what is wrong, and what would be right.
	Reason string
}

func (e *SchemaError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("sftest: object %q: %s", e.Object, e.Reason)
	}
	return fmt.Sprintf("sftest: object %q, field %q: %s", e.Object, e.Field, e.Reason)
}

// A field is a declared one with its defaults, at its place in a row.
type field struct {
	Field
	at     int
	system bool // the org writes it, clients do not
	custom bool
}

// number says whether the field holds one.
func (f *field) number() bool {
	return f.Type == Int || f.Type == Double || f.Type == Currency || f.Type == Percent
}

// text says whether the field holds characters that can be compared and bound.
func (f *field) text() bool {
	switch f.Type {
	case String, TextArea, Picklist, Email, Phone, URL:
		return true
	}
	return false
}

// lookup says whether rows are found by the field's values.
func (f *field) lookup() bool { return f.Unique || f.ExternalID }

// An object is a declared one, ready for use.
type object struct {
	Object
	fields []*field
	byName map[string]*field // by lower-case name
	event  bool
	custom bool
}

// field finds one by its name, in any case.
func (o *object) field(name string) *field { return o.byName[strings.ToLower(name)] }

// The places of the fields that every row has.
const (
	atID = iota
	atDeleted
	atCreated
	atModified
	atStamp
	ownFields // where the object's own begin
)

var system = []Field{
	{Name: "Id", Label: "Record ID", Type: idType, Length: 18},
	{Name: "IsDeleted", Label: "Deleted", Type: Boolean},
	{Name: "CreatedDate", Label: "Created Date", Type: DateTime},
	{Name: "LastModifiedDate", Label: "Last Modified Date", Type: DateTime},
	{Name: "SystemModstamp", Label: "System Modstamp", Type: DateTime},
}

// A schema is every object of an org.
type schema struct {
	objects []*object
	byName  map[string]*object // by lower-case name
	prefix  map[string]*object // by key prefix
}

func (s *schema) object(name string) *object { return s.byName[strings.ToLower(name)] }

// compile checks declarations and gives them their defaults.
func compile(added []Object) (*schema, error) {
	all := make([]Object, 0, len(standard)+len(added))
	for _, o := range standard {
		o.Fields = slices.Clone(o.Fields)
		all = append(all, o)
	}
	for _, o := range added {
		is := func(s Object) bool { return strings.EqualFold(s.Name, o.Name) }
		if i := slices.IndexFunc(all[:len(standard)], is); i >= 0 {
			all[i].Fields = append(all[i].Fields, o.Fields...)
			continue
		}
		all = append(all, o)
	}
	s := &schema{byName: map[string]*object{}, prefix: map[string]*object{}}
	for _, o := range all {
		if s.object(o.Name) != nil {
			return nil, &SchemaError{Object: o.Name, Reason: "is declared twice"}
		}
		c, err := compileObject(o)
		if err != nil {
			return nil, err
		}
		if err := s.givePrefix(c); err != nil {
			return nil, err
		}
		s.objects = append(s.objects, c)
		s.byName[strings.ToLower(o.Name)] = c
	}
	for _, o := range s.objects {
		for _, f := range o.fields {
			if f.Type == Reference && s.object(f.ReferenceTo) == nil {
				return nil, &SchemaError{o.Name, f.Name, fmt.Sprintf("refers to %q, which is no object of the org", f.ReferenceTo)}
			}
		}
	}
	return s, nil
}

// givePrefix settles what the ids of an object begin with.
func (s *schema) givePrefix(o *object) error {
	if o.Prefix == "" {
		first, second := "a0", base62
		if o.event {
			first = "e0"
		}
		for _, c := range second {
			if p := first + string(c); s.prefix[p] == nil {
				o.Prefix = p
				break
			}
		}
	}
	if len(o.Prefix) != 3 || strings.Trim(o.Prefix, base62) != "" {
		return &SchemaError{Object: o.Name, Reason: fmt.Sprintf("the prefix %q is not three letters or digits", o.Prefix)}
	}
	if other := s.prefix[o.Prefix]; other != nil {
		return &SchemaError{Object: o.Name, Reason: fmt.Sprintf("has the prefix %s of %s", o.Prefix, other.Name)}
	}
	s.prefix[o.Prefix] = o
	return nil
}

func compileObject(o Object) (*object, error) {
	c := &object{Object: o, byName: map[string]*field{}}
	c.event = strings.HasSuffix(o.Name, "__e")
	c.custom = c.event || strings.HasSuffix(o.Name, "__c")
	known := slices.ContainsFunc(standard, func(s Object) bool { return s.Name == o.Name })
	if !name(o.Name) || !c.custom && !known {
		return nil, &SchemaError{Object: o.Name, Reason: "is no standard object of this org: a custom object's name is letters, digits and _, and ends in __c; an event's in __e"}
	}
	if o.Label == "" {
		c.Label = label(o.Name)
	}
	add := func(f Field, isSystem bool) error {
		if c.field(f.Name) != nil {
			return &SchemaError{o.Name, f.Name, "is declared twice"}
		}
		g := &field{Field: f, at: len(c.fields), system: isSystem, custom: strings.HasSuffix(f.Name, "__c")}
		if !isSystem {
			if err := g.complete(o.Name); err != nil {
				return err
			}
		}
		c.fields = append(c.fields, g)
		c.byName[strings.ToLower(f.Name)] = g
		return nil
	}
	for _, f := range system {
		if err := add(f, true); err != nil {
			return nil, err
		}
	}
	named := slices.ContainsFunc(o.Fields, func(f Field) bool { return strings.EqualFold(f.Name, "Name") })
	if c.custom && !c.event && !named {
		o.Fields = append([]Field{{Name: "Name", Length: 80}}, o.Fields...)
	}
	for _, f := range o.Fields {
		if err := add(f, false); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// complete checks a declared field and gives it its defaults.
func (f *field) complete(object string) error {
	bad := func(format string, args ...any) error {
		return &SchemaError{object, f.Name, fmt.Sprintf(format, args...)}
	}
	if !name(f.Name) {
		return bad("a field's name is letters, digits and _, and a custom one's ends in __c")
	}
	if f.Label == "" {
		f.Label = label(f.Name)
	}
	if f.Type == "" {
		f.Type = String
	}
	switch {
	case f.Type == TextArea && f.Length == 0:
		f.Length = 32_768
	case f.Type == Int && f.Precision == 0:
		f.Precision = 9
	case f.number() && f.Precision == 0:
		f.Precision = 18
	case f.text() && f.Length == 0:
		f.Length = 255
	}
	switch f.Type {
	case String, TextArea, Email, Phone, URL, Boolean, Date, DateTime, Picklist:
	case Int, Double, Currency, Percent:
		if f.Scale < 0 || f.Precision < 1 || f.Precision > 18 || f.Scale > f.Precision {
			return bad("precision %d with scale %d: at most 18 digits, and no more after the point than in all", f.Precision, f.Scale)
		}
	case Reference:
		if f.ReferenceTo == "" {
			return bad("a reference needs ReferenceTo, the object it refers to")
		}
	default:
		return bad("has the type %q, which this org does not know", f.Type)
	}
	if f.Length < 0 || f.Length > 131_072 {
		return bad("length %d: from 1 to 131,072", f.Length)
	}
	if f.lookup() && !(f.Type == String || f.Type == Email || f.number()) {
		return bad("a %s cannot be unique or an external id; a string, an email or a number can", f.Type)
	}
	return nil
}

// name says whether s can be an API name.
func name(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 80
}

func label(name string) string {
	for _, end := range []string{"__c", "__e"} {
		name = strings.TrimSuffix(name, end)
	}
	return strings.ReplaceAll(name, "_", " ")
}
