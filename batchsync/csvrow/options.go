package csvrow

import "time"

// Options are the choices of a reader or writer. The zero value, and nil, are
// ready: a comma, a header that names exactly the columns of the row type, and
// an empty cell for null.
type Options struct {
	// Comma separates cells. Defaults to ','. It must be an ASCII character
	// other than a letter, digit, quote, CR, LF, point, plus or minus.
	Comma rune

	// Null is the cell that stands for null, such as "#N/A" for Salesforce.
	// Defaults to "": an empty cell without quotes is null. If Null is set, an
	// empty cell without quotes means absent. Only columns of a pointer or Opt
	// type can be null or absent.
	Null string

	// EmptyNull makes a [Writer] write Null for the empty text too, for readers
	// that keep none: to them an empty cell says nothing, and what was there
	// would stay. It needs Null. Defaults to false.
	EmptyNull bool

	// ID names the columns whose cells make the identity of a row. Several are
	// joined by '|', with a backslash before each '|' and backslash in them.
	// They are names of the header. Defaults to none: the identity is the
	// number of the line.
	ID []string

	// Extra accepts columns in the header that the row type does not have, and
	// passes over them. Defaults to refusing them.
	Extra bool

	// Layouts are the forms of a time (package time) that are accepted, tried
	// in this order; the first is written. A field's own `layout:"..."` tag
	// goes before. Defaults to RFC 3339, "2006-01-02 15:04:05" and
	// "2006-01-02". A time in another form is an error: nothing is guessed.
	Layouts []string

	// Location is the zone of times that name none. Defaults to UTC.
	Location *time.Location

	// MaxRecord is the most bytes of a record, line endings inside it
	// included. Defaults to 4 MiB. A larger one is a bad row.
	MaxRecord int

	// PageRows is the most rows of a page; a page also ends after 1 MiB of
	// records. Defaults to 1000.
	PageRows int

	// SpreadsheetSafe makes a [Writer] put an apostrophe before a text that a
	// spreadsheet would take for a formula (it begins with = + - @, a tab, CR
	// or NUL). It is for files that people open: the apostrophe becomes part
	// of the data for every other reader. Defaults to false.
	SpreadsheetSafe bool
}

func (o *Options) comma() byte {
	if o == nil || o.Comma == 0 {
		return ','
	}
	return byte(o.Comma)
}

func (o *Options) null() string {
	if o == nil {
		return ""
	}
	return o.Null
}

func (o *Options) layouts() []string {
	if o == nil || len(o.Layouts) == 0 {
		return []string{time.RFC3339Nano, time.DateTime, time.DateOnly}
	}
	return o.Layouts
}

func (o *Options) location() *time.Location {
	if o == nil || o.Location == nil {
		return time.UTC
	}
	return o.Location
}

func (o *Options) maxRecord() int {
	if o == nil || o.MaxRecord <= 0 {
		return 4 << 20
	}
	return o.MaxRecord
}

func (o *Options) pageRows() int {
	if o == nil || o.PageRows <= 0 {
		return 1000
	}
	return o.PageRows
}

func (o *Options) check() error {
	if o != nil && o.EmptyNull && o.Null == "" {
		return errEmptyNull
	}
	if o == nil || o.Comma == 0 {
		return nil
	}
	c := o.Comma
	if c < 0 || c > 127 || c == '"' || c == '\r' || c == '\n' || c == '.' || c == '-' || c == '+' ||
		'0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' {
		return errComma
	}
	return nil
}
