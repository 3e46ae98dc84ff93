package batchsync

import (
	"context"
	"database/sql"
	"time"
)

// A Checkpoint is the state of one partition of a sync: where it is, what it
// has counted, and the epoch under which it may be written.
type Checkpoint struct {
	// Sync and Partition name it. An undivided sync has the one partition "".
	Sync, Partition string
	// Run numbers the runs from 1; 0 says that there never was one.
	Run int64
	// Cursor is the source's position after the last page that was settled.
	Cursor string
	// Done says that run Run has ended; the next one begins at Cursor.
	Done bool
	// Full says that run Run began at the start of its source.
	Full bool
	// Counts are the sums of run Run so far.
	Counts Counts
	// Token names a job on the sink's side that may still be at work on rows
	// after Cursor, or of an earlier run; empty if there is none. See [JobSink].
	Token string
	// Epoch fences: only the last epoch granted may write.
	Epoch int64
}

// A DeadRow is a row that could not be brought into the sink. It stays until a
// later run that begins at the start of the source has ended: that run has
// seen every row again, and has parked anew what is still bad.
type DeadRow struct {
	// Sync and Partition name the checkpoint it belongs to.
	Sync, Partition string
	// Run is the run that parked it.
	Run int64
	// N is the number of the row in that run, from 1. Run, Partition and N
	// together are unique in a sync.
	N int64
	// ID and Pos are those of the row.
	ID, Pos string
	// Value is the original: as the source found it if the source could not
	// read it, else the value as JSON.
	Value []byte
	// Cut says that Value is only the beginning, by Options.MaxOriginal or
	// because the source had no more (Row.Cut).
	Cut bool
	// Why is the reason in words.
	Why string
	// Transient says that the cause may have passed, so that it counts as
	// failed and not as parked.
	Transient bool
	// At is when it was parked.
	At time.Time
}

// A Store keeps checkpoints and dead rows. [NewMem] returns one in memory,
// sqlstore has one on SQL; package batchsynctest holds the tests that any
// implementation must pass. Most users only hand one over in [Options].
//
// Methods are safe for concurrent use, do not retry, return raw errors and
// keep neither arguments nor their slices.
type Store interface {
	// Claim grants the lease of a partition to owner for d and returns the
	// checkpoint as last saved, under a new, larger epoch. One that was never
	// saved has Run 0. While another holds the lease it returns ErrHeld.
	Claim(ctx context.Context, sync, partition, owner string, d time.Duration) (Checkpoint, error)

	// Load returns the checkpoint as last saved, under the epoch last granted.
	// It needs no lease, and asks for none. One that was never claimed is the
	// Checkpoint of that name with Run and Epoch 0.
	Load(ctx context.Context, sync, partition string) (Checkpoint, error)

	// Renew extends the lease of c to d from now and changes nothing else. It
	// returns ErrLost if c.Epoch is not the last one granted, or was released.
	Renew(ctx context.Context, c Checkpoint, d time.Duration) error

	// Save stores c and adds dead in one step, durably, and extends the lease
	// as Renew does. It returns ErrLost, and changes nothing, if c.Epoch may
	// not write. Saving the same again changes nothing. If c.Done and c.Full,
	// dead rows of earlier runs of the partition are dropped in the same step.
	Save(ctx context.Context, c Checkpoint, dead []DeadRow, d time.Duration) error

	// Release ends the lease of c, so that the next Claim need not wait. It
	// returns ErrLost if c.Epoch does not hold it.
	Release(ctx context.Context, c Checkpoint) error

	// Dead returns up to limit dead rows of a sync, ordered by Run, Partition
	// and N, that come after the row after in this order; the zero DeadRow is
	// before all. No rows is the end.
	Dead(ctx context.Context, sync string, after DeadRow, limit int) ([]DeadRow, error)
}

// A TxStore is a Store that can save in a transaction which also carries the
// rows. See [TxSink].
type TxStore interface {
	Store
	// Database returns the pool that the transactions of Tx belong to.
	Database() *sql.DB
	// Tx runs fn in a transaction and returns when its commit is durable. If
	// fn returns an error, nothing that fn did remains, and Tx returns that
	// error. fn may be called again if the commit has to be repeated.
	Tx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error
	// SaveTx is Save inside tx.
	SaveTx(ctx context.Context, tx *sql.Tx, c Checkpoint, dead []DeadRow, d time.Duration) error
}
