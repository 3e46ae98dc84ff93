package batchsync

import (
	"fmt"
	"time"
)

// Counts are the sums of a run, kept in its checkpoint, so that they survive a
// crash and go on where they were.
type Counts struct {
	// In counts the rows read: every one ends in exactly one of the six below,
	// or in the report's Unprocessed.
	In int64
	// Inserted, Updated, Unchanged and Deleted count rows by the sink's word.
	Inserted, Updated, Unchanged, Deleted int64
	// Failed counts rows given up after the last attempt although their cause
	// may pass; they are kept as dead rows marked Transient.
	Failed int64
	// Parked counts rows that repeating cannot help; they are kept as dead rows.
	Parked int64
	// Filtered counts rows that [Filter] left out. They are not part of In.
	Filtered int64
	// Repeated counts rows whose ID had occurred before in the same page. Each
	// was written after the earlier one, so the last wins; each also counts
	// under its own verdict. Repeats further apart than a page are not noticed.
	Repeated int64
}

func (c Counts) settled() int64 {
	return c.Inserted + c.Updated + c.Deleted + c.Unchanged + c.Failed + c.Parked
}

func (c *Counts) add(v Verdict) {
	switch v {
	case Inserted:
		c.Inserted++
	case Updated:
		c.Updated++
	case Unchanged:
		c.Unchanged++
	case Deleted:
		c.Deleted++
	case Failed:
		c.Failed++
	case Parked:
		c.Parked++
	}
}

// A Report says what became of every row of a run. It covers the whole run,
// also the part before a crash that this call resumed.
type Report struct {
	Counts
	// Unprocessed counts rows that were read and that no checkpoint covers,
	// because the run ended first. They are read again by the next call. If
	// the sink and the store share no transaction, some may be in the sink.
	Unprocessed int64
	// Run numbers the runs of this sync from 1.
	Run int64
	// Resumed says that this call went on with a run that had not ended.
	Resumed bool
	// Atomic says that rows and checkpoint were committed together.
	Atomic bool
	// Took is how long this call lasted.
	Took time.Duration
}

// Done returns the rows that changed the sink: inserted, updated and deleted.
func (r *Report) Done() int64 { return r.Inserted + r.Updated + r.Deleted }

// Complete reports whether the sink now holds every row that was read: nothing
// failed, was parked or is unprocessed.
func (r *Report) Complete() bool { return r.Failed == 0 && r.Parked == 0 && r.Unprocessed == 0 }

// Check returns an error unless the report adds up:
//
//	in = done + unchanged + failed + parked + unprocessed
//
// Run calls it, so a report that comes without an error has passed.
func (r *Report) Check() error {
	if r.In == r.settled()+r.Unprocessed {
		return nil
	}
	return fmt.Errorf("batchsync: the report does not add up: in %d, but done %d + unchanged %d + failed %d + parked %d + unprocessed %d = %d",
		r.In, r.Done(), r.Unchanged, r.Failed, r.Parked, r.Unprocessed, r.settled()+r.Unprocessed)
}

// String returns the report on one line, without its duration.
func (r *Report) String() string {
	s := fmt.Sprintf("in %d = done %d (%d inserted, %d updated, %d deleted) + unchanged %d + failed %d + parked %d + unprocessed %d",
		r.In, r.Done(), r.Inserted, r.Updated, r.Deleted, r.Unchanged, r.Failed, r.Parked, r.Unprocessed)
	if r.Filtered > 0 {
		s += fmt.Sprintf("; filtered out before: %d", r.Filtered)
	}
	if r.Repeated > 0 {
		s += fmt.Sprintf("; repeated ids: %d", r.Repeated)
	}
	return s
}

// Progress is how far a run is. Each is a snapshot after a checkpoint.
type Progress struct {
	// In is how many rows were read, filtered ones included.
	In int64
	// Done is how many of them a checkpoint covers.
	Done int64
	// Total is how many rows the source has, or 0 if it does not say.
	Total int64
	// Rate is rows per second, over this call.
	Rate float64
	// ETA is how much longer it will take at that rate, or 0 if Total is not
	// known.
	ETA time.Duration
}
