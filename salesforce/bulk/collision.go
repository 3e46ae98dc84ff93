package bulk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"iter"
	"slices"
	"strings"

	"github.com/crosstie/crosstie/batchsync"
)

// A Collision is several rows that are one record to the org: their external
// ids differ, and the org takes them for the same.
type Collision struct {
	// Rows are the rows, in source order, each external id once.
	Rows []CollidingRow
}

// A CollidingRow is one row of a [Collision].
type CollidingRow struct {
	// ID and Pos are those of the row.
	ID, Pos string
}

// String names the rows: "a1" (line 2), "A1" (line 7).
func (c Collision) String() string {
	var b strings.Builder
	for i, r := range c.Rows {
		if i > 0 {
			b.WriteString(", ")
		}
		if i == 10 {
			b.WriteString("...")
			break
		}
		b.WriteString(r.String())
	}
	return b.String()
}

// String names the row: "a1" (line 2).
func (r CollidingRow) String() string {
	s := `"` + clip(r.ID, 80) + `"`
	if r.Pos != "" {
		s += " (" + r.Pos + ")"
	}
	return s
}

// Collisions reads a source from its start and returns the rows whose IDs
// differ while same gives them one form; same is Field.Same of the external id
// field ([Sink.Key]). Rows that repeat the very same ID are no collision: the
// last of them wins, as in any sync. Rows that the source could not read are
// passed over.
//
// It keeps 16 bytes a row. If there may be collisions it reads the source a
// second time.
func Collisions[T any](ctx context.Context, src batchsync.Source[T], same func(string) string) ([]Collision, error) {
	type mark struct{ form, id uint64 }
	var marks []mark
	seed := maphash.MakeSeed()
	err := each(ctx, src, func(r *batchsync.Row[T]) {
		marks = append(marks, mark{maphash.String(seed, same(r.ID)), maphash.String(seed, r.ID)})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(marks, func(a, b mark) int { return cmp.Or(cmp.Compare(a.form, b.form), cmp.Compare(a.id, b.id)) })
	suspect := map[uint64]bool{}
	for i := 1; i < len(marks); i++ {
		if marks[i].form == marks[i-1].form && marks[i].id != marks[i-1].id {
			suspect[marks[i].form] = true
		}
	}
	if len(suspect) == 0 {
		return nil, nil
	}
	marks = nil
	at := map[string]int{} // by form
	var all []Collision
	err = each(ctx, src, func(r *batchsync.Row[T]) {
		form := same(r.ID)
		if !suspect[maphash.String(seed, form)] {
			return
		}
		i, ok := at[form]
		if !ok {
			i = len(all)
			at[form] = i
			all = append(all, Collision{})
		}
		c := &all[i]
		if !slices.ContainsFunc(c.Rows, func(o CollidingRow) bool { return o.ID == r.ID }) {
			c.Rows = append(c.Rows, CollidingRow{r.ID, r.Pos})
		}
	})
	// Two forms may have met in one hash, and the source may have changed.
	all = slices.DeleteFunc(all, func(c Collision) bool { return len(c.Rows) < 2 })
	return all, err
}

// each calls fn with every row that has an identity.
func each[T any](ctx context.Context, src batchsync.Source[T], fn func(*batchsync.Row[T])) error {
	for p, err := range src.Pages(ctx, "") {
		if err != nil {
			return err
		}
		for i := range p.Rows {
			if r := &p.Rows[i]; r.Err == nil && r.ID != "" {
				fn(r)
			}
		}
		if p.Done {
			return nil
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return batchsync.ErrIncomplete
}

// ParkCollisions returns a source of the rows of src in which every row of a
// [Collision] is bad, so that a sync parks it with a reason that names the
// others, and sends none of them: which one was meant is for people to decide.
// Each read begins with [Collisions], so src is read two or three times. The
// optional powers of src are kept.
func ParkCollisions[T any](src batchsync.Source[T], same func(string) string) batchsync.Source[T] {
	return &parking[T]{src, same}
}

type parking[T any] struct {
	src  batchsync.Source[T]
	same func(string) string
}

func (p *parking[T]) Pages(ctx context.Context, after string) iter.Seq2[batchsync.Page[T], error] {
	return func(yield func(batchsync.Page[T], error) bool) {
		all, err := Collisions(ctx, p.src, p.same)
		if err != nil {
			yield(batchsync.Page[T]{}, err)
			return
		}
		of := map[string]Collision{} // by ID
		for _, c := range all {
			for _, r := range c.Rows {
				of[r.ID] = c
			}
		}
		for page, err := range p.src.Pages(ctx, after) {
			if len(of) > 0 {
				page.Rows = slices.Clone(page.Rows)
				for i := range page.Rows {
					if c, ok := of[page.Rows[i].ID]; ok && page.Rows[i].Err == nil {
						park(&page.Rows[i], c)
					}
				}
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

func park[T any](r *batchsync.Row[T], c Collision) {
	r.Err = c.reason()
	if r.Raw == nil && !r.Deleted {
		r.Raw, _ = json.Marshal(r.Value)
	}
}

func (c Collision) reason() error {
	return refused("the org takes these external ids for one, and none of the rows was sent: %v: keep one of them, or make the field case-sensitive in the org", c)
}

// Count implements batchsync.Counted.
func (p *parking[T]) Count(ctx context.Context) (int64, error) {
	if c, ok := p.src.(batchsync.Counted); ok {
		return c.Count(ctx)
	}
	return 0, errors.ErrUnsupported
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
