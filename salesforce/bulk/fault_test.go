package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/bulk"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// steps are the calls of one job, in their order.
var steps = []sftest.Op{
	sftest.OpDescribe, sftest.OpJobCreate, sftest.OpJobUpload, sftest.OpJobState, sftest.OpJobInfo, sftest.OpJobResults,
}

// One fault of each kind, at each step: the run goes on by itself, each row
// takes effect, and no job is left at work.
func TestOneFaultAtEachStep(t *testing.T) {
	for _, kind := range []sftest.FaultKind{sftest.FaultDropRequest, sftest.FaultDropResponse, sftest.FaultError, sftest.FaultTruncate, sftest.FaultExpire} {
		for _, on := range steps {
			t.Run(fmt.Sprintf("%s at %s", kind, on), func(t *testing.T) {
				b := newBench(t)
				store := batchsync.NewMem()
				b.fault(sftest.Fault{Kind: kind, On: on})
				rep, err := syncOf(source(500, items(300)...), sinkOf[product](b, "SKU__c", quick()), store).Run(t.Context())
				require.NoError(t, err)
				require.Equal(t, batchsync.Counts{In: 300, Inserted: 300}, rep.Counts, "a job that was done is not done again")
				require.Len(t, b.fake.Changes("Product2"), 300)
				require.Len(t, b.fake.Rows("Product2"), 300)
				require.Empty(t, token(t, store))
				for _, j := range b.open() {
					require.True(t, on == sftest.OpJobCreate && strings.HasSuffix(j, "Open"), "%s: only a job whose id nobody learned may stay open, without data", j)
				}
			})
		}
	}
}

// The same where an outage outlasts all attempts: the run ends, says what is
// known, and the next one finishes it.
func TestAnOutageAtEachStep(t *testing.T) {
	for _, kind := range []sftest.FaultKind{sftest.FaultDropRequest, sftest.FaultDropResponse, sftest.FaultError, sftest.FaultHTML, sftest.FaultLimit} {
		for _, on := range steps {
			t.Run(fmt.Sprintf("%s at %s", kind, on), func(t *testing.T) {
				b := newBench(t)
				store := batchsync.NewMem()
				rows := items(600)
				s := syncOf(source(200, rows...), sinkOf[product](b, "SKU__c", quick()), store)
				skip := 1 // in the second page
				if on == sftest.OpDescribe {
					skip = 0
				}
				b.fault(sftest.Fault{Kind: kind, On: on, Skip: skip, Times: -1})
				rep, err := s.Run(t.Context())
				if kind == sftest.FaultDropResponse && on == sftest.OpJobState {
					require.NoError(t, err, "a start whose answer is lost is settled by the state")
					require.EqualValues(t, 600, rep.Inserted)
					return
				}
				require.Error(t, err)
				require.NoError(t, rep.Check())
				require.False(t, rep.Complete())
				e, ok := errors.AsType[*batchsync.Error](err)
				require.True(t, ok)
				require.Equal(t, "write", e.Op)
				switch kind {
				case sftest.FaultLimit:
					require.ErrorIs(t, err, salesforce.ErrLimit)
				case sftest.FaultHTML:
					require.ErrorIs(t, err, salesforce.ErrNotSalesforce)
				}
				known := outcome.Of(err)
				switch on {
				case sftest.OpDescribe, sftest.OpJobCreate:
					require.Equal(t, outcome.NotSent, known, "%v", err)
				case sftest.OpJobUpload:
					require.Equal(t, outcome.Refused, known, "%v", err)
				case sftest.OpJobInfo, sftest.OpJobResults:
					require.Equal(t, outcome.Unknown, known, "%v", err)
				}
				b.fake.ClearFaults()
				if on == sftest.OpJobUpload && kind != sftest.FaultHTML {
					require.Empty(t, b.open(), "a job whose data did not come is aborted, and not left for the next run")
				}
				rep, err = s.Run(t.Context())
				require.NoError(t, err)
				require.True(t, rep.Complete())
				require.EqualValues(t, 600, rep.In)
				require.EqualValues(t, 600, rep.Inserted, "what the org applied before the outage counts as what it was")
				require.Len(t, b.fake.Changes("Product2"), 600, "and is not written twice")
				require.Empty(t, token(t, store))
			})
		}
	}
}

// The day's calls run out in the middle: the run stops cleanly, and goes on
// another day.
func TestTheDayEndsInTheMiddle(t *testing.T) {
	b := newBench(t, func(o *sftest.Options) { o.DailyCalls = 25 })
	store := batchsync.NewMem()
	s := syncOf(source(100, items(1000)...), sinkOf[product](b, "SKU__c", quick()), store)
	var rep *batchsync.Report
	days := 0
	for {
		var err error
		rep, err = s.Run(t.Context())
		require.NoError(t, rep.Check())
		if days++; err == nil {
			break
		}
		require.ErrorIs(t, err, salesforce.ErrLimit)
		require.ErrorContains(t, err, "go on in some hours")
		require.Less(t, days, 20)
		b.fake.SetCallsUsed(0)
	}
	require.Greater(t, days, 2)
	require.Equal(t, batchsync.Counts{In: 1000, Inserted: 1000}, rep.Counts)
	require.Len(t, b.fake.Changes("Product2"), 1000)
}

func TestLockedRowsAreSentAgain(t *testing.T) {
	b := newBench(t)
	b.fault(sftest.Fault{Kind: sftest.FaultLock, On: sftest.OpBulkRow, Times: 7, Skip: 3})
	rep, err := syncOf(source(500, items(300)...), sinkOf[product](b, "SKU__c", quick()), nil).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 300, Inserted: 300}, rep.Counts)
	require.Equal(t, 2, b.calls(sftest.OpJobCreate), "one more job, of the locked rows alone")

	b.fault(sftest.Fault{Kind: sftest.FaultLock, On: sftest.OpBulkRow, Times: -1})
	s := syncOf(source(500, items(3)...), sinkOf[product](b, "SKU__c", quick()), nil)
	rep, err = s.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 3, Failed: 3}, rep.Counts, "the attempts are used up; they are kept")
	for d, err := range s.DeadRows(t.Context()) {
		require.NoError(t, err)
		require.True(t, d.Transient)
		require.Contains(t, d.Why, "UNABLE_TO_LOCK_ROW")
	}
}

func TestAJobThatFails(t *testing.T) {
	b := newBench(t)
	b.fault(sftest.Fault{Kind: sftest.FaultError, On: sftest.OpBulkRun, Code: "InvalidBatch", Message: "Field name not found : Nope"})
	store := batchsync.NewMem()
	s := syncOf(source(500, items(300)...), sinkOf[product](b, "SKU__c", quick()), store)
	_, err := s.Run(t.Context())
	require.ErrorIs(t, err, bulk.ErrFailed)
	require.ErrorContains(t, err, "Field name not found")
	require.Equal(t, outcome.Refused, outcome.Of(err))
	require.Equal(t, 1, b.calls(sftest.OpJobCreate), "the same data would fail again")

	// One that fails half-way, for a cause that passes: the rest is sent again.
	b.fault(sftest.Fault{Kind: sftest.FaultError, On: sftest.OpBulkRun, Skip: 1, Code: "TooManyLockFailure", Message: "too many lock failures"})
	rep, err := s.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 300, Inserted: 300}, rep.Counts)
	require.Len(t, b.fake.Changes("Product2"), 300)
}

// A state is what a script says about a job; the rest is the org's.
type override struct {
	base http.RoundTripper
	on   func(r *http.Request) *http.Response
}

func (o *override) RoundTrip(r *http.Request) (*http.Response, error) {
	if resp := o.on(r); resp != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return resp, nil
	}
	return o.base.RoundTrip(r)
}

// through is the bench's org through a transport of the test.
func (b *bench) through(on func(r *http.Request) *http.Response) *bench {
	b.t.Helper()
	org, err := salesforce.New(b.fake.URL(), salesforce.ClientCredentials(b.fake.ClientID(), b.fake.ClientSecret()), &salesforce.Options{
		Retry: retry.Policy{Base: -1}, Client: &http.Client{Transport: &override{http.DefaultTransport, on}},
	})
	require.NoError(b.t, err)
	return &bench{b.t, b.fake, org}
}

func (b *bench) patch(job, state string) {
	b.t.Helper()
	require.NoError(b.t, b.org.Do(b.t.Context(), salesforce.Call{Method: "PATCH", Path: "jobs/ingest/" + job, Body: map[string]string{"state": state}}, nil))
}

func (b *bench) theJob() string {
	b.t.Helper()
	open := b.open()
	require.Len(b.t, open, 1)
	id, _, _ := strings.Cut(open[0], " ")
	return id
}

// Somebody aborts the job: the run does not go against that by itself.
func TestAJobThatSomebodyAborts(t *testing.T) {
	b := newBench(t, func(o *sftest.Options) { o.BulkHold = true })
	polls := 0
	c := b.through(func(r *http.Request) *http.Response {
		if r.Method == "GET" && strings.Contains(r.URL.Path, "/jobs/ingest/750") {
			switch polls++; polls {
			case 2:
				require.True(t, b.fake.StepBulk())
				require.True(t, b.fake.StepBulk()) // 200 rows
			case 3:
				b.patch(b.theJob(), "Aborted")
			}
		}
		return nil
	})
	store := batchsync.NewMem()
	s := syncOf(source(500, items(300)...), sinkOf[product](c, "SKU__c", quick()), store)
	rep, err := s.Run(t.Context())
	require.ErrorIs(t, err, bulk.ErrAborted)
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	require.EqualValues(t, 300, rep.Unprocessed)
	require.Len(t, b.fake.Rows("Product2"), 200)

	// Who runs again sends the rest, and only that.
	go func() {
		for t.Context().Err() == nil {
			b.fake.RunBulk()
		}
	}()
	rep, err = s.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 300, Inserted: 300}, rep.Counts)
	require.Len(t, b.fake.Changes("Product2"), 300)
}

// Waiting that ends aborts nothing.
func TestWaitingThatEndsLeavesTheJob(t *testing.T) {
	b := newBench(t, func(o *sftest.Options) { o.BulkHold = true })
	store := batchsync.NewMem()
	src := source(500, items(300)...)
	s := syncOf(src, sinkOf[product](b, "SKU__c", quick(func(o *bulk.Options) { o.Wait = 20 * time.Millisecond })), store)
	_, err := s.Run(t.Context())
	require.ErrorIs(t, err, bulk.ErrRunning)
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	job := b.theJob()
	require.Contains(t, token(t, store), job)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = syncOf(src, sinkOf[product](b, "SKU__c", quick()), store).Run(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, job, b.theJob())

	b.fake.RunBulk()
	rep, err := s.Run(t.Context())
	require.NoError(t, err)
	require.True(t, rep.Resumed)
	require.Equal(t, batchsync.Counts{In: 300, Inserted: 300}, rep.Counts)
	require.Equal(t, 1, b.calls(sftest.OpJobCreate))
}

// A list of results that was cut at the end of a row looks whole.
func TestAListThatWasCutIsReadAgain(t *testing.T) {
	b := newBench(t)
	cuts := 0
	c := b.through(func(r *http.Request) *http.Response {
		if strings.HasSuffix(r.URL.Path, "/successfulResults") {
			if cuts++; cuts <= 2 {
				return page(200, "text/csv", "\"sf__Id\",\"sf__Created\",\"SKU__c\",\"Name\",\"Price__c\",\"Stock__c\"\n\"01t\",\"true\",\"S-0000\",\"x\",\"1\",\"1\"\n")
			}
		}
		return nil
	})
	rep, err := syncOf(source(500, items(300)...), sinkOf[product](c, "SKU__c", quick()), nil).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 300, Inserted: 300}, rep.Counts)
	require.Len(t, b.fake.Changes("Product2"), 300)
	require.Equal(t, 3, cuts)
}

func page(status int, kind, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body))}
}

// An org of another version, a proxy, a bug: whatever comes is an error that
// says so, and never a report that nobody made.
func TestAnswersThatNoOrgGives(t *testing.T) {
	for name, on := range map[string]func(r *http.Request) *http.Response{
		"a job without an id": func(r *http.Request) *http.Response {
			if r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/jobs/ingest") {
				return page(200, "application/json", `{"state":"Open"}`)
			}
			return nil
		},
		"a state nobody knows": func(r *http.Request) *http.Response {
			if r.Method == "GET" && strings.Contains(r.URL.Path, "/jobs/ingest/750") {
				return page(200, "application/json", `{"state":"Dreaming"}`)
			}
			return nil
		},
		"a list without the key": func(r *http.Request) *http.Response {
			if strings.HasSuffix(r.URL.Path, "/successfulResults") {
				return page(200, "text/csv", "sf__Id,sf__Created\n")
			}
			return nil
		},
		"a list that is a page": func(r *http.Request) *http.Response {
			if strings.HasSuffix(r.URL.Path, "/successfulResults") {
				return page(200, "text/html", "<html>\n<p>\"</p>")
			}
			return nil
		},
		"an empty list": func(r *http.Request) *http.Response {
			if strings.HasSuffix(r.URL.Path, "/successfulResults") {
				return page(200, "text/csv", "")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := b.through(on)
			rep, err := syncOf(source(500, items(3)...), sinkOf[product](c, "SKU__c", quick()), nil).Run(t.Context())
			require.Error(t, err)
			require.EqualValues(t, 3, rep.Unprocessed)
		})
	}
}

// A told is a logger's handler, and an observer, that keep what they are told.
type told struct {
	mu    sync.Mutex // guards the fields below
	lines []string
	ops   map[string]int
}

func (h *told) Enabled(context.Context, slog.Level) bool { return true }
func (h *told) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *told) WithGroup(string) slog.Handler            { return h }

func (h *told) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	h.lines = append(h.lines, line)
	return nil
}

func (h *told) Start(ctx context.Context, op string, _ ...slog.Attr) context.Context {
	return context.WithValue(ctx, h, op)
}

func (h *told) End(ctx context.Context, op string, err error, attrs ...slog.Attr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Value(h) != op || err != nil || len(attrs) == 0 {
		op = "wrong: " + op
	}
	h.ops[op]++
}

// A job whose id nobody learned is named.
func TestAJobLeftBehindIsNamed(t *testing.T) {
	b := newBench(t)
	h := &told{ops: map[string]int{}}
	watch := func(o *bulk.Options) { o.Logger, o.Observer = slog.New(h), h }
	b.fault(sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpJobCreate})
	rep, err := syncOf(source(5, items(3)...), sinkOf[product](b, "SKU__c", quick(watch)), nil).Run(t.Context())
	require.NoError(t, err)
	require.True(t, rep.Complete())
	require.Len(t, h.lines, 1)
	require.Contains(t, h.lines[0], "may have been left behind")
	require.Contains(t, h.lines[0], b.theJob())
	require.Equal(t, map[string]int{"bulk.job": 1}, h.ops)

	b = newBench(t)
	b.fault(sftest.Fault{Kind: sftest.FaultError, On: sftest.OpJobUpload, Status: 400, Code: "ODD"},
		sftest.Fault{Kind: sftest.FaultLimit, On: sftest.OpJobState, Times: -1})
	_, err = syncOf(source(5, items(3)...), sinkOf[product](b, "SKU__c", quick(watch)), nil).Run(t.Context())
	require.ErrorContains(t, err, "ODD")
	require.Len(t, h.lines, 2)
	require.Contains(t, h.lines[1], "could not be aborted job="+b.theJob())
}

// A bomb panics whenever it is told anything.
type bomb struct{}

func (bomb) Start(context.Context, string, ...slog.Attr) context.Context { panic("boom at start") }
func (bomb) End(context.Context, string, error, ...slog.Attr)            { panic("boom at end") }

func TestAPanicOfAnObserverChangesNothing(t *testing.T) {
	b := newBench(t)
	h := &told{ops: map[string]int{}}
	org, err := salesforce.New(b.fake.URL(), salesforce.ClientCredentials(b.fake.ClientID(), b.fake.ClientSecret()),
		&salesforce.Options{Observer: bomb{}, Logger: slog.New(h)})
	require.NoError(t, err)
	b.org = org
	sink := sinkOf[product](b, "SKU__c", quick(func(o *bulk.Options) { o.Observer, o.Logger = bomb{}, slog.New(h) }))
	rep, err := syncOf(source(5, items(3)...), sink, nil).Run(t.Context())
	require.NoError(t, err)
	require.True(t, rep.Complete())
	all := strings.Join(h.lines, "\n")
	for _, op := range []string{"salesforce.login", "salesforce.call", "bulk.job"} {
		for _, method := range []string{"Start", "End"} {
			require.Contains(t, all, "observer_panicked method="+method+" op="+op)
		}
	}
}

func TestSentinelsSurviveWrapping(t *testing.T) {
	for _, want := range []error{bulk.ErrAborted, bulk.ErrFailed, bulk.ErrRunning, bulk.ErrOtherOrg} {
		err := fmt.Errorf("wrapped: %w", errors.Join(errors.New("other"), &bulk.Error{Op: "poll", Job: "750", Known: outcome.Refused, Err: want}))
		require.ErrorIs(t, err, want)
		e, ok := errors.AsType[*bulk.Error](err)
		require.True(t, ok)
		require.Equal(t, "bulk: poll: job 750: "+want.Error(), e.Error())
		require.Equal(t, outcome.Refused, e.Outcome())
	}
}
