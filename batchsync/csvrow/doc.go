// Package csvrow reads and writes CSV as rows of a struct, for batchsync.
//
//	type Item struct {
//		SKU   string              `csv:"sku"`
//		Price float64             `csv:"unit_price"`
//		Stock csvrow.Opt[int64]   `csv:"stock"`
//		Until *time.Time          `csv:"until,optional" layout:"2006-01-02"`
//	}
//	src := csvrow.File[Item]("items.csv", &csvrow.Options{ID: []string{"sku"}})
//	report, err := batchsync.New("items", src, sink, nil).Run(ctx)
//
// Use it for files that other systems export and import. It is strict where
// leniency loses data, and goes on where stopping would: the header must name
// the columns of the struct, numbers and times must be what they say, and a row
// that is not so becomes a row with an error that names line, column and
// reason, while the rest is read.
//
// # What is read
//
// RFC 4180, in UTF-8, with or without a byte-order mark, with LF or CRLF.
// Differences from encoding/csv: line endings inside quotes stay as they are;
// an empty line is a row with an empty cell where there is one column, and is
// passed over elsewhere; a row whose quotes do not add up is given up at the
// end of its first line, and what follows is read as rows; positions survive a
// restart of the process.
//
// A field may be a string, bool, integer, float, []byte, time.Time, a type
// with MarshalText and UnmarshalText, a pointer to one of these, or an [Opt]
// of one. Its tag names the column; "-" leaves the field out; "optional" lets
// the column be missing.
//
// # Null, empty, absent
//
//	cell            Options.Null ""                Options.Null "#N/A"
//	(empty)         null                           absent
//	""              empty text                     empty text
//	#N/A            the text #N/A                  null
//	no such column  absent                         absent
//
// A pointer is nil for null and for absent; an Opt tells them apart. A plain
// string is "" for an empty cell; a plain number, bool or time refuses one.
//
// # What is bounded
//
//	what               default    at the bound
//	a record           4 MiB      the row is bad: RowError
//	a page             1000 rows or 1 MiB of records; then the next begins
//	a bad row's Raw    64 KiB     cut, and marked so
//
// A string field is a part of one string that holds its record: to keep one
// small cell of many large records, clone it (strings.Clone).
//
// # Errors
//
// [ErrEmpty], [ErrEncoding], a [*HeaderError] (which is batchsync.ErrSchema)
// and batchsync.ErrCursor end a read; a [*RowError] is the error of one row.
// No error holds the text of a cell.
//
// # Concurrency
//
// A [Source] is safe for concurrent use, a [Writer] is not, an [Opt] is a value.
//
// # Testing
//
// [NewSource] reads from any io.ReadSeekCloser, so tests need no file.
package csvrow
