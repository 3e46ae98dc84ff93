package batchsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
)

// Map returns a source of what fn makes of each value of src. Identity,
// position and change time stay. A row for which fn fails becomes a row with
// that error, and is parked with the original value; rows that src could not
// read, and deleted rows, pass by fn (a deleted row has no value to map).
// The optional powers of src are kept.
func Map[T, U any](src Source[T], fn func(T) (U, error)) Source[U] {
	return &mapped[T, U]{src, fn}
}

type mapped[T, U any] struct {
	src Source[T]
	fn  func(T) (U, error)
}

func (m *mapped[T, U]) Pages(ctx context.Context, after string) iter.Seq2[Page[U], error] {
	return func(yield func(Page[U], error) bool) {
		for p, err := range m.src.Pages(ctx, after) {
			q := Page[U]{Next: p.Next, Done: p.Done, Filtered: p.Filtered}
			if len(p.Rows) > 0 {
				q.Rows = make([]Row[U], len(p.Rows))
			}
			for i, r := range p.Rows {
				q.Rows[i] = m.row(r)
			}
			if !yield(q, err) {
				return
			}
		}
	}
}

func (m *mapped[T, U]) row(r Row[T]) Row[U] {
	q := Row[U]{ID: r.ID, Pos: r.Pos, At: r.At, Deleted: r.Deleted, Err: r.Err, Raw: r.Raw, Cut: r.Cut}
	if r.Err != nil || r.Deleted {
		return q
	}
	v, err := m.fn(r.Value)
	if err != nil {
		q.Err = fmt.Errorf("map: %w", err)
		if q.Raw == nil {
			q.Raw, _ = json.Marshal(r.Value)
		}
		return q
	}
	q.Value = v
	return q
}

func (m *mapped[T, U]) Count(ctx context.Context) (int64, error) { return count(ctx, m.src) }

// Filter returns a source of the rows of src that keep accepts. What it leaves
// out is no row of the sync: it is not in the report's In, and is counted
// beside it as Filtered. Rows that src could not read and deleted rows are not
// asked about and stay. The optional powers of src are kept; Count counts what
// is filtered too.
func Filter[T any](src Source[T], keep func(T) bool) Source[T] {
	return &filtered[T]{src, keep}
}

type filtered[T any] struct {
	src  Source[T]
	keep func(T) bool
}

func (f *filtered[T]) Pages(ctx context.Context, after string) iter.Seq2[Page[T], error] {
	return func(yield func(Page[T], error) bool) {
		for p, err := range f.src.Pages(ctx, after) {
			kept := p.Rows[:0:0]
			for _, r := range p.Rows {
				if r.Err != nil || r.Deleted || f.keep(r.Value) {
					kept = append(kept, r)
				}
			}
			p.Filtered += int64(len(p.Rows) - len(kept))
			p.Rows = kept
			if !yield(p, err) {
				return
			}
		}
	}
}

func (f *filtered[T]) Count(ctx context.Context) (int64, error) { return count(ctx, f.src) }

// Gather returns a source of the rows of src in larger pages: each holds the
// rows of as many pages of src as it takes to have n rows, the last excepted. It
// is for sinks for which each write has its price, such as a [JobSink], and
// holds that many rows in memory; after a crash that many may come again. The
// optional powers of src are kept.
func Gather[T any](src Source[T], n int) Source[T] { return &gathered[T]{src, n} }

type gathered[T any] struct {
	src Source[T]
	n   int
}

func (g *gathered[T]) Pages(ctx context.Context, after string) iter.Seq2[Page[T], error] {
	return func(yield func(Page[T], error) bool) {
		var page Page[T]
		has := false
		for p, err := range g.src.Pages(ctx, after) {
			if err != nil {
				// What was read before is good, and so is the place after it.
				if !has || yield(page, nil) {
					yield(p, err)
				}
				return
			}
			page.Rows = append(page.Rows, p.Rows...)
			page.Next, page.Done, page.Filtered = p.Next, p.Done, page.Filtered+p.Filtered
			has = true
			if len(page.Rows) < g.n && !p.Done && p.Next != "" {
				continue
			}
			if !yield(page, nil) || p.Done {
				return
			}
			page, has = Page[T]{}, false
		}
		if has {
			yield(page, nil)
		}
	}
}

func (g *gathered[T]) Count(ctx context.Context) (int64, error) { return count(ctx, g.src) }

func count(ctx context.Context, src any) (int64, error) {
	c, ok := src.(Counted)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	return c.Count(ctx)
}
