// Package outbound listens to the Outbound Messages of a Salesforce org and
// makes each of their notifications take effect once.
//
// An outbound message is what a flow or a workflow rule sends without code: a SOAP
// 1.1 message of up to 100 notifications, each with the chosen fields of one
// record. Use it where an administrator decides what is sent. Where a developer
// may, a platform event (package pubsub) keeps order and can be replayed. To hand
// work over to others yourself, use fireforget.
//
//	accounts, err := outbound.New("Account", outbound.Sender{OrganizationID: id, Secret: secret}, in,
//		func(ctx context.Context, tx *sql.Tx, n outbound.Notification[Account]) error {
//			_, err := tx.ExecContext(ctx, `UPDATE customer SET name = $1 WHERE sfid = $2`, n.SObject.Name, n.SObject.ID)
//			return err
//		}, nil)
//	mux.Handle("/salesforce/accounts/{secret}", accounts)
//
// # The promise
//
// The org repeats a whole message until it reads Ack true, which is said when
// every notification is durable: its effect is committed, by this delivery or by an
// earlier one, or it is parked (below). Each notification is one transaction of
// its own, with the record of its id in the inbox. So when one fails, the others
// stay done, and the next attempt does only what is missing. A crash before the
// answer costs a repeat that the inbox knows.
//
// All notifications of a message are tried, in its order, also behind one that
// failed. That order means nothing: the org retries without regard to it. And the
// fields are those of the time of sending, not of the time of the save: two saves
// may arrive as twice the later one, and a record that is deleted is not told.
// So treat a notification as news that a record has changed, compare a time stamp
// of it before you overwrite, and use batchsync for what must be complete.
//
// # What the org is answered
//
//	what happened                           answer
//	all is durable                          200, Ack true
//	a function failed, or time ran out      200, Ack false
//	a field does not fit T, and no Park     500, a Client fault that names it
//	not a message as the WSDL has it, over  500, a Client fault that names place and
//	  a limit, or of another organisation     limit; nothing was done
//	the source or the certificate is not    403
//	  one of the Sender's
//	the path has not the Sender's secret    404
//	neither POST of text/xml nor GET ?wsdl  405 or 415
//
// All but the first make the org repeat the message for 24 hours, with growing
// pauses, and then drop it. It is lost then, unless the org keeps failed messages,
// as Salesforce's support enables it, for up to 7 days. So an error of fn for good
// (retry.Permanent, or not transient by its own word) costs a day of repeats
// and then the notification, unless Options.Park takes it.
//
// # Who may send
//
// The messages are not signed. A [Sender] names the organisation, which is no
// proof: its id is no secret. So one of a verified client certificate, the org's
// source addresses or a secret in the path is required, and all that are given
// must hold. The addresses of Salesforce are those of all orgs.
//
// The SessionId of a message, with which one could call the org as the user who
// sends, is passed over while the message is read, and so are its URLs: they
// reach no function, store or log. Take a login of your own (package salesforce)
// to call back.
//
// # How long ids are remembered
//
// The inbox remembers an id for its window, 8 days by default, from its first
// sight: a notification bears no time. That covers 24 hours of retries and 7 days
// of failed messages. Where people retry failed messages by hand late, give the
// inbox a longer Window.
//
// # What is bounded
//
//	bounded                          default  at the bound
//	a message                        16 MiB   a Client fault
//	its notifications                100      a Client fault: the WSDL says so
//	depth, elements, attributes      16, 100,000, 64   a Client fault
//	reading, and answering, a message  30 s   connection's end; Ack false
//
// # Errors
//
// [New] refuses what could never work with an error that names the field. What is
// answered names places and never a value of the message; the error of a function
// goes to the Logger alone.
//
// # Concurrency
//
// A [Listener] is safe for concurrent use, and starts no goroutine. Deliveries
// of one notification at the same time wait for each other in the inbox.
//
// # Testing
//
// An org of package sftest sends outbound messages, with the platform's retries, over
// a network or inside a testing/synctest bubble.
//
// Sources: "Outbound Messaging" in the SOAP API Developer Guide of
// developer.salesforce.com, version 66.0 (the WSDL, notifications, building a
// listener); SOAP 1.1. Not documented there: that null fields are left out.
package outbound
