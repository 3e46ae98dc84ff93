// Package inbox makes a message that arrives more than once take effect once.
//
// Every sender that does not lose messages sends some of them again. A
// receiver that remembers their ids, in the same transaction as the effect,
// turns delivery at least once into an effect once, inside a window of time.
// Use it wherever something arrives that must not happen twice: a webhook, an
// event, a callback, a job. For a request whose caller waits for the answer,
// use the keys of requestreply/server, which keep the answer too.
//
//	orders := inbox.New("orders", store, nil)
//
//	err := orders.Do(ctx, m.ID, m.Created, func(ctx context.Context, tx *sql.Tx) error {
//		_, err := tx.ExecContext(ctx, `UPDATE stock SET n = n - ? WHERE sku = ?`, m.N, m.SKU)
//		return err
//	})
//	if err == nil {
//		ack() // the effect is durable, now or since an earlier delivery
//	}
//
// # The promise
//
// Within the window, the writes fn makes through its transaction take effect
// once for each id, however often, however concurrently and in however many
// processes the id arrives. The id and the effect commit together, or neither
// does: a crash in between leaves the message unprocessed, to be delivered
// again. Acknowledge after Do returned nil and never before. What fn does
// outside its transaction is not covered.
//
// An inbox remembers an id for a window after the time of its message, 8 days
// by default; no shorter than the sender may repeat, replay or redrive
// (Standard Webhooks suggests a schedule of more than 3 days, and Salesforce
// replays events for 3). A message older than the window may be a repeat of
// one already forgotten, so it is not processed: [ErrTooOld]. Park it for
// somebody to decide.
//
// # The time of a message
//
// at is when the message was made, and the same for every delivery of it. Not
// the timestamp of a webhook's signature, which is new with each attempt. With
// a zero at, the time inside the id counts if the id is a UUID of version 7,
// as the ids of this module are; else the first sight of the id, so that a
// delivery later than a window after the first counts as new. An at in the
// future, from a clock ahead of ours, is remembered that much longer; one that
// is ahead by more than the window is refused with [ErrTooNew], for its id
// would be kept for ever.
//
// # What is bounded
//
//	bounded         default                      at the bound
//	remembered ids  the window's, until Forget   older messages: ErrTooOld
//	id              256 bytes                    ErrID
//	at              one window ahead             ErrTooNew
//
// Call [Inbox.Forget] now and then, for instance once an hour, to delete what
// the window has passed over; without it nothing is lost but room.
//
// # What survives a crash
//
// With a store in a database everything that committed. [Mem] keeps nothing.
//
// # Errors
//
// Errors of fn come back as they are. All others are an [*Error] and match
// [ErrTooOld], [ErrTooNew], [ErrID], [ErrNoTx] or the error of the store.
//
// # Concurrency
//
// An [Inbox] is safe for concurrent use. Of several concurrent deliveries of
// an id one runs; the others wait for it, and then are duplicates if it
// succeeded, or one of them runs if it failed.
//
// # Testing
//
// [Mem] is a store for tests and single processes. A store of your own passes
// the kit in inbox/inboxtest.
package inbox
