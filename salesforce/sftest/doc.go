// Package sftest is a Salesforce org inside a test: real HTTP on a loopback
// address, answers in the platform's own words, and failures on demand. What
// passes against it has met the errors that a sandbox shows once a month.
//
//	org := sftest.NewOrg(t, &sftest.Options{Objects: []sftest.Object{{
//		Name:   "Product2",
//		Fields: []sftest.Field{{Name: "SKU__c", ExternalID: true, Unique: true}},
//	}}})
//	client := yourclient.New(org.URL(), org.ClientID(), org.ClientSecret())
//
//	// The answer of the next upsert is lost, its effect is not.
//	org.Fault(sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpUpsert})
//	err := client.Upsert(ctx, "Product2", "SKU__c", "L-1", lamp)
//	// ... what does the client say? And then:
//	require.Len(t, org.Rows("Product2"), 1)
//
// What happened is in [Org.Calls], [Org.Changes], [Org.Rows], [Org.Events] and
// [Org.Jobs]; what somebody else does to the org, [Org.Insert], [Org.Update] and
// [Org.Delete] do.
//
// Use it to test an integration: any client, in any language through the
// program sforg beside it. Do not use it to learn what an org of yours does: it
// knows no triggers, flows, validation rules, permissions or duplicate rules,
// and a test against a sandbox still has to be the last one.
//
// It offers nothing that the platform lacks, and shares no code with the client
// of package salesforce, so that one mistake cannot be made twice and agree with
// itself.
//
// # What it answers
//
//	OAuth 2.0        client credentials in the body or by Basic, revoke, userinfo
//	versions         v36.0 to v67.0, with the differences between them that matter here
//	records          create, read, update, delete, and upsert, read and delete by
//	                 external id: 201, 200 (204 before v46.0), 300 for several
//	collections      create, update, upsert, delete and read many records in one call,
//	                 each by itself or all or none
//	describe         global, basic, and of an object
//	SOQL             query and queryAll, in pages of 200 to 2,000 (the grammar is below)
//	limits           the day's API calls, counted; the others stand still
//	platform events  published by REST or by a bulk insert
//	Bulk API 2.0     ingest: insert, update, upsert and delete, with its states and results
//
// Everything else is answered with NOT_FOUND, as an org without the feature
// does. The rest of composite, bulk queries, SOSL, the SOAP API and the streaming APIs
// are not here.
//
// Objects and fields are found in any case, doubled slashes and one at the end
// are ignored, bodies may be gzip, an Idempotency-Key means nothing to records,
// and no API path is ever redirected: all as the platform does it.
//
// # What it keeps
//
// Text is trimmed, and empty text is null. Numbers are rounded to the scale of
// their field, half away from zero, and printed as 12.0 and 3.5E8. Datetimes
// keep whole seconds and are UTC. Unique fields and external ids compare without
// case, unless declared otherwise; upserting under another case finds the row
// and keeps its spelling. A deleted row holds no external id. Writes are
// serialisable: each is seen whole or not at all, in the order of
// [Org.Changes]. Events are published at once, whatever becomes of the rest of
// their call.
//
// # SOQL
//
//	query     = SELECT ( COUNT() | path {, path} ) FROM name
//	            [WHERE condition] [ORDER BY order {, order}] [LIMIT n] [OFFSET n]
//	condition = term {AND term} | term {OR term}
//	term      = NOT term | ( condition ) | path test
//	test      = = | != | <> | < | <= | > | >=, and a literal
//	          | LIKE 'pattern' | [NOT] IN ( literal {, literal} )
//	order     = path [ASC | DESC] [NULLS FIRST | NULLS LAST]
//	path      = a field, or through references to a field: Maker__r.Name
//	literal   = 'text' | 12.5 | TRUE | FALSE | NULL | 2024-02-29 |
//	            2024-02-29T12:00:00Z | TODAY | YESTERDAY | TOMORROW
//
// What SOQL has besides is answered with MALFORMED_QUERY, which names it. AND
// and OR do not mix without parentheses, long text areas cannot be filtered,
// text is quoted and nothing else is: as on the platform. != and NOT IN hold for
// null. Without ORDER BY rows come as they were created; do not rely on it.
//
// # Bulk jobs
//
// A job runs by itself as soon as its upload is complete, or after
// [Options.BulkDelay]; with [Options.BulkHold] it moves when [Org.StepBulk]
// says so, 200 rows a step. Its results come in another order than its rows.
// Two rows with the same external id fail both if they share one of those
// chunks of 200, with DUPLICATE_VALUE; in different chunks the later overwrites
// the earlier, and both are told to have succeeded. An upload may be made once.
// What was written stays written when a job fails or is aborted.
//
// # Outbound messages
//
// [Org.AddOutboundMessage] makes the org send: a save is queued as a notification,
// and messages of up to 100 go to an endpoint of this machine until it answers
// with an Ack of true, after 15 s, 30 s and so on up to 2 h, for 24 hours. They
// bear the values of the time of sending, in an order left to chance, and nothing
// of a record that is deleted. A redirect, a fault, a status other than 200 and
// an answer after 60 s are no Ack. [Org.Notifications] is the queue, and
// [Org.RetryNotifications] the link Retry beside it.
//
// # Failures
//
// [Org.Fault] plants them: a delay, a status, a page of HTML, a connection that
// breaks before or after the effect, half an answer, an expired session, a used
// up allowance, a locked row; on one kind of call or on any, for one object, the
// nth time, n times, or for a share of calls that the seed chooses. One record
// of a bulk job or a collection can be hit, and the run of a job.
// [Org.ExpireSessions] and [Org.SetCallsUsed] do without a fault.
//
// Go's net/http repeats a GET by itself when a connection that it had kept open
// breaks: a fault that should be seen then needs Times of 2.
//
// # What is bounded
//
//	bounded                        by                     at the bound
//	URL, URL with headers          16,384 bytes           414, 431
//	body of a call                 50 MiB                 413
//	data of a bulk job             Options.MaxUpload      413
//	inline data of a bulk job      100,000 characters     INVALIDJOB
//	header, field, record, columns 32,000, 131,072,       the job fails, the row
//	  of bulk data                 400,000, 5,000         fails, for columns the job
//	API calls                      Options.DailyCalls     REQUEST_LIMIT_EXCEEDED
//	session without a call         Options.SessionIdle    INVALID_SESSION_ID
//	records in a collection        200, read 2,000        EXCEEDED_ID_LIMIT
//	OFFSET, length of a query      2,000, 100,000         an error
//	open query cursors             1,000, 2 days          INVALID_QUERY_LOCATOR
//	jobs and their results         7 days                 NOT_FOUND
//	journal                        Options.Journal        the oldest are forgotten
//	attempt of an outbound message 60 s                   it failed
//	nesting of a condition         100                    MALFORMED_QUERY
//
// Rows and events are kept until the org is closed: it lives as long as a
// test. Nothing survives the process.
//
// # Errors
//
// [Start] answers a schema that makes no sense with a *[SchemaError], and [NewOrg]
// fails the test. [Org.Fault] refuses a fault that could never hit. Calls get
// the platform's errors and nothing else: an array of errorCode, message and
// fields, in bulk results CODE:message:fields --.
//
// # What no document says
//
// These are what people report of orgs, or the likeliest guess; do not build on
// them: the status of 413; code and words where a bulk job is refused, moved
// from a wrong state, given data twice, or asked for its results too early; that
// a job closed without data fails; that of two rows with one external id both
// fail; that a row found under another case keeps its spelling; that text is
// trimmed; that an unknown field in one record refuses a whole collection.
//
// # Concurrency
//
// An [Org] may be used by many goroutines and by many clients. Two orgs share
// nothing.
//
// # Testing
//
// With [Options.InMemory] there is no listener, and [Org.Client] lets calls run
// inside a testing/synctest bubble, whose time then decides about sessions,
// delays and stamps.
//
// # Sources
//
// The REST API Developer Guide (requests, status codes, headers, sObject Rows,
// upsert), the Bulk API 2.0 and Bulk API Developer Guide (ingest, CSV, limits),
// the SOQL and SOSL Reference, the Platform Events Developer Guide (publishing by
// REST), and answers of orgs as the test data of public clients keeps them.
package sftest
