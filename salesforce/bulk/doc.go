// Package bulk brings the rows of a sync into a Salesforce object by Bulk API
// 2.0, and says of each row what became of it.
//
//	sink, err := bulk.NewSink[Product](org, "Product2", "SKU__c", &bulk.Options{Compare: true})
//	if err != nil {
//		return err
//	}
//	sku, err := sink.Key(ctx)
//	if err != nil {
//		return err
//	}
//	src := bulk.ParkCollisions(batchsync.Gather(catalogue, 50_000), sku.Same)
//	report, err := batchsync.New("products", src, sink, &batchsync.Options{Checkpoints: store}).Run(ctx)
//	fmt.Println(report) // in 4793 = done 12 (2 inserted, 10 updated, 0 deleted) + unchanged 4781 + ...
//
// Use it for thousands of rows. For a few, package salesforce answers at once;
// a job takes seconds to minutes, and each has its price in calls.
//
// # Rows
//
// The row type is a struct whose `csv` tags are API names, as package csvrow
// reads it; one of them is the external id, whose cell must equal Row.ID. A
// column "Parent__r.Code__c" sets a reference by the parent's external id.
//
//	value                                      in the org
//	csvrow.Opt that is absent                  stays as it is
//	nil, csvrow.Null, "", a zero Date or Time  null: Salesforce keeps no empty text
//	any other                                  that value
//
// A text "#N/A" cannot be sent, since it is the sign for null; such a row is
// parked. A row with Deleted is looked up by its external id and deleted by its
// record id; one that is not there is Unchanged, also when a process that died
// had deleted it.
//
// # Jobs
//
// Each write is one job, or several if it has more than Options.MaxJobBytes.
// The page of the source is the unit: give it large pages, by its own option or
// by batchsync.Gather. A job goes create, remember, upload, close, wait,
// results; its id is in the checkpoint before its data is sent, and under the
// checkpoint's lease:
//
//	killed after   in the org                       the next run
//	create         an open job without data         creates another; the org drops the empty one
//	remember       an open job                      aborts it, and sends again
//	upload         an open job with data            aborts it, and sends again
//	close          a job at work                    waits for it, and takes its results
//	results        a job that is done               takes its results
//
// So a job that a dead process left behind never overwrites newer values: none
// are sent before it is at its end. Its results count as the run's own where it
// brought the very same row. A process that was paused and lost its lease
// cannot remember a new job, and finds its old one aborted. Waiting that ends,
// by ctx or Options.Wait, never aborts a job that was started; one that was not
// is aborted before Write returns, for which it takes up to 10 s.
//
// # Results
//
// Results come in another order than rows; they are joined by external id.
// Inserted and Updated are the org's own word (sf__Created); a row that failed
// has a [*RowError] with the org's code. UNABLE_TO_LOCK_ROW and what else passes
// is sent again by the sync's Options.Retry, in a smaller job; so are rows the
// org left unprocessed. A cut list of results is noticed by its count, and read
// again. Rows of one parent that lie together lock each other out less often:
// sort the source by parent where the org complains ("Organize Data to Minimize
// Lock Contention").
//
// # Rows that meet in one external id
//
// Unless the field is case-sensitive "a1" and "A1" are one record to the org:
// in one batch both are refused, in two the later wins. [ParkCollisions] finds
// such rows before anything is sent and parks all of them, with a reason that
// names the others; [Collisions] lists them. Within one page the sink itself
// parks them.
//
// # Only what changed
//
// With Options.Compare the sink asks the org for the current values of a page's
// external ids first, and does not send rows that are already so: Unchanged.
// That is true also where somebody changed a value in the org, which a memory
// of what was sent would miss; what somebody changes between the look and the
// job is overwritten, as by any write. Its price is one query for each few
// hundred rows: 1 to 3 calls a thousand for external ids up to 20 characters. A
// job costs 4 to 6 calls (create, upload, close, lists of results) and its
// polls, however many rows it has; a page with nothing to send costs none.
// Texts are compared without blanks around them, numbers by value at the
// field's scale, null and empty as equal, times by the second.
//
// # What is bounded
//
//	bounded             default        at the bound
//	a job               100,000,000 B  the write is sent in several jobs, one after another
//	memory              a page         the source decides: its rows, and their CSV twice
//	waiting for a job   ctx            ErrRunning, by Options.Wait; the job goes on
//	between polls       1 s to 30 s    grows by half each time
//	Collisions          16 bytes a row, while it checks
//
// # Errors
//
// A write that fails as a whole returns an [*Error]; errors.Is finds [ErrAborted],
// [ErrFailed], [ErrRunning], [ErrOtherOrg], batchsync.ErrSchema, and the errors
// of package salesforce in it. Its outcome holds for every row of the write.
//
// # Concurrency
//
// A [Sink] is safe for concurrent use; two syncs into the same records at the
// same time lock each other's rows out.
//
// # Testing
//
// Package sftest has the whole of ingest, with faults.
//
// Source: Bulk API 2.0 Developer Guide, version 66.0: "Upload Job Data" (150 MB
// as base64, so 100 MB raw), "Prepare CSV Files" (#N/A), "Get Job Successful
// Record Results" (sf__ columns; any order), "Job States".
package bulk
