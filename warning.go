package crosstie

import "fmt"

// An AntiPattern is one of the four documented ways to get an integration
// wrong. Each room holds those it cures as a test: the naive code fails, the
// room's does not.
type AntiPattern string

const (
	// Polling: asking again and again for what could be told once.
	Polling AntiPattern = "polling instead of subscribing"
	// ChattyCalls: a round trip for each row, with somebody waiting for each.
	ChattyCalls AntiPattern = "chatty synchronous calls"
	// LongCaching: showing or using a copy for longer than it is true.
	LongCaching AntiPattern = "caching too long"
	// NoRetry: no way to learn of a failure, or nothing done about it.
	NoRetry AntiPattern = "no retry or error handling"
)

// A Warning says what the second choice would go wrong with.
type Warning struct {
	// RunnerUp is the second of the ranking.
	RunnerUp Pattern
	// AntiPattern is the documented one it would be here.
	AntiPattern AntiPattern
	// Text says why, with the requirement's numbers.
	Text string
	// Calls is what the anti-pattern would take of the calls a day, where it
	// takes calls at all; 0 where the harm is another.
	Calls int64
}

// A pitfall is what goes wrong when the runner-up is used in the place of the
// winner.
type pitfall struct {
	anti AntiPattern
	text string
}

// pitfalls has a row for each winner and, in it, one for each runner-up.
var pitfalls = map[Pattern]map[Pattern]pitfall{
	RequestReply: {
		FireForget:   {NoRetry, "whoever asks never learns whether it was done, refused or lost"},
		BatchSync:    {LongCaching, "a copy that is loaded now and then answers with what was true at the last run"},
		RemoteInvoke: {Polling, "a job's status is asked for in a loop, when the call itself could have brought the answer"},
		UIUpdate:     {LongCaching, "a value that is kept at the screen is shown after it stopped being true"},
		PubSub:       {NoRetry, "a question sent as an event has no error to return when nobody answers"},
	},
	FireForget: {
		RequestReply: {ChattyCalls, "the sender waits for a round trip an item, and is down whenever the receiver is"},
		BatchSync:    {Polling, "a scheduled run looks for what could have been handed over when it happened"},
		RemoteInvoke: {Polling, "a job's status is watched for a result that nobody needs"},
		UIUpdate:     {NoRetry, "a view keeps the latest value only: what is missed is not delivered again"},
		PubSub:       {NoRetry, "an event that no listener took is nobody's failure, and the sender is never told"},
	},
	BatchSync: {
		RequestReply: {ChattyCalls, "each row pays for a call of its own"},
		FireForget:   {ChattyCalls, "each row is delivered by a call of its own"},
		RemoteInvoke: {ChattyCalls, "each row becomes a job with a start, a callback and a result"},
		UIUpdate:     {LongCaching, "a view holds what it was last shown, and is no copy to work on"},
		PubSub:       {ChattyCalls, "each row is an event that each listener handles by itself"},
	},
	RemoteInvoke: {
		RequestReply: {NoRetry, "the call times out before the work is done, and then nobody knows whether it goes on"},
		FireForget:   {NoRetry, "it was accepted, and how it ended is never learned"},
		BatchSync:    {Polling, "each run looks in a table whether results have come by now"},
		UIUpdate:     {NoRetry, "a view shows progress, but a failed job is not started again and no result is kept"},
		PubSub:       {NoRetry, "an event may start the work, but nothing says that it failed or was never taken up"},
	},
	UIUpdate: {
		RequestReply: {Polling, "each screen asks again and again whether something changed"},
		FireForget:   {ChattyCalls, "each change is delivered to each screen, seen or not, and a closed screen makes the sender repeat"},
		BatchSync:    {LongCaching, "between two runs the screen shows what is no longer true"},
		RemoteInvoke: {Polling, "a job's status is asked for in a loop to keep a screen up to date"},
		PubSub:       {ChattyCalls, "each screen handles every change that ever was, where the latest value would do"},
	},
	PubSub: {
		RequestReply: {Polling, "each listener asks again and again whether something happened"},
		FireForget:   {ChattyCalls, "the sender delivers each event once for each listener, and every new listener is a change at the sender"},
		BatchSync:    {Polling, "each listener's scheduled run looks for what happened since the last"},
		RemoteInvoke: {Polling, "each listener watches a job to learn of an event"},
		UIUpdate:     {NoRetry, "a view keeps the latest value only: a listener that was away does not get what it missed"},
	},
}

// warn explains the second of the ranking by the first. The numbers are those
// of the anti-pattern itself, carried out without the care the rooms take.
func (r Requirement) warn(best, second Choice) Warning {
	pit := pitfalls[best.Pattern][second.Pattern]
	w := Warning{RunnerUp: second.Pattern, AntiPattern: pit.anti, Text: pit.text}
	switch pit.anti {
	case Polling:
		var formula string
		w.Calls, formula = r.polling()
		w.Text += compare(w.Calls, formula, best)
	case ChattyCalls:
		n, l := r.busiest(), int64(r.Listeners)
		w.Calls = n * l
		w.Text += compare(w.Calls, each(n, l, "receiving"), best)
	case LongCaching:
		w.Text += fmt.Sprintf("; it may be no older than %s", span(r.Within))
	case NoRetry:
		w.Text += fmt.Sprintf("; if one in a thousand fails, that is %s a day", plural(ceil(r.busiest(), 1_000), "item"))
	}
	return w
}

// compare sets the anti-pattern's calls beside the winner's. Where it takes
// no more, the harm is the one the sentence named, and a number would hide it.
func compare(calls int64, formula string, best Choice) string {
	if calls <= best.Cost.Calls {
		return ""
	}
	return fmt.Sprintf("; %s calls or deliveries a day (%s) against %s", group(calls), formula, group(best.Cost.Calls))
}
