package csvrow

import (
	"errors"
	"fmt"
	"strings"

	"github.com/crosstie/crosstie/batchsync"
)

var (
	// ErrEmpty: the file has no header. A file with a header and no rows is
	// not empty; it has zero rows.
	ErrEmpty = errors.New("csvrow: the file is empty: it has no header line")
	// ErrEncoding: the file is UTF-16 or UTF-32.
	ErrEncoding = errors.New("csvrow: the file is not UTF-8 but looks like UTF-16: save it as UTF-8")

	errEmptyNull = errors.New("csvrow: Options.EmptyNull needs Options.Null, the cell that stands for null")

	errComma = errors.New("csvrow: Options.Comma must be an ASCII character other than a letter, digit, quote, CR, LF, point, plus or minus")
)

// A HeaderError says how the header of a file differs from the row type.
// errors.Is finds batchsync.ErrSchema in it.
type HeaderError struct {
	// Expected are the columns of the row type; those that may be missing are
	// among them.
	Expected []string
	// Missing are the expected columns that the header lacks.
	Missing []string
	// Unknown are the columns of the header that are not expected.
	Unknown []string
	// Repeated are the columns that the header names more than once.
	Repeated []string
}

// Error names what is wrong and what was expected. Names are clipped.
func (e *HeaderError) Error() string {
	var b strings.Builder
	b.WriteString("csvrow: the header does not fit:")
	for _, part := range []struct {
		what  string
		names []string
	}{{"missing", e.Missing}, {"unknown", e.Unknown}, {"repeated", e.Repeated}} {
		if len(part.names) > 0 {
			fmt.Fprintf(&b, " %s %s;", part.what, names(part.names))
		}
	}
	fmt.Fprintf(&b, " expected %s", names(e.Expected))
	if len(e.Unknown) == 1 && len(e.Missing) > 1 && strings.ContainsAny(e.Unknown[0], ";\t|,") {
		b.WriteString("; if another character separates the cells, set Options.Comma")
	}
	return b.String()
}

// Unwrap returns batchsync.ErrSchema.
func (e *HeaderError) Unwrap() error { return batchsync.ErrSchema }

func names(all []string) string {
	const most = 40
	quoted := make([]string, 0, min(len(all), most))
	for i, n := range all {
		if i == most {
			quoted = append(quoted, "...")
			break
		}
		quoted = append(quoted, fmt.Sprintf("%q", clip(n, 60)))
	}
	return strings.Join(quoted, ", ")
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// A RowError is why one row could not be read, and where. It is the Err of its
// row. It does not hold the text of a cell; the row's Raw does.
type RowError struct {
	// Line is the line of the fault, from 1. In a record of several lines it
	// may be after the line where the record begins.
	Line int
	// Char is the place of the fault in its line, in bytes from 1; 0 if the
	// fault is the record's as a whole.
	Char int
	// Column is the name of the column, or empty if no column is at fault.
	Column string
	// Err is the reason.
	Err error
}

// Error returns `line 17, char 9, column "price": reason`.
func (e *RowError) Error() string {
	s := fmt.Sprintf("line %d", e.Line)
	if e.Char > 0 {
		s += fmt.Sprintf(", char %d", e.Char)
	}
	if e.Column != "" {
		s += fmt.Sprintf(", column %q", clip(e.Column, 60))
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *RowError) Unwrap() error { return e.Err }
