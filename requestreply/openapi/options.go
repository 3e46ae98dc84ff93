package openapi

import (
	"reflect"

	"github.com/crosstie/crosstie/requestreply/server"
)

// A Profile says who shall be able to import the document.
type Profile int

const (
	// ExternalServices is Salesforce External Services, the default: what it
	// would refuse or drop is refused here, and problems are application/json.
	ExternalServices Profile = iota
	// Standard is any reader of OpenAPI 3.0: only what that forbids is
	// refused, and problems are application/problem+json.
	Standard
)

// String returns the profile's name.
func (p Profile) String() string {
	if p == Standard {
		return "OpenAPI 3.0"
	}
	return "Salesforce External Services"
}

// Options configure an [API]. A nil *Options is legal; each field that is zero
// means its default.
type Options struct {
	// Profile defaults to ExternalServices.
	Profile Profile
	// Description is of the whole API; it may be in Markdown.
	Description string
	// URL is where the API is, as the document says: "https://api.example/v1".
	// Defaults to "/", which a Salesforce Named Credential puts its host
	// before. A path before the patterns belongs here, and in front of the
	// handler an http.StripPrefix.
	URL string
	// Path is where the document is served. Defaults to "/openapi.json"; "-"
	// serves none.
	Path string
	// Types says what types write that write themselves (MarshalJSON,
	// MarshalText), or gives any other type a format:
	//
	//	reflect.TypeFor[decimal.Decimal](): {Type: "string", Format: "decimal"}
	//
	// What they write is not checked.
	Types map[reflect.Type]Type
	// Server configures the operations that have no options of their own. Its
	// Complete is always on, since the document says what is required.
	Server *server.Options
}

// A Type is the type and format of a schema: "string", "number", "integer" or
// "boolean", and a format of OpenAPI or your own. The zero Type is any value.
type Type struct {
	Type   string
	Format string
}

// An Operation describes an operation beyond its types. A nil *Operation is
// legal.
type Operation struct {
	// Summary says what it does in a few words, Description at length.
	Summary     string
	Description string
	// Status is that of its success, 200 to 299. Defaults to 200, or 204 when
	// the answer is struct{}.
	Status int
	// Keys make it answer each Idempotency-Key once, as server.Idempotent
	// does; Server.Scope is then required. Nil leaves it as repeatable as its
	// function is. Not for RegisterTx, which has keys already.
	Keys server.Keys
	// Callbacks are the calls it makes later, to addresses it is given.
	Callbacks []Callback
	// Server configures it. Nil means Options.Server.
	Server *server.Options
}
