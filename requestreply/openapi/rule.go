package openapi

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// The pages that rules come from. Those of Salesforce are articles of its
// Help, under External Services Considerations.
const (
	srcDefinitions = "Salesforce Help, External Services, Schema Definitions"
	srcNaming      = "Salesforce Help, External Services, Naming and Description Conventions"
	srcKeywords    = "Salesforce Help, External Services, Apex Reserved Keywords"
	srcClassNames  = "Salesforce Help, External Services, Apex Class Names and Developer Names"
	srcLimits      = "Salesforce Help, External Services, System Limits"
	srcCallbacks   = "Salesforce Help, External Services, Callouts and Callbacks: Limits and Usage"

	srcPaths      = "OpenAPI 3.0.3, Paths Object"
	srcItem       = "OpenAPI 3.0.3, Path Item Object"
	srcOperation  = "OpenAPI 3.0.3, Operation Object"
	srcParameter  = "OpenAPI 3.0.3, Parameter Object"
	srcSchema     = "OpenAPI 3.0.3, Schema Object"
	srcReference  = "OpenAPI 3.0.3, Reference Object"
	srcCallback   = "OpenAPI 3.0.3, Callback Object"
	srcURI        = "RFC 3986, section 3.3"
	srcEnum       = "OpenAPI 3.0.3, Schema Object, enum"
	srcServeMux   = "net/http, ServeMux"
	srcServer     = "package server, Handle"
	srcIdempotent = "package server, Idempotent"
	srcJSON       = "encoding/json, Marshal"
)

// What External Services takes at most.
const (
	maxDocument    = 10_000_000 // characters
	maxOperations  = 3_000
	maxSchemas     = 3_000
	maxDescription = 1_333 // characters
	maxClassName   = 255   // with the name of the service before it
)

// findings collects what there is against an operation.
type findings struct {
	id   string
	all  []Finding
	seen map[string]bool // a type is met in many places
}

func (f *findings) add(where string, effect Effect, source, format string, args ...any) {
	x := Finding{f.id, where, effect, fmt.Sprintf(format, args...), source}
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	if key := x.String(); !f.seen[key] {
		f.seen[key] = true
		f.all = append(f.all, x)
	}
}

// split parts what stops a registration from what is only good to know.
func (f *findings) split() (stop, notes []Finding) {
	for _, x := range f.all {
		if x.Effect == Changed {
			notes = append(notes, x)
		} else {
			stop = append(stop, x)
		}
	}
	return stop, notes
}

// described checks a description of an operation or parameter.
func (b *draft) described(where, text string) {
	if n := utf8.RuneCountInString(text); b.profile == ExternalServices && n > maxDescription {
		b.f.add(where, Dropped, srcNaming, "a description of %d characters is cut after %d: shorten it", n, maxDescription)
	}
}

// named checks the name of an operation, a parameter or a property, which
// becomes an identifier in Apex.
func (b *draft) named(where, name string) {
	if b.profile != ExternalServices {
		return
	}
	if apex := apexName(name); apex != name {
		b.f.add(where, Changed, srcKeywords, "the name %q is %s in Apex: letters and digits alone stay as they are", name, apex)
	}
}

// apexName is how External Services writes a name in Apex: every byte that is
// no letter or digit, and a digit in front, as x and two hexadecimal digits.
func apexName(name string) string {
	var out strings.Builder
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if letter || i > 0 && c >= '0' && c <= '9' {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "x%02x", c)
		}
	}
	return out.String()
}

// apart finds names that Apex takes for one.
type apart map[string]string

// clash returns the name that was there before, in whatever case.
func (a apart) clash(name string) (string, bool) {
	other, ok := a[strings.ToLower(name)]
	if !ok {
		a[strings.ToLower(name)] = name
	}
	return other, ok
}

// typeName is what a finding calls a type.
func typeName(t reflect.Type) string {
	if t.Name() == "" {
		return t.String()
	}
	return schemaName(t)
}
