package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/crosstie/crosstie/internal/group"
	"github.com/crosstie/crosstie/outcome"
)

// What an error of this package may wrap. Match with errors.Is.
var (
	// ErrInTx: a durable call was made inside a [DB.Tx] of the same DB. It
	// would wait for the transaction that waits for it. Use its twin that
	// takes the transaction, such as SendTx or Once.
	ErrInTx = errors.New("called inside DB.Tx, which it would wait for: use the twin that takes the *sql.Tx")
	// ErrNoTx: the transaction given was nil.
	ErrNoTx = errors.New("the transaction is nil: begin one, or use the call that needs none")
	// ErrTxDone: the function given to DB.Tx ended the transaction itself.
	ErrTxDone = errors.New("the function ended the transaction that others share: it must not call Commit or Rollback, nor run such SQL")
	// ErrTxLimit: the function given to DB.Tx took longer than
	// Options.TxLimit; what it wrote is rolled back.
	ErrTxLimit = errors.New("the function took longer than Options.TxLimit and was rolled back: keep it short, without network, and without waiting for a durable call")
	// ErrNotDurable: the transaction was begun on a connection that does not
	// sync its commits.
	ErrNotDurable = errors.New("a commit on this connection could be lost: set PRAGMA synchronous=FULL for all connections of the pool")
	// ErrBusy: another connection or process held the write lock, or no
	// connection came free, for the whole wait.
	ErrBusy = errors.New("the database stayed locked: another writer, or a transaction left open, holds it: repeat the whole transaction")
	// ErrSnapshot: the transaction read before it wrote, and somebody else
	// wrote in between.
	ErrSnapshot = errors.New("the transaction's view of the database is out of date: repeat the whole transaction, on SQLite begun with BEGIN IMMEDIATE")
	// ErrQueueFull: as many writes wait as Options.Queue allows.
	ErrQueueFull = group.ErrFull
	// ErrDiskFull: the disk, or the database's own page limit, is full.
	ErrDiskFull = errors.New("the disk or the database's page limit is full: free space, then repeat")
	// ErrReadOnly: the database cannot be written.
	ErrReadOnly = errors.New("the database is read-only: open it for writing; of a file, check the rights on it and on its directory")
	// ErrReplica: the server is a standby, which cannot be written, and whose
	// answers may be out of date.
	ErrReplica = errors.New("the server is a replica: connect to the primary (most drivers have target_session_attrs=read-write)")
	// ErrCorrupt: the file is damaged or is no database.
	ErrCorrupt = errors.New("the database is damaged or is no SQLite file: restore it from a backup")
	// ErrIO: reading or writing the disk failed.
	ErrIO = errors.New("the disk failed")
	// ErrStopped: after a failed disk write nothing is written any more, since
	// what the file holds is in doubt until it is opened anew.
	ErrStopped = errors.New("writing stopped after a disk failure: close the *sql.DB, check the disk, and open it again")
	// ErrEngine: the engine or its settings cannot carry the promise.
	ErrEngine = errors.New("unusable engine or setting")
	// ErrSchema: the tables are not those this version of the library needs.
	ErrSchema = errors.New("unusable schema")
)

// An Error is what the calls of this package return. Err wraps one of the
// sentinels above, or the engine's own error.
type Error struct {
	Op        string          // what was asked, such as "open" or "tx"
	Known     outcome.Outcome // what is known of its effect
	Temporary bool            // whether the cause is likely to pass by itself
	Err       error
}

// Error returns "sqlstore: op: cause".
func (e *Error) Error() string { return "sqlstore: " + e.Op + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Outcome returns Known.
func (e *Error) Outcome() outcome.Outcome { return e.Known }

// Transient returns Temporary.
func (e *Error) Transient() bool { return e.Temporary }

func refused(op string, err error) error {
	return &Error{Op: op, Known: outcome.Refused, Err: err}
}

// SQLite's result codes (sqlite.org/rescode.html).
const (
	codeError      = 1
	codeBusy       = 5
	codeLocked     = 6
	codeNoMem      = 7
	codeReadOnly   = 8
	codeInterrupt  = 9
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeCantOpen   = 14
	codeConstraint = 19
	codeNotADB     = 26
	codeSnapshot   = 5 | 2<<8
)

// The messages of sqlite3_errstr, for drivers whose errors have no method
// Code() int.
var codeTexts = []struct {
	text string
	code int
}{
	{"database is locked", codeBusy},
	{"database table is locked", codeLocked},
	{"attempt to write a readonly database", codeReadOnly},
	{"disk I/O error", codeIO},
	{"database disk image is malformed", codeCorrupt},
	{"database or disk is full", codeFull},
	{"unable to open database file", codeCantOpen},
	{"constraint failed", codeConstraint},
	{"file is not a database", codeNotADB},
	{"out of memory", codeNoMem},
	{"interrupted", codeInterrupt},
}

// codeOf returns SQLite's extended result code in err, or 0. No driver is
// imported: theirs is the type in the chain that comes from a package named
// after SQLite.
func codeOf(err error) int {
	for err != nil {
		if t := reflect.TypeOf(err); strings.Contains(pkgPath(t), "sqlite") {
			if c, ok := err.(interface{ Code() int }); ok {
				return c.Code()
			}
			text := err.Error()
			for _, c := range codeTexts {
				if strings.Contains(text, c.text) {
					return c.code
				}
			}
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			for _, e := range x.Unwrap() {
				if c := codeOf(e); c != 0 {
					return c
				}
			}
			return 0
		default:
			return 0
		}
	}
	return 0
}

func pkgPath(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath()
}

// explain turns an error of the engine, met while nothing was committed, into
// an *Error whose outcome is known and whose text says what to do.
func explain(op string, known outcome.Outcome, err error) error {
	var ours *Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	e := &Error{Op: op, Known: known, Err: err}
	name := func(sentinel error) { e.Err = fmt.Errorf("%w: %w", sentinel, err) }
	if state := sqlState(err); state != "" {
		e.explainState(state)
		return e
	}
	switch c := codeOf(err); c & 0xff {
	case codeBusy, codeLocked:
		e.Temporary = true
		if c == codeSnapshot {
			name(ErrSnapshot)
		} else {
			name(ErrBusy)
		}
	case codeReadOnly:
		name(ErrReadOnly)
	case codeIO:
		name(ErrIO)
	case codeCorrupt, codeNotADB:
		name(ErrCorrupt)
	case codeFull:
		e.Temporary = true
		name(ErrDiskFull)
	case 0:
		if errors.Is(err, ErrBusy) || errors.Is(err, context.DeadlineExceeded) || cutOff(err) {
			e.Temporary = true
		}
	}
	return e
}

// explainRead is explain for a read, which never has an effect.
func explainRead(op string, err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return explain(op, outcome.Refused, err)
}
