package requestreply_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// A stateError is what pgconn.PgError and pq.Error look like.
type stateError string

func (e stateError) Error() string    { return "ERROR (SQLSTATE " + string(e) + ")" }
func (e stateError) SQLState() string { return string(e) }

// A safeError is what pgconn returns when nothing was sent.
type safeError struct{ error }

func (safeError) SafeToRetry() bool { return true }

// A grpcError is what a grpc status error looks like.
type grpcError struct{ code grpcStatus }

type (
	grpcCode   uint32
	grpcStatus struct{ code grpcCode }
)

func (s *grpcStatus) Code() grpcCode         { return s.code }
func (e *grpcError) Error() string           { return fmt.Sprint("rpc error: code ", e.code.code) }
func (e *grpcError) GRPCStatus() *grpcStatus { return &e.code }
func rpc(code grpcCode) error                { return &grpcError{grpcStatus{code}} }
func (e *oddError) GRPCStatus(int) *oddError { return nil }
func (e *oddError) Error() string            { return "odd" }
func (e *rudeError) GRPCStatus() *rudeError  { panic("boom") }
func (e *rudeError) Error() string           { return "rude" }

type (
	oddError  struct{}
	rudeError struct{}
)

// What the errors of gRPC and database/sql say, wherever they stand.
func TestErrorsToldByTheirShape(t *testing.T) {
	for _, c := range []struct {
		name      string
		err       error
		known     outcome.Outcome
		transient bool
	}{
		{"NOT_FOUND", rpc(5), outcome.Refused, false},
		{"UNAVAILABLE", fmt.Errorf("pricing: %w", rpc(14)), outcome.Unknown, true},
		{"ABORTED in a join", errors.Join(errBoom, rpc(10)), outcome.Refused, false},
		{"a method of another shape", &oddError{}, outcome.Unknown, false},
		{"a method that panics", &rudeError{}, outcome.Unknown, false},
		{"a nil status error", (*grpcError)(nil), outcome.Unknown, false},
		{"serialization failure", fmt.Errorf("stock: %w", stateError("40001")), outcome.Refused, true},
		{"unique violation", stateError("23505"), outcome.Refused, false},
		{"the server goes down", stateError("57P01"), outcome.Unknown, true},
		{"a state that says nothing", stateError("XX000"), outcome.Unknown, true},
		{"nothing was sent", safeError{errBoom}, outcome.NotSent, true},
		{"a bad connection", fmt.Errorf("x: %w", driver.ErrBadConn), outcome.NotSent, true},
		{"a connection given back", sql.ErrConnDone, outcome.NotSent, false},
		{"no rows", fmt.Errorf("x: %w", sql.ErrNoRows), outcome.Refused, false},
		{"a finished transaction", sql.ErrTxDone, outcome.Unknown, false},
		{"its own word first", outcome.TransientError(outcome.Applied, false, stateError("40001")), outcome.Applied, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() { // the text of a nil error is its own affair
				if p := recover(); p != nil && c.name != "a nil status error" {
					panic(p)
				}
			}()
			g := requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 1}})
			_, err := requestreply.Run(t.Context(), g, requestreply.Op{}, func(context.Context) (int, error) { return 0, c.err })
			require.Equal(t, c.known, outcome.Of(err))
			transient, _ := outcome.Transient(err)
			require.Equal(t, c.transient, transient)
			require.ErrorIs(t, err, c.err)
		})
	}
	t.Run("no rows is a sign of life", func(t *testing.T) {
		g := breaking(nil)
		for range 100 {
			require.ErrorIs(t, call(t, g, func(context.Context) (int, error) { return 0, sql.ErrNoRows }), sql.ErrNoRows)
		}
		require.NoError(t, call(t, g, works))
	})
}

// A faultyDB is a database that fails at one step.
type faultyDB struct {
	step      string // "connect", "begin", "exec" or "commit"
	err       error
	committed int
}

func (d *faultyDB) at(step string) error {
	if d.step == step {
		return d.err
	}
	return nil
}

func (d *faultyDB) Connect(context.Context) (driver.Conn, error) { return d, d.at("connect") }
func (d *faultyDB) Driver() driver.Driver                        { return nil }
func (d *faultyDB) Prepare(string) (driver.Stmt, error)          { return d, nil }
func (d *faultyDB) Close() error                                 { return nil }
func (d *faultyDB) Begin() (driver.Tx, error)                    { return d, d.at("begin") }
func (d *faultyDB) NumInput() int                                { return -1 }
func (d *faultyDB) Query([]driver.Value) (driver.Rows, error)    { return nil, errBoom }
func (d *faultyDB) Exec([]driver.Value) (driver.Result, error) {
	return driver.RowsAffected(1), d.at("exec")
}
func (d *faultyDB) Rollback() error { return nil }
func (d *faultyDB) Commit() error {
	if err := d.at("commit"); err != nil {
		return err
	}
	d.committed++
	return nil
}

// What is known of a transaction, by the step at which it fails: before COMMIT
// nothing was done, after it nobody knows, unless the database says so.
func TestTx(t *testing.T) {
	lost := &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
	for _, c := range []struct {
		step      string
		err       error
		known     outcome.Outcome
		transient bool
	}{
		{"connect", &net.OpError{Op: "dial", Err: errBoom}, outcome.NotSent, true},
		{"connect", stateError("28P01"), outcome.NotSent, false},
		{"begin", lost, outcome.NotSent, true},
		{"exec", lost, outcome.Refused, true},
		{"exec", stateError("40P01"), outcome.Refused, true},
		{"exec", stateError("23505"), outcome.Refused, false},
		{"exec", stateError("57P01"), outcome.Refused, true},
		{"exec", errBoom, outcome.Refused, false},
		{"commit", lost, outcome.Unknown, true},
		{"commit", errBoom, outcome.Unknown, true},
		{"commit", driver.ErrBadConn, outcome.Unknown, true},
		{"commit", stateError("40001"), outcome.Refused, true},
		{"commit", stateError("23503"), outcome.Refused, false},
		{"commit", stateError("08007"), outcome.Unknown, true},
		{"commit", stateError("XX000"), outcome.Unknown, true},
		{"commit", outcome.Error(outcome.Applied, errBoom), outcome.Applied, false},
	} {
		t.Run(c.step+" "+c.err.Error(), func(t *testing.T) {
			d := &faultyDB{step: c.step, err: c.err}
			db := sql.OpenDB(d)
			defer db.Close()
			_, err := requestreply.Tx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) (int, error) {
				_, err := tx.ExecContext(ctx, "update stock set free = free - 1")
				return 0, err
			}, nil)
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.known, outcome.Of(err))
			transient, _ := outcome.Transient(err)
			require.Equal(t, c.transient, transient)
			require.Zero(t, d.committed)
		})
	}
	t.Run("what failed before COMMIT is repeated whole, without a key", func(t *testing.T) {
		d := &faultyDB{step: "exec", err: stateError("40001")}
		db := sql.OpenDB(d)
		defer db.Close()
		runs := 0
		v, err := requestreply.Run(t.Context(), requestreply.NewGuard(&requestreply.Options{Retry: quick}), requestreply.Op{}, func(ctx context.Context) (int, error) {
			return requestreply.Tx(ctx, db, func(ctx context.Context, tx *sql.Tx) (int, error) {
				if runs++; runs == 3 {
					d.step = ""
				}
				_, err := tx.ExecContext(ctx, "update stock set free = free - 1")
				return runs, err
			}, nil)
		})
		require.NoError(t, err)
		require.Equal(t, 3, v)
		require.Equal(t, 1, d.committed)
	})
	t.Run("a lost COMMIT is not", func(t *testing.T) {
		d := &faultyDB{step: "commit", err: lost}
		db := sql.OpenDB(d)
		defer db.Close()
		runs := 0
		_, err := requestreply.Run(t.Context(), nil, requestreply.Op{}, func(ctx context.Context) (int, error) {
			return requestreply.Tx(ctx, db, func(context.Context, *sql.Tx) (int, error) { runs++; return 0, nil }, nil)
		})
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.Equal(t, 1, runs)
	})
	t.Run("an effect elsewhere is not rolled back, and not hidden", func(t *testing.T) {
		db := sql.OpenDB(&faultyDB{})
		defer db.Close()
		_, err := requestreply.Tx(t.Context(), db, func(context.Context, *sql.Tx) (int, error) { return 0, errLost }, nil)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
	})
	t.Run("nothing is committed after its time", func(t *testing.T) {
		d := &faultyDB{}
		db := sql.OpenDB(d)
		defer db.Close()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := requestreply.Tx(ctx, db, func(context.Context, *sql.Tx) (int, error) { cancel(); return 0, nil }, nil)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		require.Zero(t, d.committed)
	})
	t.Run("a panic rolls back", func(t *testing.T) {
		d := &faultyDB{}
		db := sql.OpenDB(d)
		defer db.Close()
		db.SetMaxOpenConns(1)
		require.PanicsWithValue(t, "boom", func() {
			_, _ = requestreply.Tx(t.Context(), db, func(context.Context, *sql.Tx) (int, error) { panic("boom") }, nil)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		v, err := requestreply.Tx(ctx, db, func(context.Context, *sql.Tx) (int, error) { return 7, nil }, nil)
		require.NoError(t, err, "its connection came back")
		require.Equal(t, 7, v)
		require.Equal(t, 1, d.committed)
	})
}
