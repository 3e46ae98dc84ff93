package sftest

import (
	"bytes"
	"fmt"
)

// ReadSchema reads declarations of objects from JSON, as in
//
//	{"objects": [{"name": "Product2", "fields": [
//		{"name": "SKU__c", "length": 40, "externalId": true, "unique": true},
//		{"name": "Stock__c", "type": "double"}]}]}
//
// or the array alone. The names of the members are those of [Object] and [Field] with a small first
// letter; one that is unknown is an error.
func ReadSchema(text []byte) ([]Object, error) {
	var s struct {
		Objects []Object `json:"objects"`
	}
	into := any(&s)
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		into = &s.Objects
	}
	if err := strict(text, into); err != nil {
		return nil, fmt.Errorf("sftest: schema: %w", err)
	}
	if _, err := compile(s.Objects); err != nil {
		return nil, err
	}
	return s.Objects, nil
}
