// Package coalesce makes one call out of many reads: a [Batcher] asks for many
// keys at once, a [Shared] lets all who ask the same thing at the same time
// wait for one answer.
//
// Use a Batcher against the chatty page, whose every row asks another system
// by itself: 26 calls become one, and no row has to know of the others. Use a
// Shared when many callers want one expensive answer at the same moment. Both
// are for reads. An effect that somebody asked for is not somebody else's: make
// it by an Endpoint of package requestreply, under a key of its own.
//
//	prices := coalesce.NewBatcher(func(ctx context.Context, skus []string) (map[string]Price, error) {
//		list, err := ask.Call(ctx, Query{SKUs: skus}) // an Endpoint with a Guard
//		return bySKU(list), err
//	}, nil)
//
//	// in each row, at the same time:
//	price, err := prices.Load(ctx, row.SKU)
//
// # The promise
//
// One caller's cancellation harms nobody: it returns to that caller at once,
// and the call goes on for the others. When the last of them has left, the
// call is cancelled too. A key that is asked for again while it waits in a
// batch, or is under way in a Shared, is asked once. Nothing is kept: when the
// call has ended, the next one asks again, and an error reaches those who
// waited for it and nobody after them. So there is nothing for a crash to lose.
//
// An error belongs to a key as far as the other side says so: [KeyErrors]. A
// key that was asked for and not spoken of is [ErrMissing], never a zero value.
// A panic of the call is a [*PanicError] to each who waits.
//
// # What the call is given
//
// A call serves several callers, so it carries no one's context: no deadline
// but the Timeout of the options, no cancellation of a single caller and no
// value. A tenant or a credential taken from the context of whoever came first
// would answer the others with what they may not see. What the call needs
// belongs into the key, or into the function: make a Batcher per tenant, or
// for each page load.
//
// One thing is known of the callers: whose page load the call is made for. Under
// requestreply.WithTrips a call counts once for each of the page loads that
// wait for it; who joins one that is under way pays for what it asks from then
// on.
//
// The callers who asked for one key get the same value: do not write to what
// it points at.
//
// # What is bounded
//
//	bounded                          default   at the bound
//	keys of one fetch (Batcher)      100       the batch is sent, and a new one begun
//	time a key waits for others      2 ms      the batch is sent
//	fetches in flight (Batcher)      4         batches wait and go on filling up
//	keys that wait to be sent        10,000    ErrFull
//	keys in flight (Shared)          10,000    ErrFull
//	one call                         30 s      its context ends
//	the wait of one caller           ctx       an error that wraps the context's
//
// A call that ignores its context is waited for, and holds its place: that is
// Go's contract. Its callers still return when their own contexts end.
//
// # Errors
//
// Load and Do return what the call returned for the key, or [ErrFull],
// [ErrMissing], [*PanicError], requestreply.ErrTrips, or the caller's own
// context error, whose outcome is NotSent when the key had not been sent. LoadAll returns what it has beside
// a [KeyErrors]. No text of this package holds a key or a value.
//
// # Concurrency
//
// Everything here is safe for concurrent use. A goroutine lives as long as its
// call; nothing is to be closed. A call must not wait for the Batcher or the
// key that it serves: it would wait for itself until its time is over.
//
// # Testing
//
// All time is package time: in a testing/synctest bubble windows and limits
// take none.
package coalesce
