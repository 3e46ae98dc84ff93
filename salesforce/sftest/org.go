package sftest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// An Org is a Salesforce org on a loopback address. It is made by [NewOrg] or
// [Start], and may be used by many goroutines.
type Org struct {
	opts    Options
	schema  *schema
	id      string // 18 characters
	user    string
	url     string
	web     *web           // nil in memory
	closing chan struct{}  // closed by Close
	once    sync.Once      // of Close
	workers sync.WaitGroup // who run jobs and send messages

	mu          sync.Mutex // guards what follows
	rand        *rand.Rand
	data        *data
	sessions    map[string]*session
	used        int // API calls of the day
	seen        int // calls that came, for Seq
	calls       bounded[Call]
	changes     bounded[change]
	writer      writer // who changes rows now
	faults      []*Fault
	replay      int64 // of the last event
	events      map[*object][]Event
	jobs        map[string]*job    // by id of 15 characters
	jobOrder    []*job             // as created
	queue       []*job             // to be run
	cursors     map[string]*cursor // of queries, by locator
	cursorOrder []string           // oldest first
	rules       []*rule
	notes       []*Notification // in the order of the saves
}

// A writer is what a change of a row is put down to.
type writer struct {
	call int
	job  string
}

// NewOrg starts an org for a test and closes it when the test ends. A schema
// that makes no sense fails the test.
func NewOrg(t testing.TB, o *Options) *Org {
	t.Helper()
	org, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := org.Close(); err != nil {
			t.Errorf("sftest: close: %v", err)
		}
	})
	return org
}

// Start starts an org for a program, which closes it with [Org.Close]. The
// error is a *[SchemaError], or says why the address cannot be listened on.
func Start(o *Options) (*Org, error) {
	opts := o.orDefault()
	s, err := compile(opts.Objects)
	if err != nil {
		return nil, err
	}
	if opts.Version < oldest || opts.Version > 999 {
		return nil, fmt.Errorf("sftest: newest version %d: from %d to 999", opts.Version, oldest)
	}
	org := &Org{
		opts:     opts,
		schema:   s,
		rand:     rand.New(rand.NewPCG(opts.Seed, 1)),
		sessions: map[string]*session{},
		cursors:  map[string]*cursor{},
		events:   map[*object][]Event{},
		jobs:     map[string]*job{},
		closing:  make(chan struct{}),
		calls:    bounded[Call]{most: opts.Journal},
		changes:  bounded[change]{most: opts.Journal},
	}
	ids := newIDs(opts.Seed)
	org.id, org.user = ids.make("00D"), ids.make("005")
	org.data = newData(s, ids, org.changed)
	if org.opts.ClientID == "" {
		org.opts.ClientID = "3MVG9" + org.secret(80)
	}
	if org.opts.ClientSecret == "" {
		org.opts.ClientSecret = org.secret(64)
	}
	if opts.InMemory {
		org.url = "https://org.invalid" // as an org is, though nothing is encrypted
		return org, nil
	}
	org.web, err = listen(opts.Addr, org, opts.Logger)
	if err != nil {
		return nil, err
	}
	org.url = "http://" + org.web.listener.Addr().String()
	return org, nil
}

// Close ends the org: calls that are being answered have 5 s to finish, later
// ones are refused. What it kept can still be read. Closing twice is harmless.
func (o *Org) Close() (err error) {
	o.once.Do(func() {
		o.mu.Lock() // so that no job begins between this and the wait
		close(o.closing)
		o.mu.Unlock()
		if o.web != nil {
			err = o.web.close()
		}
		o.workers.Wait()
	})
	return err
}

// URL is where the org is: its login host and its instance, without a slash at
// the end.
func (o *Org) URL() string { return o.url }

// ID is the id of the organisation, in its form of 18 characters.
func (o *Org) ID() string { return o.id }

// ClientID is the consumer key of the one app that may log in.
func (o *Org) ClientID() string { return o.opts.ClientID }

// ClientSecret is the consumer secret that belongs to ClientID.
func (o *Org) ClientSecret() string { return o.opts.ClientSecret }

// CallsUsed says how many API calls the org counted against its allowance.
func (o *Org) CallsUsed() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.used
}

// SetCallsUsed sets that count, to come close to the allowance, to exhaust it,
// or to begin a new day with 0. The org itself never forgets a call.
func (o *Org) SetCallsUsed(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.used = max(0, n)
}

// changed notes the write of a row; the lock is held.
func (o *Org) changed(op string, obj *object, values []any) {
	c := Change{
		Seq: o.changes.count + 1, Time: time.Now(), Call: o.writer.call, Job: o.writer.job,
		Object: obj.Name, ID: values[atID].(string), Op: op,
	}
	o.changes.add(change{Change: c, object: obj, values: values})
	o.queueNotes(c, obj, values)
}

// closed says whether the org was.
func (o *Org) closed() bool {
	select {
	case <-o.closing:
		return true
	default:
		return false
	}
}

// secret makes a random string from the seed; nobody else has the org yet.
func (o *Org) secret(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = base62[o.rand.IntN(62)]
	}
	return string(b)
}
