package crosstie

// A way says in which directions a Salesforce tool serves a pattern.
type way int

const (
	in   way = 1 << IntoSalesforce
	out  way = 1 << OutOfSalesforce
	both     = in | out
)

// tools names what Salesforce offers for each pattern, the best fit first,
// after its own guide to integration patterns and its limits.
var tools = map[Pattern][]struct {
	ways way
	name string
}{
	RequestReply: {
		{in, "External Services (imports an OpenAPI document; flows call it) or an Apex callout: Salesforce asks, at most 120 s and 100 callouts a transaction"},
		{in, "REST with upsert by external id, Composite (25 requests in one call), Collections (200 rows): the other system writes and reads the result"},
		{out, "REST and SOQL with Composite, or Apex REST: the other system asks Salesforce"},
		{both, "Continuation, where a page would wait more than 5 s"},
	},
	FireForget: {
		{out, "Outbound Messages: repeated for up to 24 h, not ordered, values as they are when sent"},
		{out, "Platform Events published after commit: kept for 72 h"},
		{in, "Platform Events published through the Pub/Sub API or REST, handled by an Apex trigger or a flow"},
		{in, "REST upsert by external id, so that a repeat does no harm"},
	},
	BatchSync: {
		{in, "Bulk API 2.0 ingest: batches of 10,000 rows, 15,000 batches a day; sort by parent to avoid row locks"},
		{out, "Bulk API 2.0 query, from 2,000 rows on; by SystemModstamp for what changed"},
		{both, "Heroku Connect, where the other side is PostgreSQL on Heroku"},
		{out, "Change Data Capture, where Salesforce owns the data and the copy must follow by itself"},
	},
	RemoteInvoke: {
		{out, "Queueable Apex or External Services with a callback (OpenAPI callbacks, Apex only, up to 24 h): Salesforce starts the job and learns by webhook"},
		{in, "Queueable Apex or External Services with a callback (OpenAPI callbacks, Apex only, up to 24 h): Salesforce starts the job and the result comes in by webhook"},
		{both, "Continuation, only while the work ends within 120 s"},
		{both, "a Platform Event with a correlation id that resumes a paused flow"},
	},
	UIUpdate: {
		{in, "Salesforce Connect external objects over OData: the screen reads the data where it lives"},
		{both, "Platform Events or Change Data Capture with empApi in a Lightning component; PushTopic streaming in older pages"},
		{out, "Pub/Sub API or Streaming API into the view that feeds the screens"},
	},
	PubSub: {
		{out, "Change Data Capture and Platform Events through the Pub/Sub API: kept for 72 h, deliveries counted for each subscribed client, so one relay subscribes and the listeners read the log"},
		{in, "Platform Events published through the Pub/Sub API: Apex triggers and flows subscribe; no REST calls are used up"},
		{both, "Event relays, where the listeners live on Amazon EventBridge"},
	},
}

// tooling lists what serves p in direction d. Between two other systems it
// lists all, for the day one of them is Salesforce.
func tooling(p Pattern, d Direction) []string {
	want := way(1) << d
	if d == Between {
		want = both
	}
	var names []string
	for _, t := range tools[p] {
		if t.ways&want != 0 {
			names = append(names, t.name)
		}
	}
	return names
}
