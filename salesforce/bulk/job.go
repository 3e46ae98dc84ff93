package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
)

// The states of an ingest job ("Job States" in the Bulk API 2.0 guide).
const (
	jobOpen       = "Open"
	jobUploaded   = "UploadComplete"
	jobInProgress = "InProgress"
	jobComplete   = "JobComplete"
	jobFailed     = "Failed"
	jobAborted    = "Aborted"
)

// An info is what the org says of a job.
type info struct {
	ID         string `json:"id"`
	Object     string `json:"object"`
	Operation  string `json:"operation"`
	ExternalID string `json:"externalIdFieldName"`
	State      string `json:"state"`
	Processed  int64  `json:"numberRecordsProcessed"` // failed ones included
	Failed     int64  `json:"numberRecordsFailed"`
	Message    string `json:"errorMessage"`
}

func (i info) aborted() bool { return i.State == jobAborted }

func (i info) ended() bool {
	return i.State == jobComplete || i.State == jobFailed || i.State == jobAborted
}

// failure is why a job failed as a whole.
func (i info) failure() error {
	return fmt.Errorf("%w: %s", ErrFailed, said(i.Message, 500))
}

// hopeless says whether the same data would fail again.
func (i info) hopeless() bool {
	code, _, _ := strings.Cut(strings.ReplaceAll(i.Message, " ", ""), ":")
	switch code {
	case "TooManyLockFailure", "Timeout", "Unknown", "ExceededQuota", "InternalServerError":
		return false
	}
	return i.Processed == 0
}

const ingest = "jobs/ingest"

func jobPath(id, rest string) string { return ingest + "/" + url.PathEscape(id) + rest }

// submit creates a job, remembers it, gives it its data and closes it.
func (w *write) submit(ctx context.Context, operation string, body []byte) (info, error) {
	start := map[string]string{
		"object": w.object, "operation": operation, "contentType": "CSV",
		"lineEnding": "LF", "columnDelimiter": "COMMA",
	}
	if operation == "upsert" {
		start["externalIdFieldName"] = w.key
	}
	var job info
	err := w.org.Do(ctx, salesforce.Call{Op: "create job", Method: http.MethodPost, Path: ingest, Body: start}, &job)
	if err == nil && (job.ID == "" || job.State != jobOpen) {
		err = outcome.TransientError(outcome.Refused, false, errors.New("the org did not open the job: its answer has no id, or another state than Open"))
	}
	if err != nil {
		if o := outcome.Of(err); o == outcome.Unknown || o == outcome.Applied {
			w.left(ctx, operation)
		}
		// Whatever became of the job: it has no data, so no row is touched.
		return job, &Error{Op: "create job", Known: outcome.NotSent, Err: repeatable(err)}
	}
	if err := w.remember(ctx, job.ID); err != nil {
		w.abort(ctx, job.ID)
		return job, err
	}
	err = w.org.Do(ctx, salesforce.Call{
		Op: "upload", Method: http.MethodPut, Path: jobPath(job.ID, "/batches"), Body: body,
		ContentType: "text/csv", Timeout: 15 * time.Minute,
	}, nil)
	if err != nil {
		// Not closed, so nothing of it takes effect. Whether the data came is
		// not known, and a job takes data once: it ends here.
		w.abort(ctx, job.ID)
		return job, &Error{Op: "upload", Job: job.ID, Known: outcome.Refused, Err: repeatable(err)}
	}
	return job, w.close(ctx, job.ID)
}

// repeatable lets the sync repeat a step whose outcome is not known but which
// has touched no row.
func repeatable(err error) error {
	if t, said := outcome.Transient(err); said && !t {
		return err
	}
	return outcome.TransientError(outcome.Of(err), true, err)
}

// close starts the job. A lost answer is settled by asking for the state.
func (w *write) close(ctx context.Context, id string) error {
	tries := retry.Policy{}.Begin(true)
	for {
		err := w.patch(ctx, id, jobUploaded)
		if err == nil {
			return nil
		}
		job, ierr := w.info(ctx, id)
		switch {
		case ierr == nil && job.State != jobOpen:
			return nil
		case ierr != nil:
			return &Error{Op: "close job", Job: id, Known: outcome.Of(err), Err: repeatable(err)}
		}
		if err = tries.Next(ctx, err); err != nil {
			return &Error{Op: "close job", Job: id, Known: outcome.Of(err), Err: err}
		}
	}
}

func (w *write) patch(ctx context.Context, id, state string) error {
	return w.org.Do(ctx, salesforce.Call{
		Op: "job to " + state, Method: http.MethodPatch, Path: jobPath(id, ""), Body: map[string]string{"state": state},
	}, nil)
}

// abort ends a job that was not closed. It outlives ctx, and what it cannot do
// the next write does, since the job is remembered.
func (w *write) abort(ctx context.Context, id string) {
	actx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := w.end(actx, id); err != nil {
		w.o.Logger.WarnContext(ctx, "a job that was not started could not be aborted",
			slog.String("job", id), slog.Any("error", err))
	}
}

// end brings an open job to its end. A lost answer is settled by the state.
func (w *write) end(ctx context.Context, id string) error {
	err := w.patch(ctx, id, jobAborted)
	if err == nil || errors.Is(err, salesforce.ErrNotFound) {
		return nil
	}
	job, ierr := w.info(ctx, id)
	if ierr == nil && job.State != jobOpen || errors.Is(ierr, salesforce.ErrNotFound) {
		return nil
	}
	return &Error{Op: "abort", Job: id, Known: outcome.NotSent, Err: repeatable(err)}
}

// settle brings a job of the token to its end: one that was never started is
// aborted, one at work is waited for. A job that is gone is ErrNotFound.
func (w *write) settle(ctx context.Context, id string) (info, error) {
	job, err := w.info(ctx, id)
	if err == nil && job.State == jobOpen {
		if err := w.end(ctx, id); err != nil {
			return job, err
		}
		job, err = w.info(ctx, id) // whoever began it may have started it just now
	}
	if err != nil || job.ended() {
		return job, err
	}
	return w.wait(ctx, id)
}

// left looks for a job that was created although its answer was lost, to name
// it. It has no data; it is not aborted, since another program may have made it.
func (w *write) left(ctx context.Context, operation string) {
	lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var page struct {
		Records []info `json:"records"`
	}
	err := w.org.Do(lctx, salesforce.Call{Op: "list jobs", Path: ingest + "?jobType=V2Ingest"}, &page)
	var open []string
	for _, j := range page.Records {
		if j.State == jobOpen && strings.EqualFold(j.Object, w.object) && j.Operation == operation {
			open = append(open, j.ID)
		}
	}
	if err != nil || len(open) > 0 {
		w.o.Logger.WarnContext(ctx, "a job without data may have been left behind: it changes nothing, and the org drops it after a day",
			slog.String("object", w.object), slog.Any("open", open), slog.Any("error", err))
	}
}

func (w *write) info(ctx context.Context, id string) (info, error) {
	var job info
	if err := w.org.Do(ctx, salesforce.Call{Op: "poll", Path: jobPath(id, "")}, &job); err != nil {
		return job, &Error{Op: "poll", Job: id, Known: outcome.Unknown, Err: err}
	}
	switch job.State {
	case jobOpen, jobUploaded, jobInProgress, jobComplete, jobFailed, jobAborted:
		job.ID = id
		return job, nil
	}
	return job, &Error{Op: "poll", Job: id, Known: outcome.Unknown, lasts: true,
		Err: fmt.Errorf("the org names the state %q, which this client does not know", clip(job.State, 40))}
}

// wait polls until the job is at its end. That it stops waiting changes
// nothing for the job.
func (w *write) wait(ctx context.Context, id string) (job info, err error) {
	octx := w.o.Observer.Start(ctx, "bulk.job", slog.String("job", id), slog.String("object", w.object))
	defer func() {
		w.o.Observer.End(octx, "bulk.job", err, slog.String("job", id), slog.String("state", job.State),
			slog.Int64("processed", job.Processed), slog.Int64("failed", job.Failed))
	}()
	var end <-chan time.Time
	if w.o.Wait > 0 {
		t := time.NewTimer(w.o.Wait)
		defer t.Stop()
		end = t.C
	}
	pause := w.o.PollFirst
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-end:
			return job, &Error{Op: "poll", Job: id, Known: outcome.Unknown, Err: retry.Permanent(ErrRunning)}
		case <-ctx.Done():
			return job, &Error{Op: "poll", Job: id, Known: outcome.Unknown, Err: context.Cause(ctx), lasts: true}
		}
		if job, err = w.info(octx, id); err != nil || job.ended() {
			return job, err
		}
		if job.State == jobOpen {
			return job, &Error{Op: "poll", Job: id, Known: outcome.Refused,
				Err: outcome.TransientError(outcome.Refused, true, errors.New("the job is open again, although it was started"))}
		}
		pause = min(pause+pause/2, w.o.PollMax)
		timer.Reset(pause)
	}
}
