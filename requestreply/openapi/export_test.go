package openapi

import "reflect"

// Describe adds the schema of a type to a's document and returns its JSON, as
// Register does for a type argument, which cannot be made while a test runs.
func Describe(a *API, t reflect.Type) (properties, []Finding) {
	b := &draft{
		a: a, profile: a.o.Profile, names: map[reflect.Type]string{}, taken: map[string]bool{}, schemas: map[string]*schema{}, open: map[reflect.Type]bool{},
	}
	s := b.of(t, "", "Random")
	stop, notes := b.f.split()
	if len(stop) == 0 {
		b.commit(route{method: "get", path: "/"}, &operation{}, proposal{}, notes)
	}
	return properties{{"schema", s}}, stop
}

// Encode writes a value as an operation that answers with a t does.
func Encode(a *API, v any, t reflect.Type) ([]byte, error) { return encode(v, t, a.types) }
