package server

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"
)

// Keys remembers which requests were answered, and how. It is the port of
// [Idempotent]; [HandleTx] needs the larger [TxKeys]. Package
// requestreply/server/servertest tests an implementation.
//
// A key is claimed under a lease with an epoch that grows with every claim:
// an owner that was paused past its lease, and whose key was claimed by
// somebody else since, can no longer write. Time is the store's own clock.
// Methods may be called concurrently. An error that is none of those named
// here means that the store failed; the outcome of package outcome says
// whether it did what was asked.
type Keys interface {
	// Claim claims key for lease. request is the fingerprint of the request.
	//
	//   - The key is new, was released, or is older than it is kept: it is
	//     claimed, under the fingerprint of this request.
	//   - It was claimed by another request: ErrReused.
	//   - It is finished: the Claim has the Reply and claims nothing.
	//   - Its owner's lease runs: ErrInFlight.
	//   - Its owner's lease ran out: it is claimed under a larger epoch, and
	//     the Claim is Abandoned.
	//
	// A key is kept for keep from its latest claim, and as long as it is
	// leased. A full store fails with requestreply.ErrFull.
	Claim(ctx context.Context, key string, request [32]byte, lease, keep time.Duration) (Claim, error)
	// Renew makes the lease of c last at least lease from now. ErrLost when
	// the key was claimed by another since, finished, released or forgotten.
	Renew(ctx context.Context, c Claim, lease time.Duration) error
	// Finish stores r as the answer of c, and is durable when it returns.
	// ErrLost as in Renew. It does not keep r's slices or maps.
	Finish(ctx context.Context, c Claim, r Reply) error
	// Release gives the key back, for the next claim to begin anew. It does
	// nothing, without an error, to a key that c does not own any more.
	Release(ctx context.Context, c Claim) error
	// Forget deletes up to max keys that need not be kept any more and
	// returns how many. Claim deletes some by itself, so that nobody has to
	// call Forget.
	Forget(ctx context.Context, max int) (int, error)
}

// TxKeys are Keys that live where the effects do, so that an effect and its
// stored answer are committed together.
type TxKeys interface {
	Keys
	// Tx runs fn in a transaction and commits it, or rolls it back when fn
	// returns an error or panics. Its error is fn's, or that of the commit
	// with the outcome known of it.
	Tx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error
	// FinishTx is Finish inside a transaction that Tx began: tx and ctx are
	// those Tx gave to fn. After ErrLost the transaction must be rolled back.
	FinishTx(ctx context.Context, tx *sql.Tx, c Claim, r Reply) error
}

// A Claim is the right to answer a key, or the answer it has already.
type Claim struct {
	// Key is what Claim was called with, and Epoch says which claim of it this
	// is.
	Key   string
	Epoch int64
	// Reply is the stored answer; nil means that the key is claimed.
	Reply *Reply
	// Abandoned says that an earlier owner neither finished nor released the
	// key: it may have had its effect.
	Abandoned bool
}

// A Reply is a stored answer.
type Reply struct {
	// Status, Header and Body are what was answered, without the headers that
	// must not be kept.
	Status int
	Header http.Header
	Body   []byte
	// Missing says why there is no answer to replay; empty when there is.
	Missing string
}

// The values of Reply.Missing.
const (
	// TooLarge: the answer was too large to keep; Reply.Status is what it had.
	TooLarge = "too large"
	// Unsettled: whether the request took effect is not known.
	Unsettled = "unsettled"
)

// What a store says about a key.
var (
	// ErrInFlight says that a request with the same key is being answered.
	ErrInFlight = errors.New("a request with this key is in flight: repeat it later")
	// ErrReused says that the key came with another request before.
	ErrReused = errors.New("this key came with another request before: use a new key for a new request")
	// ErrLost says that a claim is not ours any more.
	ErrLost = errors.New("the claim on this key is lost: its lease ran out and it was claimed again")
)
