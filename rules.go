package crosstie

import (
	"strings"
	"time"
)

// A rule is one row of the table that Choose adds up: where it holds, it
// moves some patterns up and others down, each with its sentence.
type rule struct {
	field   string // of Requirement: the driver
	when    func(Requirement) bool
	effects []effect
}

// An effect moves one pattern. In text, {within}, {runs}, {day}, {burst} and
// {listeners} stand for the requirement's values.
type effect struct {
	pattern Pattern
	points  int
	text    string
}

// Sizes at which the answer changes, and where they come from.
const (
	quick        = 5 * time.Second // a synchronous Salesforce request longer than this counts as long-running; few may run at once
	soon         = 5 * time.Minute // later than this, a scheduled run can keep up
	calloutLimit = 2 * time.Minute // a Salesforce callout is cut at 120 s
	collection   = 200             // rows one synchronous Salesforce write call may carry
	bulkFrom     = 2_000           // rows from which Salesforce recommends its Bulk API
	bulkBatch    = 10_000          // rows in one batch of the Bulk API 2.0
	crowd        = 4               // listeners from which adding one more must not touch the sender
	heavyDay     = 1_000_000       // items a day
	day          = 24 * time.Hour  // what "a day" means in every formula
	slow         = time.Hour       // longer than this is a batch window
)

// rules is the whole judgement, driver by driver. Within a driver exactly one
// row, or none, holds. Some drivers favour one pattern, and the rows keep that
// in order so that a stronger wish never costs the favoured one a place: more
// listeners PubSub, longer work RemoteInvoke, larger bursts and more time
// BatchSync (while its calls are allowed), best effort and a person UIUpdate.
// Along such a driver no other pattern may gain on the favoured one.
var rules = []rule{
	{"Starts", func(r Requirement) bool { return r.Starts == AskingSide }, []effect{
		{RequestReply, 3, "the side that needs it asks, and the answer comes back in the same call"},
		{RemoteInvoke, 2, "the side that needs it asks, and can be told later"},
		{FireForget, -2, "a hand-over brings no answer back to the side that asks"},
		{PubSub, -2, "nobody listens for a question, and an event is no answer"},
		{UIUpdate, -1, "a view shows what changed, it does not answer questions"},
	}},
	{"Starts", func(r Requirement) bool { return r.Starts == ChangedSide }, []effect{
		{RequestReply, -3, "to learn of a change by asking, one has to ask again and again"},
		{RemoteInvoke, -2, "a job is started by whoever wants its result, and here nobody asks"},
		{FireForget, 2, "the side where it happened hands it over and goes on"},
		{PubSub, 2, "the side where it happened publishes it and goes on"},
		{UIUpdate, 2, "the side where it happened pushes the change to the view"},
	}},

	{"PersonWaits", func(r Requirement) bool { return r.PersonWaits }, []effect{
		{RequestReply, 3, "a person waits: one call with a deadline ends with an answer or says what is known"},
		{UIUpdate, 3, "a person looks on: the screen follows without being reloaded"},
		{RemoteInvoke, 1, "a person waits: a job shows progress and can be cancelled"},
		{FireForget, -2, "a person waits, and a hand-over tells nothing after it was accepted"},
		{PubSub, -1, "a person waits, and an event reaches systems, not people"},
		{BatchSync, -4, "a person waits, and a run comes when its time comes"},
	}},
	{"PersonWaits", func(r Requirement) bool { return !r.PersonWaits }, []effect{
		{UIUpdate, -4, "nobody looks at a screen"},
	}},

	{"Within", func(r Requirement) bool { return r.Within <= quick }, []effect{
		{RequestReply, 2, "it is needed within {within}: one call is the shortest way there and back"},
		{UIUpdate, 1, "it is needed within {within}: a pushed change arrives in time"},
		{RemoteInvoke, -1, "it is needed within {within}: a job's start, callback and result are three trips"},
		{BatchSync, -4, "it is needed within {within}: no schedule runs that often"},
	}},
	{"Within", func(r Requirement) bool { return r.Within > quick && r.Within <= soon }, []effect{
		{FireForget, 1, "{within} leaves time to deliver, and to deliver again after a fault"},
		{PubSub, 1, "{within} leaves time to deliver, and to deliver again after a fault"},
		{RemoteInvoke, 1, "{within} leaves time for a callback"},
		{BatchSync, -2, "it is needed within {within}: runs that often are polling"},
	}},
	{"Within", func(r Requirement) bool { return r.Within > soon && r.Within <= slow }, []effect{
		{FireForget, 1, "{within} leaves time to outlast a receiver that is down for a while"},
		{PubSub, 1, "{within} leaves time to outlast a listener that is down for a while"},
		{RemoteInvoke, 1, "{within} leaves time for a callback"},
	}},
	{"Within", func(r Requirement) bool { return r.Within > slow }, []effect{
		{BatchSync, 3, "{within} is time enough for a run in a quiet hour"},
		{RequestReply, -1, "{within} is longer than any call stays open"},
	}},

	{"Runs", func(r Requirement) bool { return r.Runs <= quick }, []effect{
		{RequestReply, 1, "the work takes {runs}: the call can stay open for it"},
		{RemoteInvoke, -3, "the work takes {runs}: it is done before a job id is worth having"},
	}},
	{"Runs", func(r Requirement) bool { return r.Runs > quick && r.Runs <= calloutLimit }, []effect{
		{RequestReply, -2, "the work takes {runs}: a call open for over 5 s ties up both sides, and Salesforce runs few of them at once"},
		{RemoteInvoke, 3, "the work takes {runs}: accept it now and report when it is done"},
	}},
	{"Runs", func(r Requirement) bool { return r.Runs > calloutLimit }, []effect{
		{RequestReply, -6, "the work takes {runs}: no call may stay open that long, Salesforce cuts it at 120 s"},
		{RemoteInvoke, 6, "the work takes {runs}: only a job outlives the connection that started it"},
		{FireForget, -1, "the work takes {runs}: a hand-over says that it was accepted, never how it ended"},
		{PubSub, -1, "the work takes {runs}: an event says that it may start, never how it ended"},
	}},

	{"PerBurst", func(r Requirement) bool { return r.PerBurst < collection }, []effect{
		{BatchSync, -1, "{burst} at once is too few to be worth a run"},
	}},
	{"PerBurst", func(r Requirement) bool { return r.PerBurst >= collection && r.PerBurst < bulkFrom }, []effect{
		{BatchSync, 1, "{burst} at once fill a page, and one bad row must not hold up the rest"},
		{RequestReply, -2, "{burst} at once, asked one by one, are as many round trips"},
	}},
	{"PerBurst", func(r Requirement) bool { return r.PerBurst >= bulkFrom && r.PerBurst < bulkBatch }, []effect{
		{BatchSync, 5, "{burst} rows at once: from 2,000 on bulk is cheaper than calls"},
		{RequestReply, -4, "{burst} at once, asked one by one, are as many round trips"},
		{FireForget, -2, "{burst} at once, delivered one by one, take the receiver a while"},
		{RemoteInvoke, -1, "{burst} jobs at once queue up behind each other"},
		{UIUpdate, -2, "{burst} changes at once are more than a person can follow"},
		{PubSub, -1, "{burst} events at once, handled one by one, take the listeners a while"},
	}},
	{"PerBurst", func(r Requirement) bool { return r.PerBurst >= bulkBatch }, []effect{
		{BatchSync, 7, "{burst} rows at once: whole batches, resumable, with a report for each row"},
		{RequestReply, -5, "{burst} at once, asked one by one, are as many round trips"},
		{FireForget, -3, "{burst} at once, delivered one by one, keep the receiver busy"},
		{RemoteInvoke, -2, "{burst} jobs at once queue up behind each other"},
		{UIUpdate, -3, "{burst} changes at once are more than a person can follow"},
		{PubSub, -2, "{burst} events at once, handled one by one, keep the listeners busy"},
	}},

	{"PerDay", func(r Requirement) bool { return r.PerDay >= heavyDay }, []effect{
		{BatchSync, 2, "{day} a day move cheapest in batches"},
		{PubSub, 1, "{day} a day flow over a stream that stays open"},
		{RequestReply, -2, "{day} calls a day pay for a round trip each"},
	}},

	{"BestEffort", func(r Requirement) bool { return !r.BestEffort }, []effect{
		{FireForget, 2, "none may be lost: it is durable when Send returns, and delivered until it lands or is parked"},
		{PubSub, 1, "none may be lost: events are durable and can be replayed"},
		{BatchSync, 1, "none may be lost: checkpoints resume, and the report adds up"},
		{RemoteInvoke, 1, "none may be lost: a job is durable when it is accepted"},
		{UIUpdate, -1, "none may be lost, and a view keeps the latest value, not each change"},
	}},
	{"BestEffort", func(r Requirement) bool { return r.BestEffort }, []effect{
		{RequestReply, 1, "a lost one does no harm: whoever asked asks again"},
		{UIUpdate, 1, "a lost change does no harm: the next one shows the latest value"},
		{FireForget, -1, "a lost one does no harm, so a durable outbox is more than is needed"},
	}},

	{"Listeners", func(r Requirement) bool { return r.Listeners == 1 }, []effect{
		{FireForget, 1, "one receiver: deliver to it"},
		{PubSub, -3, "one receiver needs no log to be shared"},
	}},
	{"Listeners", func(r Requirement) bool { return r.Listeners >= crowd }, []effect{
		{PubSub, 3, "{listeners} listeners: each keeps its own place, and one more changes nothing at the source"},
		{FireForget, -3, "{listeners} receivers are as many deliveries of each item, and the sender must know them all"},
		{RequestReply, -2, "{listeners} listeners would each have to ask"},
		{RemoteInvoke, -2, "a job's result goes to the one that started it, not to {listeners}"},
		{BatchSync, -1, "{listeners} targets are as many runs"},
	}},

	{"InPlace", func(r Requirement) bool { return r.InPlace }, []effect{
		{RequestReply, 2, "the data may stay where it lives: read it there when it is needed"},
		{UIUpdate, 2, "the data may stay where it lives: show it from there"},
		{BatchSync, -4, "the data may stay where it lives: a copy would only grow old"},
	}},
	{"InPlace", func(r Requirement) bool { return !r.InPlace }, []effect{
		{BatchSync, 1, "a copy is wanted at the other side"},
	}},

	{"Direction", func(r Requirement) bool { return r.Direction == IntoSalesforce }, []effect{
		{BatchSync, 1, "into Salesforce, its Bulk API is the widest door"},
	}},
	{"Direction", func(r Requirement) bool { return r.Direction == OutOfSalesforce }, []effect{
		{PubSub, 1, "out of Salesforce, change events come without a call"},
		{FireForget, 1, "out of Salesforce, outbound messages and platform events are sent by configuration alone"},
	}},
	{"PerDay", func(r Requirement) bool { return r.Direction == OutOfSalesforce && r.PerDay > salesforceEvery }, []effect{
		{PubSub, -1, "{day} events a day: an Enterprise organisation includes 25,000 deliveries, more are bought"},
		{UIUpdate, -1, "{day} events a day: an Enterprise organisation includes 25,000 deliveries, more are bought"},
	}},
}

// overAllowance is what a pattern loses whose calls a day are more than the
// other system allows. It outweighs any single convenience and no single
// impossibility.
const overAllowance = -4

// fill puts the requirement's values into a sentence.
func (r Requirement) fill(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	return strings.NewReplacer(
		"{within}", span(r.Within),
		"{runs}", span(r.Runs),
		"{day}", group(r.PerDay),
		"{burst}", group(r.PerBurst),
		"{listeners}", group(int64(r.Listeners)),
	).Replace(text)
}
