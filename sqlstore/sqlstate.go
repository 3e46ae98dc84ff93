package sqlstore

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// Codes of PostgreSQL (postgresql.org/docs/current/errcodes-appendix.html).
const (
	stateSerialization     = "40001"
	stateCompletionUnknown = "40003"
	stateDeadlock          = "40P01"
)

// sqlState returns the SQLSTATE in err, or "". No driver is imported: pgx and pq
// have the same method on their errors.
func sqlState(err error) string {
	var e interface{ SQLState() string }
	if err != nil && errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// cutOff reports whether err is the loss of a connection, or that none could be
// made: what passes by itself, as against a value that the driver cannot encode.
func cutOff(err error) bool {
	var n net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, net.ErrClosed) || errors.As(err, &n) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.HasSuffix(err.Error(), "conn closed")
}

// explainState completes e from the server's code.
func (e *Error) explainState(state string) {
	err := e.Err
	name := func(sentinel error) {
		if !errors.Is(err, sentinel) {
			e.Err = fmt.Errorf("%w: %w", sentinel, err)
		}
	}
	switch state {
	case stateSerialization:
		e.Temporary = true
		name(ErrSnapshot)
	case stateDeadlock, "55P03", "57014": // lock_not_available, query_canceled
		e.Temporary = true
		name(ErrBusy)
	case "53100":
		e.Temporary = true
		name(ErrDiskFull)
	case "25006": // read_only_sql_transaction, as after a failover
		name(ErrReadOnly)
	case "58030":
		name(ErrIO)
	case "XX001", "XX002":
		name(ErrCorrupt)
	case "42P01", "42703", "42P07": // a table or column that is not there, or is there already
		name(ErrSchema)
	case "22021":
		e.Err = fmt.Errorf("text must be valid UTF-8 without zero bytes: %w", err)
	default:
		switch state[:min(2, len(state))] {
		case "08", "53", "57": // connection, resources, shutdown
			e.Temporary = true
		}
	}
}
