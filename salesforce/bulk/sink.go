package bulk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
)

// A Sink brings rows into one object of an org: a batchsync.JobSink. It is made
// by [NewSink] and is safe for concurrent use.
type Sink[T any] struct {
	org     *salesforce.Org
	object  string
	key     string // name of the external id field
	columns []string
	keyAt   int // place of key in columns
	o       Options

	mu     sync.Mutex // guards layout
	layout *layout
}

// A layout is what the org says of the sink's columns.
type layout struct {
	key    salesforce.Field
	fields []salesforce.Field // by place in columns; of a dotted column only Name is set
}

var _ batchsync.JobSink[struct{}] = (*Sink[struct{}])(nil)

// dialect is the CSV that a job takes.
func dialect() *csvrow.Options {
	return &csvrow.Options{
		Null: null, EmptyNull: true,
		Layouts: []string{"2006-01-02T15:04:05.000Z07:00"},
	}
}

// null is the cell that clears a field.
const null = "#N/A"

// NewSink returns a sink for rows of type T into object, upserted by the field
// externalID. It does no I/O: the first write asks the org for the object's
// fields. A nil o means the defaults. The error says which names are none, or
// what of T cannot be sent; it wraps batchsync.ErrSchema.
func NewSink[T any](org *salesforce.Org, object, externalID string, o *Options) (*Sink[T], error) {
	var b strings.Builder
	w, err := csvrow.NewWriter[T](&b, dialect())
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("bulk: %w", err)
	}
	s := &Sink[T]{org: org, object: object, key: externalID, o: o.withDefaults()}
	s.columns, _ = split(nil, strings.TrimSuffix(b.String(), "\n"))
	s.columns = slices.Clone(s.columns)
	s.keyAt = slices.IndexFunc(s.columns, func(c string) bool { return strings.EqualFold(c, externalID) })
	switch {
	case org == nil:
		return nil, fmt.Errorf("bulk: %w: the org is nil", batchsync.ErrSchema)
	case !apiName(object) || !apiName(externalID):
		return nil, fmt.Errorf("bulk: %w: %q or %q is no API name", batchsync.ErrSchema, clip(object, 80), clip(externalID, 80))
	case s.keyAt < 0:
		var v T
		return nil, fmt.Errorf("bulk: %w: %T has no column %q, the external id: tag a field csv:%q", batchsync.ErrSchema, v, externalID, externalID)
	}
	for i, c := range s.columns {
		for part := range strings.SplitSeq(c, ".") {
			if !apiName(part) {
				return nil, fmt.Errorf("bulk: %w: the column %q is no API name", batchsync.ErrSchema, clip(c, 80))
			}
		}
		if strings.EqualFold(c, "Id") && i != s.keyAt {
			return nil, fmt.Errorf("bulk: %w: an upsert by %s cannot set Id: take the column out", batchsync.ErrSchema, externalID)
		}
	}
	return s, nil
}

func apiName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 120
}

// Key returns what the org says of the external id field. Its Same is what
// [ParkCollisions] needs. It asks the org once for the life of the sink.
func (s *Sink[T]) Key(ctx context.Context) (salesforce.Field, error) {
	l, err := s.describe(ctx)
	if err != nil {
		return salesforce.Field{}, err
	}
	return l.key, nil
}

// describe asks for the object's fields and checks the columns against them,
// so that a wrong name is an error of the program and not of every row.
func (s *Sink[T]) describe(ctx context.Context) (*layout, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.layout != nil {
		return s.layout, nil
	}
	d, err := s.org.Describe(ctx, s.object)
	if err != nil {
		return nil, &Error{Op: "describe", Known: outcome.NotSent, Err: err}
	}
	bad := func(format string, args ...any) (*layout, error) {
		err := fmt.Errorf("%w: %s: %s", batchsync.ErrSchema, s.object, fmt.Sprintf(format, args...))
		return nil, &Error{Op: "describe", Known: outcome.NotSent, Err: retry.Permanent(err)}
	}
	l := &layout{}
	for i, c := range s.columns {
		f, ok := d.Field(c)
		switch {
		case strings.Contains(c, "."):
			f = salesforce.Field{Name: c}
		case !ok:
			return bad("there is no field %q, or this user may not see it", c)
		case i == s.keyAt && !f.ExternalID && !f.IDLookup:
			return bad("the field %q is no external id: mark it as one in the org", c)
		case i != s.keyAt && !f.Createable && !f.Updateable:
			return bad("this user may not write the field %q", c)
		}
		l.fields = append(l.fields, f)
	}
	l.key = l.fields[s.keyAt]
	s.layout = l
	return l, nil
}

// Write is WriteJob without a memory: a job that outlives its process is then
// found by nobody.
func (s *Sink[T]) Write(ctx context.Context, rows []batchsync.Row[T]) ([]batchsync.Result, error) {
	return s.WriteJob(ctx, nil, rows)
}

// WriteJob implements batchsync.JobSink. The package comment says how.
func (s *Sink[T]) WriteJob(ctx context.Context, job *batchsync.Job, rows []batchsync.Row[T]) ([]batchsync.Result, error) {
	w := &write{org: s.org, object: s.object, key: s.key, o: &s.o, job: job}
	if err := w.begin(ctx); err != nil { // before describe: an old job must not wait for a field
		return nil, err
	}
	l, err := s.describe(ctx)
	if err != nil {
		return nil, err
	}
	w.layout, w.columns, w.keyAt = l, s.columns, s.keyAt
	if err := encode(w, rows); err != nil {
		return nil, err
	}
	return w.run(ctx)
}
