// Package quota shares an allowance of calls among processes, and keeps a part
// of it for those who matter most.
//
// Use it when the other side allows so many calls a day or a minute and counts
// them over all who call in your name: a Salesforce org, an API with a plan. A
// limit on what may run at one time is requestreply.Options.MaxInFlight; a limit
// on the calls of one page load is requestreply.WithTrips.
//
// # The promise
//
// The processes that share a [Store] together make no more attempts in a period
// than the allowance, and those not marked by [Important] no more than what is
// left of it without the reserve. An attempt beyond that is not made: it fails
// with [ErrSpent], which names the instant to come back at. What others use up
// of the same allowance is learned from the headers of answers, so it is known
// one answer late.
//
// A process takes a chunk at a time, so that not every call asks the store. What
// is left of its chunk when it crashes counts as used until the period ends:
// too few calls are made then, never too many.
//
//	daily := quota.New("org-7", 100_000, db.Quotas(), &quota.Options{Reserve: 10_000}) // db of package sqlstore
//	guard := requestreply.NewGuard(&requestreply.Options{Quota: daily})
//
//	products.Call(ctx, q)                  // up to 90,000 of them
//	order.Call(quota.Important(ctx), o)    // and these still go through
//
// # What the other side says
//
//	header of an answer                          what it changes
//	Sforce-Limit-Info: api-usage=18/5000         used, allowance
//	RateLimit: "name";r=50;t=30                  left, end of the period (with RateLimit-Policy: allowance)
//	RateLimit-Limit, -Remaining, -Reset          allowance, left, end of the period
//	X-RateLimit-Limit, -Remaining, -Reset        the same; a Reset above 10^8 is an instant
//	429 with Retry-After                         nothing is taken before then
//
// What is used only grows within a period, since answers overtake each other.
//
// # What is bounded
//
//	bounded                default              at the bound
//	calls in a period      the allowance        ErrSpent, not before the period ends
//	ordinary calls         allowance - Reserve  ErrSpent, as above
//	a period               24 h, in UTC         begins anew; at most 31 days
//	attempts to save       32                   ErrBusy: come back
//	a header looked at     4 KiB                not read
//
// # Errors
//
// [ErrSpent] and [ErrBusy], found by errors.Is, and those of the store. All say
// that nothing was sent, and all pass. A store that does not answer stops calls:
// who cannot count does not spend.
//
// # Concurrency
//
// A [Quota] is safe for concurrent use. It starts nothing.
//
// # Testing
//
// [NewMem] is a store for tests and for one process. Time is package time. An
// implementation of [Store] is tested by quotatest.TestStore.
package quota
