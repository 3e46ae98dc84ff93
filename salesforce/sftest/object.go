package sftest

// An Object declares an sObject. Its system fields come by themselves: Id,
// Name (unless declared), CreatedDate, LastModifiedDate, SystemModstamp and
// IsDeleted.
//
// A name that ends in __e declares a platform event, which can be published
// and not queried.
type Object struct {
	// Name is the API name: a standard object's, or one that ends in __c or __e.
	Name string `json:"name"`
	// Label is for people. Default: Name without its ending.
	Label string `json:"label,omitempty"`
	// Prefix is what ids begin with, 3 characters. Default: the platform's for
	// standard objects, else a00, a01 and so on; e00 for events.
	Prefix string `json:"prefix,omitempty"`
	// Fields are the object's own. Default none.
	Fields []Field `json:"fields,omitempty"`
}

// A Field declares a field of an [Object].
type Field struct {
	// Name is the API name; a custom field's ends in __c.
	Name string `json:"name"`
	// Label is for people. Default: Name without its ending.
	Label string `json:"label,omitempty"`
	// Type says what it holds. Default [String].
	Type FieldType `json:"type,omitempty"`
	// Length is the most characters of a String or TextArea. Default 255, and
	// 32,768 for a TextArea.
	Length int `json:"length,omitempty"`
	// Precision and Scale are the digits of a number: all of them, and those
	// after the point. Defaults 18 and 0; an Int has 9.
	Precision int `json:"precision,omitempty"`
	Scale     int `json:"scale,omitempty"`
	// Required refuses rows without a value.
	Required bool `json:"required,omitempty"`
	// Unique refuses a value that another row has.
	Unique bool `json:"unique,omitempty"`
	// ExternalID allows upserts by this field. One that is not also Unique may
	// meet several rows.
	ExternalID bool `json:"externalId,omitempty"`
	// CaseSensitive tells values apart that differ in case alone, where they
	// are unique or external ids. As on the platform, the default is not to.
	CaseSensitive bool `json:"caseSensitive,omitempty"`
	// Values are what a Picklist offers.
	Values []string `json:"values,omitempty"`
	// Restricted refuses what a Picklist does not offer.
	Restricted bool `json:"restricted,omitempty"`
	// ReferenceTo is the object whose ids a Reference holds.
	ReferenceTo string `json:"referenceTo,omitempty"`
}

// A FieldType is what a field holds, in the words of a describe.
type FieldType string

// The types of fields. Numbers are doubles, as on the platform: Double,
// Currency and Percent differ in their describe alone.
const (
	String    FieldType = "string"
	TextArea  FieldType = "textarea"
	Int       FieldType = "int"
	Double    FieldType = "double"
	Currency  FieldType = "currency"
	Percent   FieldType = "percent"
	Boolean   FieldType = "boolean"
	Date      FieldType = "date"
	DateTime  FieldType = "datetime"
	Picklist  FieldType = "picklist"
	Reference FieldType = "reference"
	Email     FieldType = "email"
	Phone     FieldType = "phone"
	URL       FieldType = "url"

	idType FieldType = "id"
)

// standard are the objects that every org has, with those of their fields that
// integrations commonly touch.
var standard = []Object{
	{Name: "Account", Prefix: "001", Fields: []Field{
		{Name: "Name", Required: true},
		{Name: "AccountNumber", Length: 40},
		{Name: "Type", Type: Picklist, Values: []string{"Prospect", "Customer - Direct", "Customer - Channel", "Other"}},
		{Name: "Industry", Type: Picklist, Values: []string{"Banking", "Energy", "Manufacturing", "Retail", "Other"}},
		{Name: "AnnualRevenue", Type: Currency},
		{Name: "NumberOfEmployees", Type: Int, Precision: 8},
		{Name: "Phone", Type: Phone, Length: 40},
		{Name: "Website", Type: URL},
		{Name: "BillingCity", Length: 40},
		{Name: "BillingCountry", Length: 80},
		{Name: "Description", Type: TextArea, Length: 32_000},
		{Name: "ParentId", Type: Reference, ReferenceTo: "Account"},
	}},
	{Name: "Contact", Prefix: "003", Fields: []Field{
		{Name: "LastName", Length: 80, Required: true},
		{Name: "FirstName", Length: 40},
		{Name: "Email", Type: Email, Length: 80},
		{Name: "Phone", Type: Phone, Length: 40},
		{Name: "AccountId", Type: Reference, ReferenceTo: "Account"},
	}},
	{Name: "Product2", Label: "Product", Prefix: "01t", Fields: []Field{
		{Name: "Name", Required: true},
		{Name: "ProductCode"},
		{Name: "Description", Type: TextArea, Length: 4_000},
		{Name: "Family", Type: Picklist, Values: []string{"None"}},
		{Name: "IsActive", Type: Boolean},
		{Name: "StockKeepingUnit", Length: 180},
		{Name: "QuantityUnitOfMeasure", Type: Picklist, Values: []string{"Each"}},
	}},
}
