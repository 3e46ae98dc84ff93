// Package pubsub tells whoever listens: an event that was published stays in
// a log, and every group of subscribers gets it, in the order of its key, at
// least once, whether it runs at that moment or not.
//
// Use it when something happened and who wants to know is none of the
// publisher's business: stock changed, an order was placed, a customer moved.
// Use fireforget when one known system must hear of it, requestreply when
// somebody waits for an answer, and batchsync to move many records at set
// times. Do not use it for commands: an event has no addressee who must act.
//
//	changes := pubsub.NewTopic[StockChanged](log, "stock.changed", nil)
//	id, err := changes.Publish(ctx, item.SKU, StockChanged{SKU: item.SKU, Free: item.Free})
//
//	s := pubsub.Subscribe(changes, "shop-window", func(ctx context.Context, e pubsub.Event[StockChanged]) error {
//		return window.Show(ctx, e.Data)
//	}, nil)
//	err = s.Run(ctx)
//
// # The promise
//
// When [Topic.Publish] returns nil the event is durable, and every group that
// exists or is made later finds it there until it is pruned.
// [Topic.PublishTx] makes it part of the caller's own transaction: event and
// business data are there together, or neither is.
//
// A group handles each event at least once, or parks it as a dead letter with
// the reason; nothing is skipped in silence. With [SubscribeTx] an event takes
// effect once, inside the inbox's window, because its ID is recorded in the
// transaction of the effect. With [Subscribe] the handler may meet an event
// again: after a crash, a lost lease, and also a stop while an earlier event
// waits for its retry, since the cursor is before that one. One that was
// parked is not met again, not by a replay either, until it is redriven.
//
// Events of one key are handled one after another, in the order of the log:
// if the transaction that published A committed before the one that published
// B began, A comes before B. An event that waits for its retry holds up its
// key and no other; a parked one holds up nothing. Events without a key have
// no order.
//
// # Groups, cursors and shards
//
// Groups are independent: each has its own cursor and gets every event. The
// cursor is a low-water mark: everything up to it was handled or parked. It
// follows the work within a tenth of a second or a quarter of the window.
// Inside a group, several processes share the work by shards, into which keys
// are hashed; a shard is leased under an epoch, so that a process that was
// away cannot move the cursor.
//
// A new group begins where SubscribeOptions.Start says, from the oldest event
// kept by default: a cache that is built anew replays the log under a new
// name. [Subscription.Seek] moves a group that does not run.
//
// # What survives a crash
//
// Everything a durable log has: events, cursors, dead letters. After a kill
// the events of a shard pass on when its lease has run out, at most two leases
// later (20 s by default; longer by as much as the wall clock is set back
// meanwhile), and at most a window of them is handled again.
// How often an event was tried is not kept: after a crash it has all its
// attempts again. An event that kills its process does not do so for ever:
// when two holders of a shard in a row have died and the cursor has not moved,
// the next one handles the events of a window one by one, counting each before
// it begins, and parks the one whose third attempt (or last, if it has fewer)
// nobody came back from; an event that waits for its retry then holds up its
// shard. A redriven dead letter that was begun after such a
// death is redriven once. [Mem] survives nothing.
//
// # When a subscription notices
//
// Publish wakes the subscriptions of its process at once, and so does
// PublishTx inside sqlstore's DB.Tx. Nobody reports the commit of another
// transaction: [Topic.Wake] may be called after it, this process looks often
// for a second, and every subscription polls, every 250 ms by default.
//
// # What becomes of an event
//
//	the handler returns                the event
//	nil                                is handled
//	an error                           waits as SubscribeOptions.Retry says
//	an error with retry.After          waits at least so long
//	retry.Permanent, or an error       is parked: "permanent"
//	  whose Transient() is false
//	an error, attempts used up         is parked: "exhausted"
//	an error with retry.After above    is parked: "later"
//	  Retry.MaxRetryAfter
//	(its type or schema is not known,  is parked: "unreadable"
//	  or its data does not decode)
//	a panic, or runtime.Goexit         counts as an error
//	(the process dies each time)       is parked: "crashed"
//	an error, after its context was    stays unread
//	  ended by drain or a lost lease
//
// Dead letters are in the store with their data and the last error:
// [Subscription.DeadLetters] lists them, has them handled again, or discards
// them.
//
// # Events are CloudEvents
//
// An event has the attributes of CloudEvents 1.0 (cloudevents.io): id, source,
// type, time, and subject, dataschema, datacontenttype; the key is the
// extension partitionkey, and headers are further extensions.
// [Message.MarshalJSON] writes the JSON format and [ParseCloudEvent] reads it.
// The schema is the version of the data: one that a subscription was not told
// to accept is parked, not guessed at. So programs that read a new schema are
// put to work before those that publish it; what older ones parked is
// redriven.
//
// # What is bounded
//
//	bounded                            default         at the bound
//	data (TopicOptions.MaxData)        256 KiB         ErrTooLarge
//	events in one PublishAll           10,000, 64 MiB  ErrInvalid, ErrTooLarge
//	ID, Key, Subject, Header           150 B, 512 B,   ErrInvalid
//	                                   512 B, 8 KiB
//	handlers at once (InFlight)        16 a shard      the others wait
//	read beyond the cursor (Window)    1,024 a shard   reading waits
//	data of those in memory            16 MiB a shard  reading waits
//	one attempt (Timeout)              1 min           its context ends
//	attempts (Retry)                   12 in ~2 min    parked
//	drain (Drain)                      10 s            handlers' contexts end
//	shards of a group                  1, most 1,024   fewer are made
//	the log                            not bounded     Prune it, by age or count
//	dead letters                       not bounded     redrive or discard them
//
// A key that waits for ever fills the window in the end, and then its shard
// waits: so attempts end, and dead letters hold what takes longer. The window
// is never dropped from; a slow group reads later, and costs the others
// nothing. Prune keeps what a group has not read, unless told otherwise; a
// group that finds a gap before it says so with [ErrGone] and how many events
// are missing.
//
// # Errors
//
// Every error is an [*Error] with an outcome. [ErrInvalid] and [ErrTooLarge]
// come with a [*FieldError], [ErrGone] with a [*GoneError], [ErrUnreadable]
// with an [*UnreadableError]; further [ErrHeld], [ErrShards], [ErrLost],
// [ErrNoTx], [ErrRunning] and those of the store. No error of this package has
// data in it but what a codec quotes; what your handler returns is kept with
// the dead letter, cut at 1 KiB.
//
// # Concurrency
//
// All types are safe for concurrent use. [Subscription.Run] blocks; it waits
// for every goroutine it started. Nothing else starts one. A handler may
// publish, to its own topic too.
//
// # Testing
//
// [NewMem] is a log for tests and works inside testing/synctest, where hours
// of retries pass at once. A store of your own must pass pubsubtest.TestLog
// and pubsubtest.TestGroups.
package pubsub
