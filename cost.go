package crosstie

import "fmt"

// A Cost is what a pattern takes out of a day's allowance of calls, at the
// other system, on the busiest day: max(PerDay, PerBurst) items.
type Cost struct {
	// Calls a day. With N items, L listeners, and P = a day divided by Within:
	//
	//	requestreply   N x L, a call an item; where the changed side would
	//	               start it, asking is polling: L x (P + N/200), a look
	//	               every Within and a call for each page of 200 rows
	//	fireforget     N x L, a delivery an item and receiver; repeats not counted
	//	batchsync      runs x batches x 10 x L: as many runs as bursts, but no
	//	               more than P; batches of 10,000 rows; ten calls a batch:
	//	               create, upload, close, five looks at the state by
	//	               growing intervals, the good rows and the bad rows
	//	remoteinvoke   3 N: start, callback, result
	//	uiupdate       24: one stream, opened again every hour; the screens
	//	               read the view and not the other system
	//	pubsub         24: one stream, opened again every hour; the listeners
	//	               read the log and not the other system
	Calls int64
	// Formula is how Calls came about, with the numbers in it.
	Formula string
	// Allowed is the allowance it was compared with; 0 means no limit.
	Allowed int64
	// Fits says that Calls are within Allowed.
	Fits bool
}

const (
	callsPerBatch  = 10
	callsPerJob    = 3
	callsPerStream = 24
	rowsPerPage    = 200
)

// cost computes what p takes, of a requirement with its defaults filled in.
func (r Requirement) cost(p Pattern) Cost {
	n, l := r.busiest(), int64(r.Listeners)
	c := Cost{Allowed: r.CallsPerDay}
	switch p {
	case RequestReply:
		if r.Starts == ChangedSide {
			c.Calls, c.Formula = r.polling()
			break
		}
		c.Calls, c.Formula = n*l, each(n, l, "asking")
	case FireForget:
		c.Calls, c.Formula = n*l, each(n, l, "receiving")
	case BatchSync:
		runs, batches := r.runs()
		c.Calls = runs * batches * callsPerBatch * l
		c.Formula = fmt.Sprintf("%s x %s of 10,000 rows x %d calls", plural(runs, "run"), plural(batches, "batch"), callsPerBatch)
		if l > 1 {
			c.Formula += fmt.Sprintf(" x %s", plural(l, "target"))
		}
	case RemoteInvoke:
		c.Calls = n * callsPerJob
		c.Formula = fmt.Sprintf("%s x (start, callback, result)", plural(n, "job"))
	case UIUpdate, PubSub:
		c.Calls, c.Formula = callsPerStream, "one stream, opened again every hour"
	}
	c.Fits = c.Allowed == 0 || c.Calls <= c.Allowed
	return c
}

// busiest is the number of items on the day a burst comes.
func (r Requirement) busiest() int64 { return max(r.PerDay, r.PerBurst) }

// polling is what it takes to notice changes by asking for them.
func (r Requirement) polling() (calls int64, formula string) {
	l := int64(r.Listeners)
	looks := ceil(int64(day), int64(r.Within))
	pages := ceil(r.busiest(), rowsPerPage)
	return l * (looks + pages), fmt.Sprintf("%s x (a look every %s = %s + %s of %d rows)",
		plural(l, "listener"), span(r.Within), group(looks), plural(pages, "page"), rowsPerPage)
}

// runs is how many runs a day batchsync makes, and how many batches each has.
func (r Requirement) runs() (runs, batches int64) {
	n := r.busiest()
	runs = min(ceil(n, r.PerBurst), ceil(int64(day), int64(r.Within)))
	return runs, ceil(ceil(n, runs), bulkBatch)
}

func each(n, l int64, verb string) string {
	s := plural(n, "item") + ", a call each"
	if l > 1 {
		s = fmt.Sprintf("%s x %s %s", plural(n, "item"), group(l), verb)
	}
	return s
}

// ceil divides, rounding up; both are positive.
func ceil(a, b int64) int64 { return (a + b - 1) / b }
