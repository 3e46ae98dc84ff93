package sftest

import (
	"net/http"
	"slices"
	"time"
)

// An Event is a platform event that was published.
type Event struct {
	// ReplayID is the event's place among all events of the org.
	ReplayID int64 `json:"replayId"`
	// UUID is the EventUuid that the publisher was told.
	UUID string `json:"uuid"`
	// Time is when it was accepted.
	Time time.Time `json:"time"`
	// Call is the Seq of the call that published it; 0 for a bulk job, see Job.
	Call int `json:"call,omitempty"`
	// Job is the id of the bulk job that published it, if one did.
	Job string `json:"job,omitempty"`
	// Fields are its values.
	Fields Row `json:"fields"`
}

// publish answers POST …/sobjects/X__e. Its success holds an element of errors,
// whose message is the id of the event: that is the platform's way.
func (o *Org) publish(r *request) answer {
	e, p := o.edit(r, r.object)
	if p != nil {
		return refuse(p)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writer = writer{call: r.seq}
	ev, id, p := o.accept(r.object, e)
	if p != nil {
		return refuse(p)
	}
	a := jsonAnswer(http.StatusCreated, members{
		{"id", id},
		{"success", true},
		{"errors", []members{{{"statusCode", "OPERATION_ENQUEUED"}, {"message", ev.UUID}, {"fields", []string{}}}}},
	})
	a.applied = true
	return a
}

// accept keeps an event, and makes the id that its publisher is told; the lock
// is held.
func (o *Org) accept(obj *object, e edit) (ev *Event, id string, p *problem) {
	values := make([]any, len(obj.fields))
	if p := o.data.apply(obj, nil, values, e); p != nil {
		return nil, "", p
	}
	o.replay++
	ev = &Event{ReplayID: o.replay, UUID: uuid(o.rand), Time: time.Now(), Call: o.writer.call, Job: o.writer.job, Fields: obj.plain(values)}
	o.events[obj] = append(o.events[obj], *ev)
	return ev, o.data.ids.make(obj.Prefix), nil
}

// Events lists what was published of a platform event, in the order it was
// accepted. It is nil for an event that the org does not have.
func (o *Org) Events(object string) []Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.events[o.schema.object(object)])
}
