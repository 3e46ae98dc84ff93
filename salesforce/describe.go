package salesforce

import (
	"context"
	"strings"
)

// An Object is what an org says of one of its objects.
type Object struct {
	// Name is the API name, as the org spells it.
	Name string `json:"name"`
	// Fields are all fields the user may see.
	Fields []Field `json:"fields"`
}

// Field returns the field of that API name, in any case, and whether there is
// one.
func (o *Object) Field(name string) (Field, bool) {
	for _, f := range o.Fields {
		if strings.EqualFold(f.Name, name) {
			return f, true
		}
	}
	return Field{}, false
}

// A Field is what an org says of a field.
type Field struct {
	// Name is the API name, as the org spells it.
	Name string `json:"name"`
	// Type is the describe's word: string, double, currency, boolean, date,
	// datetime, picklist, reference, id and so on.
	Type string `json:"type"`
	// Length is the most characters of a text; 0 elsewhere.
	Length int `json:"length"`
	// Precision and Scale are the digits of a number, all and after the point.
	Precision int `json:"precision"`
	// Scale is how many of Precision come after the point.
	Scale int `json:"scale"`
	// ExternalID says that the field is marked as an external id.
	ExternalID bool `json:"externalId"`
	// IDLookup says that records can be found by the field in an upsert.
	IDLookup bool `json:"idLookup"`
	// Unique says that no two records have the same value.
	Unique bool `json:"unique"`
	// CaseSensitive says that values which differ in case alone are different,
	// as external ids and where Unique.
	CaseSensitive bool `json:"caseSensitive"`
	// Nillable says that the field may be null.
	Nillable bool `json:"nillable"`
	// Createable and Updateable say whether this user may write it.
	Createable bool `json:"createable"`
	// Updateable says whether this user may change it.
	Updateable bool `json:"updateable"`
}

// Same returns the form of a value that tells whether records meet in one
// external id: two values are one to the org if their forms are equal. Blanks
// around a value do not count, neither does case unless the field is
// CaseSensitive, and numbers are compared by their value. Case is Unicode's
// lower case; the platform documents no table of its own.
func (f Field) Same(value string) string {
	value = strings.TrimSpace(value)
	if f.Numeric() {
		if s, ok := decimal(value); ok {
			return s
		}
	}
	if !f.CaseSensitive {
		return strings.ToLower(value)
	}
	return value
}

// Numeric reports whether the field holds numbers.
func (f Field) Numeric() bool {
	switch f.Type {
	case "int", "double", "currency", "percent", "long":
		return true
	}
	return false
}

// Describe returns what the org says of an object: its fields, which of them
// are external ids, and how they compare. It costs one call; keep the answer.
func (o *Org) Describe(ctx context.Context, object string) (*Object, error) {
	op := "describe " + clip(object, 80)
	path, err := objectPath(op, object)
	if err != nil {
		return nil, err
	}
	var d Object
	if err := o.Do(ctx, Call{Op: op, Path: path + "/describe"}, &d); err != nil {
		return nil, err
	}
	return &d, nil
}
