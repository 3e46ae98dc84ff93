package csvrow

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"reflect"
	"unicode"
	"unicode/utf8"
)

// A Writer writes rows of type T as CSV that a [Source] of the same options
// reads back as they were. It is made by [NewWriter] and is not safe for
// concurrent use. Rows are written when its buffer is full and by Flush.
type Writer[T any] struct {
	w    *bufio.Writer
	plan *plan
	o    *Options
	row  []byte // reused
	cell []byte // reused
	rows int
	head bool // the header is written
}

// NewWriter returns a writer to w. The header is written with the first row,
// or by Flush if there was none. It returns an error for a T that cannot be
// written. A nil o means the defaults.
func NewWriter[T any](w io.Writer, o *Options) (*Writer[T], error) {
	p, err := planOf[T](o)
	if err != nil {
		return nil, err
	}
	return &Writer[T]{w: bufio.NewWriterSize(w, 64<<10), plan: p, o: o}, nil
}

// Write writes one row. After an error that names a column nothing of the row
// was written, and the next one may be; other errors are those of the
// underlying writer and stay.
func (w *Writer[T]) Write(v T) error {
	w.row = w.row[:0]
	if !w.head {
		w.row = w.header()
	}
	row := reflect.ValueOf(&v).Elem()
	for i := range w.plan.columns {
		c := &w.plan.columns[i]
		if i > 0 {
			w.row = append(w.row, w.o.comma())
		}
		var quote bool
		var err error
		if w.cell, quote, err = c.write(w.cell[:0], w.o.null(), row); err != nil {
			return fmt.Errorf("csvrow: row %d: column %q: %w", w.rows+1, c.name, err)
		}
		w.append(w.cell, quote || len(w.plan.columns) == 1 && len(w.cell) == 0 && !c.nullable, c.codec.text)
	}
	w.rows++
	w.head = true
	_, err := w.w.Write(append(w.row, '\n'))
	return err
}

func (w *Writer[T]) header() []byte {
	b := w.row
	for i, n := range w.plan.names {
		if i > 0 {
			b = append(b, w.o.comma())
		}
		w.row = b
		w.append([]byte(n), n == "", true)
		b = w.row
	}
	return append(b, '\n')
}

// append adds a cell to the row, in quotes if its text needs them.
func (w *Writer[T]) append(cell []byte, quote, text bool) {
	if text && w.o != nil && w.o.SpreadsheetSafe && len(cell) > 0 && bytes.IndexByte([]byte("=+-@\t\r\x00"), cell[0]) >= 0 {
		cell = append([]byte{'\''}, cell...)
	}
	if !quote && !needsQuotes(cell, w.o.comma()) {
		w.row = append(w.row, cell...)
		return
	}
	w.row = append(w.row, '"')
	for {
		i := bytes.IndexByte(cell, '"')
		if i < 0 {
			break
		}
		w.row = append(append(w.row, cell[:i+1]...), '"')
		cell = cell[i+1:]
	}
	w.row = append(append(w.row, cell...), '"')
}

// needsQuotes is the rule of encoding/csv, so that the two write the same.
func needsQuotes(cell []byte, comma byte) bool {
	if len(cell) == 0 {
		return false
	}
	if first, _ := utf8.DecodeRune(cell); string(cell) == `\.` || unicode.IsSpace(first) {
		return true
	}
	for _, c := range cell {
		if c == comma || c == '"' || c == '\n' || c == '\r' {
			return true
		}
	}
	return false
}

// Flush writes what is buffered. It must be called after the last row.
func (w *Writer[T]) Flush() error {
	if !w.head {
		w.row = w.row[:0]
		if _, err := w.w.Write(w.header()); err != nil {
			return err
		}
		w.head = true
	}
	return w.w.Flush()
}
