// Package salesforce talks to a Salesforce org, and says after each call what
// is known about its effect.
//
// Use it for single records, queries and events, as part of an answer somebody
// waits for. For many rows use package bulk beside it, a sink of batchsync: one
// job of ten thousand rows costs a handful of the day's calls, ten thousand
// upserts cost ten thousand.
//
//	org, err := salesforce.New("https://acme.my.salesforce.com",
//		salesforce.ClientCredentials(id, secret), nil)
//	if err != nil {
//		return err
//	}
//	up, err := org.UpsertBy(ctx, "Product2", "SKU__c", "85123A", map[string]any{"Name": "T-light holder"})
//	if err != nil {
//		return err
//	}
//	for p, err := range salesforce.Query[Product](ctx, org,
//		salesforce.Select[Product]()+" FROM Product2 WHERE SKU__c IN ? AND IsActive = ?", skus, true) {
//		...
//	}
//
// # Records
//
// A record is any value that encoding/json reads and writes: a struct whose
// `json` tags are API names, or a map. In what is written a null clears the
// field, and a field that is absent stays as it is: use a pointer with
// omitempty, or csvrow.Opt with omitzero, where both occur. In what is read,
// null leaves a Go field at its zero value, or a pointer nil. Salesforce has no
// empty text: it keeps "" as null, and trims the blanks around a text. Use
// [Time], [Date] and [Int] for its forms of them: it prints 12 as 12.0.
//
// # Delivery
//
// What may be repeated without harm is repeated as Options.Retry allows: reads,
// updates, deletes, and [Org.UpsertBy]. [Org.Create] and [Org.Publish] are
// repeated only when it is known that nothing happened; when their answer is
// lost, the error's outcome is Unknown, and only a look by a key of yours can
// settle it. So lead with an upsert by external id: it needs no look.
//
// This package keeps nothing: after a crash there is nothing to recover here.
// Package bulk says what of a job survives.
//
// # Credentials
//
// Tokens are asked for when first needed, by one caller for all, and once again
// when the org answers that the session is over. No error holds a token or a
// secret, and an [Auth] prints none. There are [ClientCredentials],
// [JWTBearer], [RefreshToken], [StaticToken], and [TokenFunc] for all else. No
// redirect is followed: it would carry the Authorization header, or the secret
// itself, to another host.
//
// # What is bounded
//
//	bounded              default      at the bound
//	an attempt           2 min        the attempt ends; its outcome is Unknown
//	attempts of a call   retry.Policy *Error with the reason
//	an answer            32 MiB       *Error wraps ErrTooLarge
//	rows of a query      1,000,000    the sequence ends with ErrTooLarge
//	a request's URL      14,000 bytes nothing is sent: ErrTooLarge
//	calls of the day     the org's    ErrLimit; Options.Reserve stops before it: ErrReserve
//
// # Errors
//
// Every error is an [*Error]. errors.Is finds [ErrUnreachable],
// [ErrCredentials], [ErrNotSalesforce], [ErrLimit], [ErrReserve],
// [ErrNotFound], [ErrAmbiguous], [ErrTooLarge] and [ErrInput] in it, as far as
// they fit, and context errors. outcome.Of reads what is known: the table of
// package outcome, with what the org's error codes say beyond the status.
//
// # Concurrency
//
// An [Org] is safe for concurrent use and meant to be shared. Everything else
// is a value.
//
// # Testing
//
// Package sftest is an org inside a test:
//
//	fake := sftest.NewOrg(t, nil)
//	org, err := salesforce.New(fake.URL(), salesforce.ClientCredentials(fake.ClientID(), fake.ClientSecret()), nil)
//
// Sources: the REST API Developer Guide and the Bulk API 2.0 guide of
// developer.salesforce.com, version 66.0; RFC 6749 and RFC
// 7523 for logins.
package salesforce
