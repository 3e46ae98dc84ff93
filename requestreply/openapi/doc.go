// Package openapi serves typed operations together with the OpenAPI 3.0
// document that describes them, so that another system can import them:
// Salesforce External Services above all, which makes Flow actions and Apex
// classes of the document.
//
// Use it when your callers shall be able to make a client of a description.
// When both ends are your own Go, package server and a requestreply.Endpoint
// need no document. When the answer takes longer than the caller may wait
// (120 s for Salesforce), use remoteinvoke.
//
//	api := openapi.New("Warehouse", "1.4.0", nil)
//	err := errors.Join(
//		openapi.Register(api, "GET /stock/{sku}", "getStock", stock, nil),
//		openapi.RegisterTx(api, db.Keys(), "POST /reservations", "reserve", reserve,
//			&openapi.Operation{Summary: "Reserve stock for an order"}),
//	)
//	if err != nil {
//		return err // names each field that could not be imported, and the rule
//	}
//	http.Handle("/", api) // the operations, and the document at /openapi.json
//
// # The promise
//
// An operation is served by package server, with all its limits, and the
// document says what is served: one reading of the types makes both. What it
// calls required is required, what an enum does not list is refused, as are
// members and query parameters it does not have, and an answer has no null in it: a nil slice is [], a nil map is {}, and a member
// that is nil is left out.
//
// An operation that the importer would refuse, or of which it would drop
// something without a word, is refused by [Register] before it is served,
// with a [Finding] for each field: what is wrong, what to do, and which page
// says so. What imports, but looks otherwise on the other side than it does
// here, is in [API.Notes]. Both follow what the importer's maker documents;
// the importer itself is no part of our tests.
//
// The document is the same, byte for byte, each time the same operations are
// registered in the same order. It has an ETag, and a caller that has the
// current one is answered 304.
//
// # Types
//
// A request type is the body, or its fields are tagged path, query, header
// and body, see [server.Handle]. Names of members are those of encoding/json.
//
//	Go                                  document
//	bool, string                        boolean, string
//	int, int64, uint32                  integer, int64
//	int8 to int32, uint8, uint16        integer, int32
//	uint, uint64                        refused for Salesforce, which has no such type
//	float32, float64                    number, float and double
//	time.Time                           string, date-time
//	[]byte                              string, byte: base64
//	[]T, [n]T                           array; n items
//	map[K]T                             object with additionalProperties
//	struct                              a schema of its own, so it may contain itself
//	any, json.RawMessage                any value
//	has MarshalText                     string
//	has MarshalJSON                     refused: say what it writes in Options.Types
//
// A member is required unless it is a pointer, an interface, or tagged
// omitempty or omitzero. The tag doc describes a field, and enum lists its
// values. Type arguments become part of the name: Page[Stock] is PageStock.
//
// # Problems
//
// Errors are RFC 9457 problems in content, as of package server. For
// Salesforce their type is application/json, the only one of the two that it
// imports, unless the request's Accept header has application/problem+json:
// a requestreply.Endpoint asks for that.
//
// # What is bounded
//
//	bounded                             default      at the bound
//	requests and answers                as server    as server
//	the document, for Salesforce        10,000,000   refused by Register
//	operations, schemas, for Salesforce 3,000 each   refused by Register
//
// The document and its schemas are kept in memory. Nothing here survives a
// crash, and nothing need: stored answers are those of the keys.
//
// # Errors
//
// [Register] fails with an [*Error] that has all findings at once. Nothing of
// an operation that was refused is served or described.
//
// # Concurrency
//
// An API may be used by several goroutines, Register included: an operation
// is served, and in the document, from when Register returns.
//
// # Testing
//
// The document needs no server: compare [API.Document] with a copy you keep,
// and a change of your types cannot change what others imported by accident.
package openapi
