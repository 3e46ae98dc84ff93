// Package outcome says what is known about a call that failed.
//
// A timeout is not a failure: it is ignorance. Between "nothing was sent" and
// "it was done and the answer was lost" lies the difference between a safe
// repeat and a double charge, and a plain error hides it. Every error of this
// module therefore has an Outcome, and [Of] reads it through any wrapping:
//
//	receipt, err := endpoint.Call(ctx, order)
//	if err == nil {
//		return receipt, nil // Of(nil) is Applied too
//	}
//	switch outcome.Of(err) {
//	case outcome.NotSent, outcome.Refused:
//		// nothing happened there: repeat it, or tell the user
//	case outcome.Applied:
//		// it happened; only the answer is missing: do not repeat without a key
//	case outcome.Unknown:
//		// ask the other side by key before doing anything else
//	}
//
// # Two separate questions
//
// Is it safe to repeat? Yes if the outcome is NotSent or Refused, and whatever
// the outcome if the operation is idempotent or carries a key: [CanRepeat].
// Is it worth repeating? Yes if the cause passes by itself: [Transient].
// A retry needs both.
//
// # The table
//
//	seen                                                    outcome   transient
//	dial, DNS or TLS failure; no request byte written;      NotSent   yes
//	HTTP/2 REFUSED_STREAM or GOAWAY below the stream
//	our own breaker, bulkhead, quota or budget said no      NotSent   not before the instant the error names
//	reset, time-out or EOF after the first request byte     Unknown   yes
//	400 401 403 404 405 406 409 410 412 413 414 415         Refused   no (409 in flight: yes;
//	422 428 431                                                       401: once, after authenticating again)
//	425 429; 503 with Retry-After                           Refused   yes
//	408 500 502 504; 503 without Retry-After                Unknown   yes
//	501 505                                                 Refused   no
//	307 308 that was not followed                           Refused   no
//	another 3xx                                             Unknown   no
//	2xx whose body is cut, too large or does not decode     Applied   only by key
//	SQL: failed before COMMIT was sent, 40001, 40P01, BUSY  Refused   yes, the whole transaction
//	SQL: connection lost during COMMIT                      Unknown   by key
//	gRPC: 3 5 6 7 9 10 11 12 16                             Refused   no
//	gRPC: 2 4 8 13 14                                       Unknown   yes
//
// The statuses are those of RFC 9110, RFC 6585 and RFC 8470; [Status] is that
// part of the table as code, and [GRPC] and [SQLState] are the parts that codes
// of their own have. A caller that knows better of one endpoint says
// so with [TransientError], whose word is the one [Of] and [Transient] read.
//
// A call made of several attempts has the outcome most likely to have had an
// effect among theirs: [Worst]. A time-out followed by a refused connection
// is still unknown.
//
// # Errors that carry an outcome
//
// Any error with a method Outcome() outcome.Outcome does. [Error] and
// [TransientError] mark one that has none. An error may say whether its cause
// passes with a method Transient() bool.
//
// # Concurrency
//
// Everything here is a value or a pure function.
package outcome
