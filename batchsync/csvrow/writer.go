package csvrow

import (
	"bufio"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Writer writes rows of type T as CSV that a [Source] of the same options
// reads back as they were. It is made by [NewWriter] and is not safe for
// concurrent use. Rows are written when its buffer is full and by Flush.
type Writer[T any] struct {
	w       *bufio.Writer
	plan    *plan
	comma   byte
	null    string
	safe    bool
	cleared bool      // the empty text is written as null
	special [256]bool // bytes that put a cell in quotes
	value   T         // of the row under way
	row     []byte    // reused
	rows    int
	head    bool // the header is written
}

// NewWriter returns a writer to w. The header is written with the first row,
// or by Flush if there was none. It returns an error for a T that cannot be
// written. A nil o means the defaults.
func NewWriter[T any](w io.Writer, o *Options) (*Writer[T], error) {
	p, err := planOf[T](o)
	if err != nil {
		return nil, err
	}
	n := &Writer[T]{w: bufio.NewWriterSize(w, 64<<10), plan: p, comma: o.comma(), null: o.null(), safe: o != nil && o.SpreadsheetSafe, cleared: o != nil && o.EmptyNull}
	for _, c := range []byte{n.comma, '"', '\r', '\n'} {
		n.special[c] = true
	}
	return n, nil
}

// Write writes one row. After an error that names a column nothing of the row
// was written, and the next one may be; other errors are those of the
// underlying writer and stay.
func (w *Writer[T]) Write(v T) error {
	w.row = w.row[:0]
	if !w.head {
		w.header()
	}
	w.value = v
	row := reflect.ValueOf(&w.value).Elem()
	for i := range w.plan.columns {
		if i > 0 {
			w.row = append(w.row, w.comma)
		}
		if err := w.column(&w.plan.columns[i], row); err != nil {
			return fmt.Errorf("csvrow: row %d: column %q: %w", w.rows+1, w.plan.columns[i].name, err)
		}
	}
	w.row = append(w.row, '\n')
	w.rows++
	w.head = true
	_, err := w.w.Write(w.row)
	return err
}

func (w *Writer[T]) header() {
	for i, n := range w.plan.names {
		if i > 0 {
			w.row = append(w.row, w.comma)
		}
		w.text(n, n == "")
	}
	w.row = append(w.row, '\n')
}

// column appends the cell of a column to the row.
func (w *Writer[T]) column(c *column, row reflect.Value) error {
	lone := len(w.plan.columns) == 1 // where an empty cell would be an empty line
	if c.codec.plain && !c.nullable {
		s := row.Field(c.index).String()
		if !utf8.ValidString(s) {
			return errUTF8
		}
		if s == w.null && s != "" {
			return errIsNull
		}
		if s == "" && w.cleared {
			w.text(w.null, false)
			return nil
		}
		w.text(s, lone && s == "")
		return nil
	}
	start := len(w.row)
	out, value, err := c.write(w.row, w.null, row)
	if err != nil {
		return err
	}
	if w.cleared && value && len(out) == start {
		w.row = out
		w.text(w.null, false)
		return nil
	}
	cell := out[start:]
	// Null is nothing and the empty text is "", where a column can be both.
	quote := len(cell) == 0 && (c.nullable && value || lone && !c.nullable)
	formula := value && c.codec.text && w.formula(string(cell))
	if !quote && !formula && !needsQuotes(cell, &w.special) {
		w.row = out
		return nil
	}
	s := string(cell)
	w.row = out[:start]
	if formula {
		s = "'" + s
	}
	if quote || needsQuotes(s, &w.special) {
		w.quoted(s)
	} else {
		w.row = append(w.row, s...)
	}
	return nil
}

// text appends a text to the row, in quotes if it needs them.
func (w *Writer[T]) text(s string, quote bool) {
	if w.formula(s) {
		s = "'" + s
	}
	if quote || needsQuotes(s, &w.special) {
		w.quoted(s)
		return
	}
	w.row = append(w.row, s...)
}

// formula reports whether s must be kept from running in a spreadsheet.
func (w *Writer[T]) formula(s string) bool {
	return w.safe && s != "" && strings.IndexByte("=+-@\t\r\x00", s[0]) >= 0
}

func (w *Writer[T]) quoted(s string) {
	w.row = append(w.row, '"')
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			break
		}
		w.row = append(append(w.row, s[:i+1]...), '"')
		s = s[i+1:]
	}
	w.row = append(append(w.row, s...), '"')
}

// needsQuotes is the rule of encoding/csv, so that the two write the same.
func needsQuotes[S string | []byte](cell S, special *[256]bool) bool {
	if len(cell) == 0 {
		return false
	}
	for i := range len(cell) {
		if special[cell[i]] {
			return true
		}
	}
	if cell[0] < utf8.RuneSelf && cell[0] > ' ' && cell[0] != '\\' {
		return false
	}
	first, _ := utf8.DecodeRuneInString(string(cell[:min(len(cell), utf8.UTFMax)]))
	return unicode.IsSpace(first) || string(cell) == `\.`
}

// Flush writes what is buffered. It must be called after the last row.
func (w *Writer[T]) Flush() error {
	if !w.head {
		w.row = w.row[:0]
		w.header()
		if _, err := w.w.Write(w.row); err != nil {
			return err
		}
		w.head = true
	}
	return w.w.Flush()
}
