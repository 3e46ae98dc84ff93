// Package requestreply asks another system and waits: it returns the answer,
// or an error that says what is known.
//
// Use it when a person or a program waits for the answer and there is no use
// in going on without: is it in stock, reserve it, what does it cost. When
// nobody needs the answer, hand the work over with fireforget; when it takes
// longer than somebody waits, start it and learn the result later.
//
// # The promise
//
// A call ends within its time limit. It is repeated only when that cannot do
// harm: the attempt is known to have had no effect, or the operation is
// idempotent, by nature or by a key. When a call fails, its error says whether
// it took effect, did not, or may have (package outcome); a call that may have
// taken effect is never said to have had none. Under a key, to a server that
// honours it (package server makes one), a call that succeeds has taken effect:
// at least once, and once in effect inside the server's window, however often
// it was repeated.
//
// Nothing survives a crash of the caller but what the caller stored: store the
// key before the first attempt, and call again under it.
//
//	guard := requestreply.NewGuard(nil) // one for the program
//
//	func reserve(ctx context.Context, id string, o Order) (Receipt, error) {
//		ctx = requestreply.WithIdempotencyKey(ctx, id)
//		call := requestreply.Endpoint[Order, Receipt]{
//			URL: "https://warehouse.example/reservations", Keyed: true, Guard: guard,
//		}
//		return call.Call(ctx, o)
//	}
//
// [Endpoint] is one operation of a JSON API; [Paged] is one that answers in
// pages. [Transport] does the same for any HTTP client or SDK. [Run] does it for
// any function: it knows the errors of net/http, of gRPC by their codes and of
// database/sql, and [Tx] tells what is known of a transaction. [Abandon] is for
// foreign code that ignores its context. All share what a [Guard] holds.
//
// The side that is asked is package server; package openapi serves it with a
// document that others, Salesforce above all, make their clients of.
//
// A body that does not fit in memory goes up as an [Upload] and comes down by
// Endpoint.Stream. Redirects are followed by no Endpoint unless its client does;
// [CheckRedirect] then leaves credentials at home.
//
// What is unknown after the last attempt can be settled by asking for the key:
// Op.Confirm.
//
// An Endpoint with IfMatch changes only the version that was read, so that of
// two writers the second is told ([ErrPrecondition]) and overwrites nothing;
// with IfNoneMatch it fetches only what has changed ([ErrNotModified]).
//
// A page that asks row by row is slow however fast each call is. [WithTrips]
// counts the calls of one page load, warns of too many or refuses them, and
// package tripstest fails a test that makes them; package coalesce makes one
// call of many reads.
//
// # What is bounded
//
//	bounded                        default   at the bound
//	one call, all attempts         30 s      *Error, context.DeadlineExceeded or retry.ErrDeadline
//	one attempt                    10 s      its context ends; repeated if that is safe
//	attempts                       4         *Error, retry.ErrAttempts
//	wait a Retry-After asks for    5 min     *Error, retry.ErrLater, Error.At is set
//	repeats to a target            10 %      *Error, retry.ErrBudget (one a minute and 10 saved in any case)
//	failing attempts at a target   half      *Error, ErrOpen for 5 s, then one probe at a time
//	attempts in flight, a target   64        waits
//	attempts waiting for a place   64        *Error, ErrFull
//	operations left by Abandon     64        each keeps its place in flight: ErrFull
//	attempts in a period           none      Options.Quota sets it (package quota): quota.ErrSpent, Error.At is set
//	calls of one piece of work     none      WithTrips sets it: *Error, ErrTrips
//	hosts whose connection stalled 256       the oldest is served by the Base again
//	targets remembered             1024      the longest idle is forgotten; all busy: ErrFull
//	an answer (Endpoint)           1 MiB     *Error, ErrTooLarge
//	pages of a list (Paged)        1000      *Error, ErrTooLarge, and where to go on
//	all pages of a list (Paged)    64 MiB    *Error, ErrTooLarge, and where to go on
//	a problem read                 64 KiB    not read: the status speaks
//	a failed attempt's body read   64 KiB    its connection is closed
//
// # Errors
//
// Every error of a call is an [*Error]. Its Outcome is that of the whole call:
// a time-out followed by a refused connection is still unknown. Sentinels
// ([ErrOpen], [ErrFull], [ErrTooLarge], [ErrTrips], [ErrNotModified],
// [ErrPrecondition], [ErrNextPage], those of package retry, context errors) are
// found by errors.Is, a [*Problem] by errors.AsType. Texts hold no query, user
// info or payload.
//
// # Concurrency
//
// A [Guard] and a [Transport] are safe for concurrent use; an [Endpoint] is a
// value. No goroutine outlives a call, but for the instant of a timer that
// settles a probe whose operation ignores its context, and the operations that
// Abandon left, which Guard.Abandoned counts.
//
// # Testing
//
// Limits, waits and breakers use package time alone: in a testing/synctest
// bubble, with an http.RoundTripper function as Transport.Base, hours take no
// time. A nil Guard shares nothing between tests.
package requestreply
