package batchsync

import (
	"context"
	"database/sql"
	"iter"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// A Row is one record on its way from a source to a sink, with what is needed
// to find it again on both sides.
type Row[T any] struct {
	// ID identifies the record in source, sink, report and dead rows. A sink
	// uses it as its key. A row without one is parked.
	ID string
	// Pos is where the source read it, for people: "line 17".
	Pos string
	// Value is the record. It means nothing when Err is set.
	Value T
	// At is when the record last changed, if the source knows; else zero.
	At time.Time
	// Deleted says that the record is gone and only ID matters.
	Deleted bool
	// Err is why the source could not read this one row. Such a row is parked;
	// it does not end the run.
	Err error
	// Raw is the row as the source found it. A source sets it together with
	// Err, so that the dead row shows what was there.
	Raw []byte
	// Cut says that Raw is only the beginning of the row.
	Cut bool
}

// A Page is a run of rows that are written and checkpointed together. It
// belongs to its receiver: a source must not change a page it has yielded.
type Page[T any] struct {
	// Rows are the records in source order. A page may have none.
	Rows []Row[T]
	// Next is where the source goes on after this page: what a later
	// [Source.Pages] gets as its after. It may be empty only on the last page.
	Next string
	// Done says that this is the last page. Next is then where the next run
	// begins: empty for a source that is read from the start each time.
	Done bool
	// Filtered counts rows that a wrapper left out of this page.
	Filtered int64
}

// A Source reads rows in pages, from any position it has given out before.
// Implementations in this module: csvrow.Source and table.Table; [From] makes
// one of a function.
type Source[T any] interface {
	// Pages yields the pages after the position after; the empty position is
	// the start. Every position it yields as Page.Next must still be good in
	// another process.
	//
	// A row that cannot be read is a Row with Err. An error of the sequence
	// means that the source as a whole cannot go on, and is the last thing
	// yielded. The end must be said with Page.Done, on an empty source too: a
	// sequence that ends without it was cut short, and the run fails with
	// ErrIncomplete. So a source that failed is never an empty source.
	Pages(ctx context.Context, after string) iter.Seq2[Page[T], error]
}

// Counted is an optional power of a Source: it knows how many rows it has from
// its start. Run asks it only if [Options].Progress is set. A source that
// wraps one without the power answers errors.ErrUnsupported.
type Counted interface {
	// Count returns the number of rows, filtered ones included.
	Count(ctx context.Context) (int64, error)
}

// A Sink takes rows. Implementations in this module: table.Table; [To] makes
// one of a function.
type Sink[T any] interface {
	// Write applies rows and returns one Result for each, in the order of
	// rows, when their effect is durable. No ID occurs twice in rows.
	//
	// Write must be idempotent by ID: after a crash between a write and its
	// checkpoint, or when an attempt's outcome is unknown, rows come again.
	//
	// A row that fails is a Result with verdict Failed. An error says that the
	// call as a whole failed; its outcome ([outcome.Of]) holds for every row.
	// Write does not retry, and keeps neither rows nor values.
	Write(ctx context.Context, rows []Row[T]) ([]Result, error)
}

// A TxSink is a Sink that can write in a transaction somebody else commits.
// If it and the checkpoint store ([TxStore]) name the same *sql.DB, a page and
// its checkpoint are one commit: no crash can part them, and a resume writes
// nothing twice.
type TxSink[T any] interface {
	Sink[T]
	// Database returns the pool whose transactions WriteTx can use, or nil if
	// there is none, in which case WriteTx is never called.
	Database() *sql.DB
	// WriteTx is Write inside tx. It neither commits nor rolls back tx, and
	// leaves no rows or statement open. After an error the caller rolls back.
	WriteTx(ctx context.Context, tx *sql.Tx, rows []Row[T]) ([]Result, error)
}

// A Verdict says what became of one row.
type Verdict int

const (
	// Unprocessed rows were not taken up. A sink that gives this verdict gets
	// the row again; it is never parked.
	Unprocessed Verdict = iota
	// Inserted rows were not in the sink before.
	Inserted
	// Updated rows were there and differed.
	Updated
	// Unchanged rows were there as they are, or were to be deleted and were
	// not there. Nothing was written.
	Unchanged
	// Deleted rows were there and are no more.
	Deleted
	// Failed rows were not applied: Result.Err says why. In a report it counts
	// those whose cause may pass by itself but did not within the attempts.
	Failed
	// Parked rows are those that repeating cannot help: they are kept as dead
	// rows. A sink does not give this verdict; it says Failed.
	Parked
)

// String returns the verdict in lower case, as in reports.
func (v Verdict) String() string {
	names := [...]string{"unprocessed", "inserted", "updated", "unchanged", "deleted", "failed", "parked"}
	if v < 0 || int(v) >= len(names) {
		return "verdict(?)"
	}
	return names[v]
}

// A Result is what a sink says of one row.
type Result struct {
	// ID repeats the row's ID. It may be left empty; if it is set, it must be
	// the ID of the row in the same place.
	ID string
	// Verdict is what became of the row.
	Verdict Verdict
	// Err is why, for Failed. Whether it is tried again follows from
	// [outcome.Transient] and the retry package's marks.
	Err error
	// Known is what is known about the effect of a Failed row. In the results
	// of an [Error] it is set for every row.
	Known outcome.Outcome
}

// From makes a Source of a function with the meaning of [Source.Pages].
func From[T any](pages func(ctx context.Context, after string) iter.Seq2[Page[T], error]) Source[T] {
	return fromFunc[T](pages)
}

type fromFunc[T any] func(ctx context.Context, after string) iter.Seq2[Page[T], error]

func (f fromFunc[T]) Pages(ctx context.Context, after string) iter.Seq2[Page[T], error] {
	return f(ctx, after)
}

// To makes a Sink of a function with the meaning of [Sink.Write].
func To[T any](write func(ctx context.Context, rows []Row[T]) ([]Result, error)) Sink[T] {
	return toFunc[T](write)
}

type toFunc[T any] func(ctx context.Context, rows []Row[T]) ([]Result, error)

func (f toFunc[T]) Write(ctx context.Context, rows []Row[T]) ([]Result, error) { return f(ctx, rows) }
