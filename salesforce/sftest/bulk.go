package sftest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxInline is the most characters of data that a job may be created with.
	maxInline = 100_000
	// jobPage is how many jobs a list holds.
	jobPage = 1_000
	// jobLife is how long a job and its results are kept.
	jobLife = 7 * 24 * time.Hour
)

// The states of a job.
const (
	jobOpen     = "Open"
	jobUploaded = "UploadComplete"
	jobRunning  = "InProgress"
	jobComplete = "JobComplete"
	jobFailed   = "Failed"
	jobAborted  = "Aborted"
)

// A job is one of the Bulk API 2.0 that writes.
type job struct {
	id string
	task
	table     csvForm
	delimiter string // as the client named it
	ending    string
	version   int
	created   time.Time
	stamp     time.Time
	state     string
	message   string
	data      []byte // until it is read
	uploaded  bool
	polls     int // times it was asked for since its upload
	batch     *batch
}

// over says whether a state is an end.
func over(state string) bool {
	return state == jobComplete || state == jobFailed || state == jobAborted
}

// routeJobs finds the resource below …/jobs.
func (o *Org) routeJobs(r *request) *problem {
	path := r.path[1:]
	if len(path) == 0 || !strings.EqualFold(path[0], "ingest") {
		return notFound()
	}
	if len(path) == 1 {
		return r.among(methods{{http.MethodGet, OpJobList, o.listJobs}, {http.MethodPost, OpJobCreate, o.createJob}})
	}
	short, _ := shortID(path[1])
	o.mu.Lock()
	o.forgetJobs()
	r.job = o.jobs[short]
	if r.job != nil {
		r.object = r.job.object
	}
	o.mu.Unlock()
	if r.job == nil {
		return notFound()
	}
	if len(path) == 2 {
		return r.among(methods{{http.MethodGet, OpJobInfo, o.jobInfo}, {http.MethodPatch, OpJobState, o.moveJob}, {http.MethodDelete, OpJobDelete, o.deleteJob}})
	}
	if len(path) > 3 {
		return notFound()
	}
	switch strings.ToLower(path[2]) {
	case "batches":
		return r.only(OpJobUpload, http.MethodPut, o.upload)
	case "successfulresults":
		r.key = "successful"
		return r.only(OpJobResults, http.MethodGet, o.results)
	case "failedresults":
		r.key = "failed"
		return r.only(OpJobResults, http.MethodGet, o.results)
	case "unprocessedrecords":
		r.key = "unprocessed"
		return r.only(OpJobResults, http.MethodGet, o.results)
	}
	return notFound()
}

// forgetJobs drops the jobs that are too old; the lock is held.
func (o *Org) forgetJobs() {
	for len(o.jobOrder) > 0 && time.Since(o.jobOrder[0].created) > jobLife {
		if !over(o.jobOrder[0].state) {
			o.jobOrder[0].end(jobAborted, "")
		}
		delete(o.jobs, o.jobOrder[0].id[:15])
		o.jobOrder = o.jobOrder[1:]
	}
}

// createJob answers POST …/jobs/ingest, in either of its two forms.
func (o *Org) createJob(r *request) answer {
	spec, data, inline, p := jobParts(r)
	if p != nil {
		return refuse(p)
	}
	j, p := o.newJob(r, spec)
	if p != nil {
		return refuse(p)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	j.id = o.data.ids.make("750")
	o.jobs[j.id[:15]] = j
	o.jobOrder = append(o.jobOrder, j)
	if inline {
		j.data, j.uploaded = data, true
		o.finishUpload(j)
	}
	a := jsonAnswer(http.StatusOK, j.show(o, false))
	a.applied = true
	return a
}

// jobParts takes the body of a new job apart: JSON alone, or JSON and its data.
func jobParts(r *request) (spec map[string]any, data []byte, inline bool, p *problem) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		spec, p = decodeObject(r.body)
		return spec, nil, false, p
	}
	parts := multipart.NewReader(bytes.NewReader(r.body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, false, wrong("INVALIDJOB", "The multipart body cannot be read")
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, nil, false, wrong("INVALIDJOB", "The multipart body cannot be read")
		}
		switch part.FormName() {
		case "job":
			if spec, p = decodeObject(text); p != nil {
				return nil, nil, false, p
			}
		case "content":
			data, inline = text, true
		}
	}
	switch {
	case spec == nil || !inline:
		return nil, nil, false, wrong("INVALIDJOB", "A multipart job has a part job and a part content")
	case len(data) > maxInline:
		return nil, nil, false, wrong("INVALIDJOB", "The data of a multipart job cannot be longer than %d characters", maxInline)
	}
	return spec, data, true, nil
}

// newJob checks what a job is to be.
func (o *Org) newJob(r *request, spec map[string]any) (*job, *problem) {
	bad := func(format string, args ...any) (*job, *problem) { return nil, wrong("INVALIDJOB", format, args...) }
	get := func(name, otherwise string) string {
		s, _ := spec[name].(string)
		if s == "" {
			return otherwise
		}
		return s
	}
	at := now()
	j := &job{
		task: task{object: o.schema.object(get("object", "")), operation: get("operation", "")}, version: r.version,
		delimiter: get("columnDelimiter", "COMMA"), ending: get("lineEnding", "LF"),
		created: at, stamp: at, state: jobOpen,
	}
	var known bool
	if j.table.delimiter, known = delimiters[j.delimiter]; !known {
		return bad("columnDelimiter %s: BACKQUOTE, CARET, COMMA, PIPE, SEMICOLON or TAB", j.delimiter)
	}
	switch {
	case j.ending != "LF" && j.ending != "CRLF":
		return bad("lineEnding %s: LF or CRLF", j.ending)
	case get("contentType", "CSV") != "CSV":
		return bad("contentType %s: CSV", get("contentType", ""))
	case j.object == nil:
		return bad("Unable to find object: %s", get("object", ""))
	case j.object.event && j.operation != "insert":
		return bad("The operation %s is not supported on %s", j.operation, j.object.Name)
	case j.operation == "hardDelete":
		return nil, wrong("FEATURENOTENABLED", "hardDelete operation requires special user profile permission, please contact your system administrator")
	case !slices.Contains([]string{"insert", "update", "upsert", "delete"}, j.operation):
		return bad("operation %s: insert, update, upsert or delete", j.operation)
	}
	j.table.crlf = j.ending == "CRLF"
	if j.operation != "upsert" {
		return j, nil
	}
	key := get("externalIdFieldName", "")
	if key == "" {
		return bad("External ID was blank for %s. An External ID must be specified for upsert.", j.object.Name)
	}
	if j.key = j.object.field(key); j.key == nil || !j.key.ExternalID && j.key.at != atID {
		return bad("Field name provided, %s does not match an External ID for %s", key, j.object.Name)
	}
	return j, nil
}

// upload answers PUT …/batches: the data of a job, all of it, once.
func (o *Org) upload(r *request) answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch j := r.job; {
	case j.state != jobOpen:
		return refuse(wrong("INVALIDJOBSTATE", "Uploading to already %s Job not allowed", j.state))
	case j.uploaded:
		return refuse(wrong("INVALIDJOBSTATE", "Found multiple contents for job: <%s>, please 'Close' / 'Abort' / 'Delete' the current Job then create a new Job and make sure you only do 'PUT' once on a given Job.", j.id))
	}
	r.job.data, r.job.uploaded = r.body, true
	return answer{status: http.StatusCreated, applied: true}
}

// moveJob answers PATCH of a job: its upload is complete, or it is aborted.
func (o *Org) moveJob(r *request) answer {
	spec, p := decodeObject(r.body)
	if p != nil {
		return refuse(p)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	j := r.job
	state := j.visible(o)
	switch spec["state"] {
	case jobUploaded:
		if state != jobOpen {
			return refuse(wrong("INVALIDJOBSTATE", "Closing already %s Job not allowed", spoken(state)))
		}
		o.finishUpload(j)
	case jobAborted:
		if over(state) {
			return refuse(wrong("INVALIDJOBSTATE", "Aborting already %s Job not allowed", spoken(state)))
		}
		j.end(jobAborted, "")
	default:
		return refuse(wrong("INVALIDJOB", "A job can be moved to the state UploadComplete or Aborted, not to %v", spec["state"]))
	}
	a := jsonAnswer(http.StatusOK, j.show(o, false))
	a.applied = true
	return a
}

// spoken is a state in the platform's sentences.
func spoken(state string) string {
	if state == jobComplete {
		return "Completed"
	}
	return state
}

// deleteJob answers DELETE of a job.
func (o *Org) deleteJob(r *request) answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	if state := r.job.visible(o); state == jobOpen || state == jobRunning {
		return refuse(wrong("API_ERROR", "Error encountered when deleting the job because the job is not terminated"))
	}
	if !over(r.job.state) {
		r.job.end(jobAborted, "")
	}
	delete(o.jobs, r.job.id[:15])
	o.jobOrder = slices.DeleteFunc(o.jobOrder, func(j *job) bool { return j == r.job })
	return answer{status: http.StatusNoContent, applied: true}
}

// jobInfo answers GET of a job.
func (o *Org) jobInfo(r *request) answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.job.state != jobOpen {
		r.job.polls++
	}
	return jsonAnswer(http.StatusOK, r.job.show(o, true))
}

// listJobs answers GET …/jobs/ingest.
func (o *Org) listJobs(r *request) answer {
	q := r.URL.Query()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forgetJobs()
	from, err := strconv.Atoi(q.Get("queryLocator"))
	if q.Has("queryLocator") && (err != nil || from < 0) {
		return refuse(wrong("INVALID_QUERY_LOCATOR", "invalid query locator"))
	}
	jobs := o.jobOrder
	if kind := q.Get("jobType"); kind != "" && !strings.EqualFold(kind, "V2Ingest") {
		jobs = nil // there are none of another kind
	}
	to := min(from+jobPage, len(jobs))
	list := []members{}
	for _, j := range jobs[min(from, len(jobs)):to] {
		list = append(list, j.show(o, false))
	}
	m := members{{"done", to == len(jobs)}, {"records", list}, {"nextRecordsUrl", nil}}
	if to < len(jobs) {
		m[2].value = fmt.Sprintf("%s/jobs/ingest?queryLocator=%d", r.base(), to)
	}
	return jsonAnswer(http.StatusOK, m)
}

// visible is the state that clients see: a job that is done lets them ask
// Options.BulkPolls times first.
func (j *job) visible(o *Org) string {
	if (j.state == jobComplete || j.state == jobFailed) && o.opts.BulkPolls > 0 && j.polls <= o.opts.BulkPolls {
		return jobRunning
	}
	return j.state
}

// show is a job as JSON: with its progress, if it was asked for by its id.
func (j *job) show(o *Org, progress bool) members {
	state := j.visible(o)
	m := members{
		{"id", j.id}, {"operation", j.operation}, {"object", j.object.Name}, {"createdById", o.user},
		{"createdDate", j.created.Format(timeForm)}, {"systemModstamp", j.stamp.Format(timeForm)},
		{"state", state}, {"concurrencyMode", "Parallel"}, {"contentType", "CSV"},
		{"apiVersion", json.RawMessage(strconv.Itoa(j.version) + ".0")},
	}
	if j.key != nil {
		m = append(m, member{"externalIdFieldName", j.key.Name})
	}
	if state == jobOpen {
		m = append(m, member{"contentUrl", fmt.Sprintf("services/data/v%d.0/jobs/ingest/%s/batches", j.version, j.id)})
	}
	m = append(m, member{"lineEnding", j.ending}, member{"columnDelimiter", j.delimiter})
	if !progress {
		return m
	}
	done, failed := j.batch.counts()
	took := j.stamp.Sub(j.created).Milliseconds()
	m = append(m,
		member{"jobType", "V2Ingest"}, member{"numberRecordsProcessed", done}, member{"numberRecordsFailed", failed},
		member{"retries", 0}, member{"totalProcessingTime", took}, member{"apiActiveProcessingTime", took}, member{"apexProcessingTime", 0})
	if j.message != "" && over(state) {
		m = append(m, member{"errorMessage", j.message})
	}
	return m
}

// results answers GET of what became of a job's rows.
func (o *Org) results(r *request) answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	if state := r.job.visible(o); !over(state) {
		return refuse(wrong("INVALIDJOBSTATE", "Results are not available for a Job that is %s", state))
	}
	return answer{status: http.StatusOK, kind: "text/csv", body: r.job.results(r.key)}
}
