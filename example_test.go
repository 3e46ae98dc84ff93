package crosstie_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/crosstie/crosstie"
)

// A reload of half a million rows every night, into Salesforce.
func ExampleChoose() {
	advice, err := crosstie.Choose(crosstie.Requirement{
		Within:      8 * time.Hour,
		PerDay:      500_000,
		PerBurst:    500_000,
		Direction:   crosstie.IntoSalesforce,
		CallsPerDay: 100_000,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	best := advice.Ranked[0]
	fmt.Println(best.Pattern)
	fmt.Println(best.Reasons[0])
	fmt.Println(best.Cost)
	fmt.Println("not", advice.Warning.RunnerUp, "-", advice.Warning.AntiPattern)
	// Output:
	// batchsync
	// +7 PerBurst: 500,000 rows at once: whole batches, resumable, with a report for each row
	// 500 (1 run x 50 batches of 10,000 rows x 10 calls), of 100,000
	// not fireforget - chatty synchronous calls
}

// The whole advice, as a person reads it.
func ExampleAdvice_String() {
	advice, err := crosstie.Choose(crosstie.Requirement{
		Within:      800 * time.Millisecond,
		PersonWaits: true,
		PerDay:      20_000,
		Starts:      crosstie.AskingSide,
		InPlace:     true,
		BestEffort:  true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(advice)
	// Output:
	// Use requestreply: ask and wait.
	//   +3 Starts: the side that needs it asks, and the answer comes back in the same call
	//   +3 PersonWaits: a person waits: one call with a deadline ends with an answer or says what is known
	//   +2 Within: it is needed within 800ms: one call is the shortest way there and back
	//   +2 InPlace: the data may stay where it lives: read it there when it is needed
	//   +1 Runs: the work takes 800ms: the call can stay open for it
	//   +1 BestEffort: a lost one does no harm: whoever asked asks again
	//   calls a day: 20,000 (20,000 items, a call each)
	//   Salesforce: External Services (imports an OpenAPI document; flows call it) or an Apex callout: Salesforce asks, at most 120 s and 100 callouts a transaction
	//   Salesforce: REST with upsert by external id, Composite (25 requests in one call), Collections (200 rows): the other system writes and reads the result
	//   Salesforce: REST and SOQL with Composite, or Apex REST: the other system asks Salesforce
	//   Salesforce: Continuation, where a page would wait more than 5 s
	// Not uiupdate, which would be caching too long: a value that is kept at the screen is shown after it stopped being true; it may be no older than 800ms
	// Ranked:
	//   1. requestreply +12  calls a day: 20,000 (20,000 items, a call each)
	//   2. uiupdate      +6  calls a day: 24 (one stream, opened again every hour)
	//      -1 Starts: a view shows what changed, it does not answer questions
	//   3. remoteinvoke  -1  calls a day: 60,000 (20,000 jobs x (start, callback, result))
	//      -3 Runs: the work takes 800ms: it is done before a job id is worth having
	//   4. fireforget    -4  calls a day: 20,000 (20,000 items, a call each)
	//      -2 Starts: a hand-over brings no answer back to the side that asks
	//   5. pubsub        -6  calls a day: 24 (one stream, opened again every hour)
	//      -3 Listeners: one receiver needs no log to be shared
	//   6. batchsync    -13  calls a day: 200,000 (20,000 runs x 1 batch of 10,000 rows x 10 calls)
	//      -4 PersonWaits: a person waits, and a run comes when its time comes
}

// A requirement that contradicts itself is refused by field.
func ExampleError() {
	_, err := crosstie.Choose(crosstie.Requirement{Within: time.Second, Runs: 10 * time.Minute})
	if e, ok := errors.AsType[*crosstie.Error](err); ok {
		fmt.Println(e.Field, "is", e.Value)
	}
	fmt.Println(err)
	// Output:
	// Runs is 10m0s
	// crosstie: Requirement.Runs is 10m0s, want at most Within, 1s: no pattern answers before the work is done: allow more time or shorten the work
}
