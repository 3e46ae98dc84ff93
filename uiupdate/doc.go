// Package uiupdate shows what changed: a screen gets all rows once, then each
// change, and always says how old what it shows is.
//
// Use it when a person watches data that lives elsewhere and changes by
// itself: stock on a counter, the state of orders, a dashboard. Use
// requestreply for a value that is asked for once, fireforget to tell another
// system, batchsync to keep a copy, and pubsub for programs that must see every
// change and not only the latest state.
//
//	stock := uiupdate.NewView[string, int](nil)
//	http.Handle("/stock", uiupdate.NewHandler(stock, nil))
//	http.Handle("/uiupdate.js", uiupdate.Script())
//
//	err := stock.Reset(all, readAt)             // at the start, and after any doubt
//	err = stock.Set("M-1042", 17, changedAt)    // from the event stream
//	stock.Confirm(heardAt)                      // the feed lives, and has no more than that
//
// The page needs no build step: the script of [Script], or EventSource alone.
//
// For values that are asked for one by one there is [Fresh], a cache that
// knows how old each is:
//
//	prices := uiupdate.NewFresh(loadPrice, &uiupdate.FreshOptions{MaxAge: 5 * time.Second})
//	price, err := prices.Load(ctx, "M-1042")    // price.AsOf, price.Stale
//
// # The promise
//
// A reader that has been told "live" has what the view has, and is told of
// what changes after that: no gap, and on one connection nothing twice. The
// latest state is what is promised, and not each state before it: a reader
// that lags further than the window is given the newest value of each row that
// changed, and none in between. A reader that comes back with the id of its last event gets what
// changed since. Where that cannot be known, it gets a reset and begins anew;
// nothing is ever skipped in silence. Over a disconnect the same value may
// come again, an older one never.
//
// A row never goes back: a change that is older than the row, by its as-of,
// is left out and counted. A deletion counts as a change. Rows show as of
// when they are known, and the view up to when it is complete, which stays
// behind when its feed breaks: a quiet source and a dead one look different.
//
// A slow reader costs the others nothing. There is no queue for each reader:
// the bytes of a change are made once for all, and a reader has a place in
// them, or a version for each 64 rows while it catches up.
//
// [Fresh] never answers with a value older than FreshOptions.MaxStale, and
// marks what is older than MaxAge. All who ask for a value wait for one load,
// and one caller's cancellation harms no other. A load that began before an
// Invalidate or a Put does not undo it.
//
// # What survives a crash
//
// Nothing, and nothing needs to: a view is a picture of what another system
// keeps. A process that starts again makes a view of another epoch and fills
// it from its source, and every reader gets one reset and one snapshot. A
// position that was stored would promise that nothing happened while nobody
// looked, which the source alone can know. The same holds for readers that
// come to another process, so that each may keep a view of its own behind a
// balancer with no affinity.
//
// # What is bounded
//
//	bounded                            default     at the bound
//	bytes of changes kept (Window)     1 MiB       a reader behind it gets the latest of each row
//	rows (MaxRows)                     1,000,000   ErrFull
//	one row as JSON (MaxRow)           64 KiB      ErrTooLarge
//	deletions remembered (Deleted)     10,000      a reader from before them gets a reset
//	as-of ahead of the clock           1 min       ErrInvalid
//	streams and watchers (MaxReaders)  10,000      503 with Retry-After; ErrFull from Watch
//	an event of rows                   32 KiB      the next event goes on; 64 rows are not cut
//	a client that takes nothing        30 s        its stream ends and is counted
//	quiet on a stream (Heartbeat)      15 s        a live event
//	a long poll (Poll)                 25 s        answered empty
//	Shutdown (Drain)                   5 s         streams end spread over it
//	keys of a Fresh (Size)             10,000      the longest unused is forgotten
//	loads at once (Loads)              64          callers wait, as their context allows
//	one load (Timeout)                 10 s        its context ends, and the wait for it
//	a failed load stands (Pause)       1 s         then the next caller tries
//
// # Errors
//
// Every error is an [*Error]. Those of a change match [ErrInvalid] or
// [ErrTooLarge], with a [*FieldError] that names the field and its place, or
// [ErrFull]; nothing of the call was applied then. [Fresh.Load] returns
// [ErrTooStale], [ErrNotFound], or what the load function returned. No error
// has a value in it.
//
// # Concurrency
//
// All types are safe for concurrent use. A stream runs in its request's
// goroutine, and a watcher in its caller's. With HandlerOptions.Lean the
// streams share as many goroutines as there are processors, which end with the
// last stream, and an idle one costs about 1 KB instead of 26. [Fresh] starts
// a goroutine for each load, which ends when the load function returns.
// Nothing else starts one.
//
// # Testing
//
// All time is package time, so testing/synctest runs days of freshness in no
// time. uiupdatetest has a strict reader of streams, and a suite that a
// handler of your own, in any language, can be held against.
package uiupdate
