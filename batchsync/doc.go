// Package batchsync moves many rows from one system to another, periodically,
// and can be stopped and started again at any moment.
//
// Use it for nightly reloads, price lists, imports and exports: much data, that
// may be minutes old, where each row has an identity. Do not use it to tell
// somebody that one thing has happened (fireforget), or to answer a question
// (requestreply); and do not run it every minute to notice changes sooner: that
// is polling.
//
//	src := csvrow.File[Item]("items.csv", &csvrow.Options{ID: []string{"sku"}})
//	dst, err := table.New[Item](db, "items", "sku", nil)
//	if err != nil {
//		return err
//	}
//	report, err := batchsync.New("items", src, dst, &batchsync.Options{Checkpoints: store}).Run(ctx)
//	if err != nil {
//		return err // stopped early; the next Run goes on from there
//	}
//	fmt.Println(report) // in 4793 = done 4700 (...) + unchanged 0 + failed 0 + parked 93 + unprocessed 0
//
// # Delivery
//
// Rows arrive at least once, in source order. After each page of the source the
// position, the counts and the dead rows are saved in one step, and only after
// the sink has said that the page is durable. So a crash loses nothing, and may
// bring the rows of one page again: sinks are idempotent by row ID. If the sink
// and the checkpoint store share a database ([TxSink], [TxStore]), page and
// checkpoint are one commit: nothing is written twice, and the counts are
// exact. [Report].Atomic says which of the two holds.
//
// A sink whose write is a job that goes on without this process ([JobSink]) has
// its name in the checkpoint before any data is sent, and finds it there again.
//
// Rows with the same ID take effect in source order: the last wins. A run over
// an input that did not change writes nothing if the sink compares, as table
// does; it still reads every row on both sides.
//
// # What survives a crash
//
// With a durable [Store]: the position, the counts of the unfinished run, and
// all dead rows. The next [Sync.Run] waits for nothing but the lease of the
// crashed one (10 s unless told otherwise): until then it returns ErrHeld.
//
// # Rows that fail
//
// One bad row does not end a run. A row that the source could not read, that
// [Map] refuses, that has no ID, or that the sink refuses for good is parked:
// kept as a [DeadRow] with the original, its position and the reason. A row
// that fails for a cause that may pass is written again as Options.Retry
// allows; then it counts as failed and is kept as well. A sink that fails as a
// whole, and a source that cannot go on, end the run with an [*Error]: the page
// in hand is unprocessed and is read again by the next Run.
//
// Every row that was read is in the [Report], and [Report.Check] holds:
//
//	in = done + unchanged + failed + parked + unprocessed
//
// Rows that [Filter] leaves out are no rows of the sync; they are counted
// beside it.
//
// # What is bounded
//
//	what                 default          at the bound
//	memory               one page         the source decides how large a page is
//	rows in one write    1000             the page is written in several
//	attempts of a write  retry.Policy     rows: failed and kept; whole writes: the run ends
//	dead rows of a run   10,000           the run ends with ErrTooManyDead
//	original of one      64 KiB           cut, and marked so
//	lease                10 s             after a crash others wait that long
//
// # Errors
//
// Run returns an [*Error]; errors.Is finds [ErrHeld], [ErrLost], [ErrSchema],
// [ErrCursor], [ErrIncomplete], [ErrTooManyDead] or the cause in it, and its
// Rows say what is known of each row in hand.
//
// # Concurrency
//
// A [Sync] is safe for concurrent use, and so is each [Store]. Run starts one
// goroutine, which renews the lease, and waits for its end. Sources and sinks
// are called by the goroutine of Run alone.
//
// # Testing
//
// [NewMem] is a store for tests; package batchsynctest tests a Store of your
// own. [From] and [To] make sources and sinks of functions.
package batchsync
