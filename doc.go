// Package crosstie is the map of a toolkit of integration patterns, and the
// adviser that helps to choose between them.
//
// A crosstie is the beam that holds two rails at the right distance. This
// module holds two systems together, Salesforce and another or any other
// two, without welding them: each pattern is a package of its own, none
// imports another, and none needs a service to be tried out.
//
//	pattern                   package       adapter   example
//	ask and wait              requestreply  sqlstore  examples/requestreply
//	hand over and go on       fireforget    sqlstore  examples/fireforget
//	move much, periodically   batchsync     sqlstore  examples/batchsync
//	start there, learn later  remoteinvoke  sqlstore  examples/remoteinvoke
//	show what changed         uiupdate      -         examples/uiupdate
//	tell whoever listens      pubsub        sqlstore  examples/pubsub
//	Salesforce's interfaces   salesforce    -         examples/inventory   (a module of its own)
//
// examples/inventory ties all six together, and an org, over real stock data;
// salesforce/sftest is an org inside a test.
//
// # How to choose
//
//   - Somebody needs the answer to go on, and gets it in seconds: requestreply.
//   - Something happened, one known system must hear of it, nobody waits, and
//     none may be lost: fireforget.
//   - Thousands of rows, at a time of their own: batchsync.
//   - The work takes longer than a call may stay open: remoteinvoke.
//   - A person watches data that changes elsewhere: uiupdate.
//   - Something happened, and who wants to know is none of the sender's
//     business: pubsub.
//
// When two seem to fit, describe the case to [Choose]. It ranks all six with
// reasons, warns of the anti-pattern that the second choice would be, names
// what Salesforce itself offers, and computes the calls a day:
//
//	advice, err := crosstie.Choose(crosstie.Requirement{
//		Starts:      crosstie.ChangedSide,
//		PerDay:      500_000,
//		PerBurst:    500_000,
//		Within:      8 * time.Hour,
//		Direction:   crosstie.IntoSalesforce,
//		CallsPerDay: 100_000,
//	})
//	if err != nil {
//		return err
//	}
//	fmt.Print(advice)
//
// # What every room promises
//
//   - A failed call says what is known about its effect: not sent, refused,
//     applied or unknown (package outcome). Nothing is repeated on a guess.
//   - At least once on the wire, once in effect inside a stated window: every
//     item keeps one id over all attempts, and the receiver records it in the
//     transaction of the effect (package inbox).
//   - Leases carry an epoch, so that an owner who was away cannot write.
//   - State never goes backwards, whatever arrives late or twice.
//   - Everything is bounded, with a named error or documented waiting at the
//     bound; nothing is dropped in silence.
//   - Reports add up: in = done + unchanged + failed + parked + unprocessed.
//   - Errors and logs hold no secrets and no payloads.
//
// Packages retry and webhook are the nouns users configure in several rooms;
// sqlstore is every room's durable port on database/sql.
//
// # Errors
//
// Choose returns an [*Error] for each field of a [Requirement] that makes no
// sense, joined; errors.AsType finds the first.
//
// # Concurrency
//
// Everything in this package is a value or a pure function, safe for
// concurrent use.
//
// # Testing
//
// Choose reads nothing but its argument: the same requirement has the same
// advice, so a test may hold a decision of yours in place.
package crosstie
