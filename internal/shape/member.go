// Package shape says what of a Go type travels where: which members a struct
// has as a JSON object, and which fields of a request type are read from its
// path, its query, its headers and its body. Who decodes requests and who
// describes them ask the same package, so that they cannot disagree.
package shape

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// A Member is a member of the JSON object that a struct encodes to.
type Member struct {
	Name  string
	Type  reflect.Type
	Field reflect.StructField // of the struct it is declared in
	// Optional says that the object may lack it: it is a pointer, an
	// interface, omitempty or omitzero, or comes from an embedded pointer.
	Optional bool
	// Quoted is the option "string" of the tag.
	Quoted bool
	// Enum are the values the tag enum allows, as texts; nil allows all.
	Enum []string

	index []int
}

// Object is what a struct encodes to, in the order of its fields.
type Object struct {
	Members []Member
	byName  map[string]int
}

// Index returns the place in Members of the one of that very name.
func (o *Object) Index(name string) (int, bool) {
	i, ok := o.byName[name]
	return i, ok
}

// Named returns the member of that very name.
func (o *Object) Named(name string) (Member, bool) {
	i, ok := o.byName[name]
	if !ok {
		return Member{}, false
	}
	return o.Members[i], true
}

var objects sync.Map // reflect.Type -> *Object

// ObjectOf returns the members of a struct as encoding/json sees them: the
// fields of embedded structs are the outer one's own, the shallowest of equal
// names wins, then the one that a tag names, and two that are left hide each
// other.
func ObjectOf(t reflect.Type) *Object {
	if o, ok := objects.Load(t); ok {
		return o.(*Object)
	}
	o := &Object{byName: map[string]int{}}
	for _, c := range dominant(candidates(t)) {
		o.byName[c.Name] = len(o.Members)
		o.Members = append(o.Members, c.Member)
	}
	actual, _ := objects.LoadOrStore(t, o)
	return actual.(*Object)
}

// A candidate is a field that may be a member, if none hides it.
type candidate struct {
	Member
	depth  int
	tagged bool
}

// level is a struct that is embedded at some depth.
type level struct {
	t       reflect.Type
	index   []int
	pointer bool // on the way there
}

func candidates(t reflect.Type) (all []candidate) {
	visited := map[reflect.Type]bool{}
	for depth, now := 0, []level{{t: t}}; len(now) > 0; depth++ {
		var next []level
		times := map[reflect.Type]int{}
		for _, l := range now {
			// Twice is enough for its members to hide each other.
			if times[l.t]++; visited[l.t] || times[l.t] > 2 {
				continue
			}
			for i := range l.t.NumField() {
				f := l.t.Field(i)
				under := f.Type
				if under.Kind() == reflect.Pointer {
					under = under.Elem()
				}
				if f.Anonymous && !f.IsExported() && under.Kind() != reflect.Struct || !f.Anonymous && !f.IsExported() {
					continue
				}
				tag := f.Tag.Get("json")
				if tag == "-" {
					continue
				}
				name, options, _ := strings.Cut(tag, ",")
				if !validName(name) {
					name = ""
				}
				index := append(slices.Clone(l.index), i)
				if name == "" && f.Anonymous && under.Kind() == reflect.Struct {
					next = append(next, level{under, index, l.pointer || f.Type.Kind() == reflect.Pointer})
					continue
				}
				if !f.IsExported() {
					continue
				}
				all = append(all, candidate{memberOf(f, name, options, l.pointer, index), depth, name != ""})
			}
		}
		for seen := range times {
			visited[seen] = true
		}
		now = next
	}
	return all
}

func memberOf(f reflect.StructField, name, options string, pointer bool, index []int) Member {
	m := Member{Name: name, Type: f.Type, Field: f, Optional: pointer, Enum: enumOf(f), index: index}
	if name == "" {
		m.Name = f.Name
	}
	for o := range strings.SplitSeq(options, ",") {
		switch o {
		case "omitempty", "omitzero":
			m.Optional = true
		case "string":
			m.Quoted = quotable(f.Type)
		}
	}
	if k := f.Type.Kind(); k == reflect.Pointer || k == reflect.Interface {
		m.Optional = true
	}
	return m
}

// quotable says whether encoding/json heeds the option "string" for a type.
func quotable(t reflect.Type) bool {
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return false
}

func enumOf(f reflect.StructField) []string {
	tag, ok := f.Tag.Lookup("enum")
	if !ok {
		return nil
	}
	return strings.Split(tag, ",")
}

// dominant keeps of each name the one candidate that hides the others, in the
// order of the fields.
func dominant(all []candidate) (kept []candidate) {
	byName := map[string][]candidate{}
	for _, c := range all {
		byName[c.Name] = append(byName[c.Name], c)
	}
	for _, cs := range byName {
		least := slices.MinFunc(cs, func(a, b candidate) int { return a.depth - b.depth }).depth
		cs = slices.DeleteFunc(cs, func(c candidate) bool { return c.depth > least })
		if tagged := slices.DeleteFunc(slices.Clone(cs), func(c candidate) bool { return !c.tagged }); len(tagged) > 0 {
			cs = tagged
		}
		if len(cs) == 1 {
			kept = append(kept, cs[0])
		}
	}
	slices.SortFunc(kept, func(a, b candidate) int { return slices.Compare(a.index, b.index) })
	return kept
}

// validName says whether encoding/json takes the name of a tag.
func validName(s string) bool {
	if s == "" {
		return false
	}
	for _, c := range s {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return true
}
