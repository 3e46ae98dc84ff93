// Package server answers requests so that they may be repeated: once in
// effect for each Idempotency-Key, with an answer that says what is known.
//
// Use it for the side that is asked. [Handle] serves a function as typed JSON,
// its parameters read from path, query and headers by tags of the request type.
// [HandleTx] serves one whose effect is in a database, and commits the effect
// with the stored answer. [Idempotent] wraps any http.Handler. To accept work
// and do it later, use fireforget.
//
// # The promise
//
// Inside the time answers are kept (24 h unless told otherwise), requests with
// the same caller, method, route, key and content have one effect under
// HandleTx, and are all answered as the first was. What survives a crash is
// what the [TxKeys] store: with sqlstore, all that was answered. After a crash
// in the middle the effect has not happened, and a repeat makes it happen, at
// most one lease time later (10 s). Under Idempotent a crash in the middle
// leaves the outcome unknown, and repeats are told so.
//
//	keys := db.Keys() // of package sqlstore
//	mux.Handle("POST /reservations", server.HandleTx(keys,
//		func(ctx context.Context, tx *sql.Tx, o Order) (Receipt, error) {
//			res, err := tx.ExecContext(ctx, "update stock set free = free - ? where sku = ? and free >= ?", o.Qty, o.SKU, o.Qty)
//			if err != nil {
//				return Receipt{}, err
//			}
//			if n, _ := res.RowsAffected(); n == 0 {
//				return Receipt{}, &requestreply.Problem{Status: 409, Title: "Out of stock"}
//			}
//			return Receipt{Reserved: o.Qty}, nil
//		}, &server.Options{Scope: callerOf}))
//
// The protocol is that of draft-ietf-httpapi-idempotency-key-header:
//
//	seen                                     answer
//	no key where one is required             400
//	key and request as before                as before, with Idempotent-Replayed: true
//	key as before, another request           422
//	key in flight                            409 with Retry-After
//	the claim ran out before it was done     503 with Retry-After, outcome "unknown"
//	answered, the answer too large to keep   409, outcome "applied" or "unknown"
//	Idempotent died in the middle            500, outcome "unknown"
//
// A stored key is a hash of scope, method, route and key. The scope says whose
// key it is: without it one caller could be given another's answer. Stored
// answers keep no header that carries credentials.
//
// A request may tell how long its answer is waited for, in milliseconds
// (requestreply.TimeLeftHeader; an Endpoint with TellTime does). That can only
// shorten our own time. What was not begun when it is over, because the body
// came slowly or the header says 0, is answered 503 with Retry-After and never
// begun: nobody waits for it.
//
// # What is bounded
//
//	bounded                      default   at the bound
//	a request's body             1 MiB     413
//	depth of its JSON            64        400
//	time to answer               30 s      the function's context ends; 504
//	length of a key              255       400
//	an unfinished claim          10 s      renewed while answered; else claimed again
//	answers kept                 24 h      a repeat is a new request
//	a kept answer                1 MiB     not kept, its repeat is answered 409
//	keys in memory (NewMemKeys)  131072    503 with Retry-After
//
// # Errors
//
// Errors are answered as RFC 9457 problems that name the fields at fault and
// never repeat what was sent for them. Where the status alone would say
// something else about the effect, the member "outcome" says what is known,
// and a requestreply.Endpoint believes it. What an answer must not tell goes
// to Options.Logger.
//
// # Concurrency
//
// Handlers and keys are safe for concurrent use. A heartbeat that renews the
// claim runs beside each keyed request and ends with it.
//
// # Testing
//
// [NewMemKeys] needs no database; its Tx gives a nil *sql.Tx. An
// implementation of [Keys] is tested by servertest.TestKeys.
package server
