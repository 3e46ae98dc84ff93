package csvrow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crosstie/crosstie/batchsync"
)

// A Source reads a CSV file as rows of type T: a batchsync.Source, and
// batchsync.Counted. It is made by [NewSource] or [File]. It is safe for
// concurrent use; each read opens the file anew.
type Source[T any] struct {
	open func() (io.ReadSeekCloser, error)
	o    *Options
}

// NewSource returns a source of what open opens; it is called for each read,
// and what it returns is closed after it. A nil o means the defaults. A T that
// cannot be read, or options that make no sense, are the first read's error.
func NewSource[T any](open func() (io.ReadSeekCloser, error), o *Options) *Source[T] {
	return &Source[T]{open, o}
}

// File returns a source of the file at path. It need not exist yet.
func File[T any](path string, o *Options) *Source[T] {
	return NewSource[T](func() (io.ReadSeekCloser, error) { return os.Open(path) }, o)
}

// Pages yields the rows after the position after, a byte offset that says what
// stood before it: when the file is not the one it was taken from, the error
// wraps batchsync.ErrCursor. A row that cannot be read has a [*RowError]; one
// whose quotes do not add up is given up at the end of its first line.
func (s *Source[T]) Pages(ctx context.Context, after string) iter.Seq2[batchsync.Page[T], error] {
	return func(yield func(batchsync.Page[T], error) bool) {
		f, err := s.open()
		if err != nil {
			yield(batchsync.Page[T]{}, fmt.Errorf("csvrow: open: %w", err))
			return
		}
		defer f.Close()
		r, err := s.begin(f, after)
		for err == nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
				break
			}
			var p batchsync.Page[T]
			if p, err = r.page(); err != nil {
				break
			}
			if !yield(p, nil) || p.Done {
				return
			}
		}
		yield(batchsync.Page[T]{}, err)
	}
}

// Count returns the number of rows, bad ones included. It reads the file once.
func (s *Source[T]) Count(ctx context.Context) (int64, error) {
	f, err := s.open()
	if err != nil {
		return 0, fmt.Errorf("csvrow: open: %w", err)
	}
	defer f.Close()
	r, err := s.begin(f, "")
	if err != nil {
		return 0, err
	}
	for n := int64(0); ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if _, err := r.scan.next(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return 0, fmt.Errorf("csvrow: read: %w", err)
		}
	}
}

// Header returns the column names of the CSV that r begins with, so that a
// program can tell files apart before it chooses the row type. It reads more
// of r than the header.
func Header(r io.Reader, o *Options) ([]string, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return header(newScanner(r, o))
}

func header(s *scanner) ([]string, error) {
	if err := s.skipMark(); err != nil {
		return nil, err
	}
	f, err := s.next()
	switch {
	case err == io.EOF:
		return nil, ErrEmpty
	case err != nil:
		return nil, fmt.Errorf("csvrow: read: %w", err)
	case f != nil:
		return nil, fmt.Errorf("csvrow: the header: %w", &RowError{Line: f.line, Char: f.char, Err: errors.New(f.why)})
	}
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = string(s.cell(f))
	}
	if bytes.IndexByte(s.rec, 0) >= 0 {
		return nil, ErrEncoding
	}
	if i := bytes.IndexByte(s.rec, '\r'); i >= 0 && bytes.IndexByte(s.rec, '"') < 0 {
		return nil, fmt.Errorf("csvrow: the header: %w", errBareCR)
	}
	return names, nil
}

// A reader is one pass over a file.
type reader[T any] struct {
	scan    *scanner
	o       *Options
	null    string
	header  []string
	columns []*column // by place in the header; nil is passed over
	id      []int     // places in the header
	sum     uint64    // of the header
	size    int       // rows of the page before
	joined  []byte    // reused
}

// begin reads the header and goes to the position after.
func (s *Source[T]) begin(f io.ReadSeeker, after string) (*reader[T], error) {
	p, err := planOf[T](s.o)
	if err != nil {
		return nil, err
	}
	r := &reader[T]{scan: newScanner(f, s.o), o: s.o, null: s.o.null()}
	if r.header, err = header(r.scan); err != nil {
		return nil, err
	}
	if err := r.match(p); err != nil {
		return nil, err
	}
	r.scan.keep, r.scan.one = len(r.header), len(r.header) == 1
	h := fnv.New64a()
	for _, n := range r.header {
		fmt.Fprintf(h, "%q", n)
	}
	r.sum = h.Sum64()
	if after == "" {
		return r, nil
	}
	return r, r.resume(f, after)
}

// match finds the column of each header name.
func (r *reader[T]) match(p *plan) error {
	e := &HeaderError{Expected: p.names}
	for i, n := range r.header {
		if slices.Contains(r.header[:i], n) {
			e.Repeated = append(e.Repeated, n)
			continue
		}
		at := slices.Index(p.names, n)
		if at < 0 {
			r.columns = append(r.columns, nil)
			if r.o == nil || !r.o.Extra {
				e.Unknown = append(e.Unknown, n)
			}
			continue
		}
		r.columns = append(r.columns, &p.columns[at])
	}
	for _, c := range p.columns {
		if !c.optional && !slices.Contains(r.header, c.name) {
			e.Missing = append(e.Missing, c.name)
		}
	}
	if r.o != nil {
		for _, n := range r.o.ID {
			at := slices.Index(r.header, n)
			if at < 0 && !slices.Contains(e.Missing, n) {
				e.Missing = append(e.Missing, n)
			}
			r.id = append(r.id, at)
		}
	}
	if e.Missing != nil || e.Unknown != nil || e.Repeated != nil {
		return e
	}
	return nil
}

// page reads up to a page of rows.
func (r *reader[T]) page() (batchsync.Page[T], error) {
	p := batchsync.Page[T]{Rows: make([]batchsync.Row[T], 0, r.size)}
	start, rows := r.scan.offset(), r.o.pageRows()
	for len(p.Rows) < rows && r.scan.offset()-start < 1<<20 {
		f, err := r.scan.next()
		if err == io.EOF {
			p.Done = true
			return p, nil
		}
		if err != nil {
			return p, fmt.Errorf("csvrow: read: %w", err)
		}
		p.Rows = append(p.Rows, batchsync.Row[T]{})
		r.row(&p.Rows[len(p.Rows)-1], f) // in place: a row is large
	}
	r.size = len(p.Rows)
	if p.Next = r.position(); r.scan.atEnd() {
		p.Next, p.Done = "", true // and not a page of no rows after it
	}
	return p, nil
}

func (r *reader[T]) row(row *batchsync.Row[T], f *fault) {
	s := r.scan
	if f == nil && s.count == len(r.header) {
		row.Err = r.decode(row)
	} else {
		row.Pos = "line " + strconv.Itoa(s.recLine)
		if f != nil {
			row.Err = &RowError{Line: f.line, Char: f.char, Column: r.name(f.column), Err: errors.New(f.why)}
		} else {
			row.Err = &RowError{Line: s.recLine, Err: fmt.Errorf("the row has %d cells and the header %d", s.count, len(r.header))}
		}
	}
	if row.Err != nil {
		row.Raw = bytes.Clone(s.rec[:min(len(s.rec), rawKept)])
		row.Cut = s.recCut || len(s.rec) > rawKept
		var zero T
		row.Value = zero
	}
	if row.ID == "" && (row.Err != nil || len(r.id) == 0) {
		row.ID = row.Pos
	}
}

func (r *reader[T]) name(column int) string {
	if column < len(r.header) {
		return r.header[column]
	}
	return ""
}

func (r *reader[T]) decode(row *batchsync.Row[T]) error {
	s := r.scan
	// One string for all there is of the record, of which cells are parts: a
	// cell that is kept keeps its record.
	r.joined = append(append(r.joined[:0], s.rec...), s.scratch...)
	valid := utf8.Valid(r.joined)
	n, m := len(s.rec), len(r.joined)
	r.joined = strconv.AppendInt(append(r.joined, "line "...), int64(s.recLine), 10)
	all := string(r.joined)
	row.Pos = all[m:]
	text := func(f field) string {
		if f.unescaped {
			return all[n+f.start : n+f.end]
		}
		return all[f.start:f.end]
	}
	for i, at := range r.id {
		t := text(s.fields[at])
		if len(r.id) > 1 {
			t = idEscape.Replace(t)
		}
		if i > 0 {
			row.ID += "|"
		}
		row.ID += t
	}
	if len(r.id) > 1 && strings.Trim(row.ID, "|") == "" {
		row.ID = ""
	}
	if len(r.id) > 0 && row.ID == "" {
		return &RowError{Line: s.recLine, Column: r.header[r.id[0]], Err: errors.New("the cells that make the identity of the row are empty")}
	}
	v := reflect.ValueOf(&row.Value).Elem()
	for i, c := range r.columns {
		if c == nil {
			continue
		}
		f := s.fields[i]
		var err error
		if cell := text(f); !valid && c.codec.plain && !utf8.ValidString(cell) {
			err = errUTF8
		} else {
			err = c.read(cell, f.quoted, r.null, v)
		}
		if err != nil {
			return &RowError{Line: f.line, Char: f.char, Column: c.name, Err: err}
		}
	}
	return nil
}

var idEscape = strings.NewReplacer(`\`, `\\`, "|", `\|`)
