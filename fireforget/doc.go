// Package fireforget hands work over and goes on: a message that was accepted
// is delivered, or parked in plain sight.
//
// Use it when another system must learn of something and nobody waits for its
// answer: a notification, an audit record, an order to forward, a webhook. Use
// requestreply when somebody waits for the answer, remoteinvoke for an answer
// that comes later but matters, batchsync to move many records at set times,
// and pubsub for listeners that come and go by themselves.
//
//	outbox := fireforget.NewOutbox(store, nil)
//	id, err := outbox.Send(ctx, fireforget.Message{To: "billing", Key: order.Customer, Payload: order})
//
//	relay := fireforget.NewRelay(store, nil)
//	relay.Handle("billing", fireforget.Webhook("https://billing.example/in", secret, nil), nil)
//	err = relay.Run(ctx)
//
// And on the other side, [NewReceiver] with an inbox.
//
// # The promise
//
// When [Outbox.Send] returns nil the message is durable: it will be delivered
// at least once, by any relay of the store, or be a dead letter that stays
// until it is redriven. [Outbox.SendTx] makes it part of the caller's own
// transaction: message and business data are there together, or neither is.
//
// On the wire a message may come more than once, always with the same ID. A
// receiver with an inbox makes that once in effect, inside the inbox's window.
//
// Messages with the same To and Key are delivered one after another, each when
// the one before has landed or was parked. The order is: if the transaction
// that sent A had committed before the one that sent B began, A comes before
// B; transactions at the same time get one order, which never changes after.
// A message that waits for its next attempt holds up its key and no other.
// What happens behind a message that cannot be delivered is the route's
// [Poison] policy. Messages without a Key have no order.
//
// # What survives a crash
//
// Everything a durable store has: what was accepted, how often it was
// attempted and why that failed, when it is due. A process that dies while it
// delivers leaves claims behind, which pass on when their lease has run out:
// from the kill to the next attempt at most two leases, 20 s by default, and
// longer by as much as the wall clock is set back meanwhile. A
// process that was only paused finds its results refused, because every claim
// has an epoch. [NewMem] survives nothing.
//
// # When a relay notices
//
// Send wakes the relays of its process at once, and so does a SendTx inside
// sqlstore's DB.Tx. Nobody reports the commit of another transaction:
// [Outbox.Wake] may be called after it, this process looks often for a second,
// and any relay polls, every 250 ms by default. A wake-up that is lost costs
// time, never a message.
//
// # What becomes of an attempt
//
//	the deliverer returns            the message
//	nil                              has landed and is removed
//	an error                         waits by RouteOptions.Schedule
//	an error with retry.After        waits the longer of the two
//	retry.Permanent, or an error     is parked: "permanent"
//	  whose Transient() is false,
//	  as 4xx answers have
//	an error, schedule used up       is parked: "exhausted"
//	(Expires has come, or comes      is parked: "expired"
//	  before the next attempt)
//	(its key is stopped by ParkKey)  is parked: "key stopped"
//	a panic, or runtime.Goexit       counts as an error
//	an error, after the relay ended  is handed back and not counted
//	  the attempt: drain, lease lost
//
// # What is bounded
//
//	bounded                          default        at the bound
//	payload (OutboxOptions.MaxBody)  256 KiB        ErrTooLarge
//	messages in one SendAll          10,000, 64 MiB ErrInvalid, ErrTooLarge
//	ID, To, Key, Header              255 B, 255 B,  ErrInvalid
//	                                 512 B, 8 KiB
//	messages waiting (MaxPending)    1,000,000      ErrFull, or waiting with Wait
//	attempts (Schedule)              10 in 75 h     parked
//	one attempt (Timeout)            1 min          its context ends
//	a webhook request                20 s           counts as failed
//	a webhook answer that is read    64 KiB         its connection is closed
//	attempts at once (Concurrency)   16             the others wait
//	claimed ahead, a destination     1,024          the rest stays free for others
//	drain (RelayOptions.Drain)       10 s           attempts end, handed back
//	history of a message             32 attempts    the first and the last are kept
//	IDs remembered (Remember)        8 days         sent again, accepted again
//	dead letters                     not bounded    redrive or discard them
//
// # Errors
//
// Every error is an [*Error] with an outcome. [ErrInvalid] and [ErrTooLarge]
// come with a [*FieldError]; further [ErrReused], [ErrFull], [ErrNoTx],
// [ErrRunning] and those of the store. After an Unknown outcome send the
// message again under the ID that came back: if you chose it, it is accepted
// once, and else at least the receiver's inbox knows it. No error
// has a payload, a URL's query or a secret in it; what your own deliverer
// returns is kept in the history as it is, cut at 1 KiB.
//
// # Concurrency
//
// All types are safe for concurrent use. [Relay.Run] blocks; it waits for
// every goroutine it started. Nothing else starts one.
//
// # Testing
//
// [NewMem] is a store for tests and works inside testing/synctest, where days
// of retries pass at once. A store of your own must pass
// fireforgettest.TestStore.
package fireforget
