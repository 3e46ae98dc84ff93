package requestreply

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"reflect"

	"github.com/crosstie/crosstie/outcome"
)

// byCode reads the errors of gRPC and database/sql by their shape, so that
// neither grpc nor a driver is imported.
func byCode(err error) (o outcome.Outcome, transient, ok bool) {
	if code, ok := grpcCode(err); ok {
		o, transient = outcome.GRPC(code)
		return o, transient, true
	}
	// pgconn says so of what failed before a byte was sent.
	if s, ok := errors.AsType[interface {
		error
		SafeToRetry() bool
	}](err); ok && s.SafeToRetry() {
		return outcome.NotSent, true, true
	}
	if s, ok := errors.AsType[sqlStater](err); ok {
		if o, transient, known := outcome.SQLState(s.SQLState()); known {
			return o, transient, true
		}
		return outcome.Unknown, true, true
	}
	switch {
	case errors.Is(err, driver.ErrBadConn): // its contract; database/sql itself repeats upon it
		return outcome.NotSent, true, true
	case errors.Is(err, sql.ErrConnDone):
		return outcome.NotSent, false, true
	case errors.Is(err, sql.ErrNoRows):
		return outcome.Refused, false, true
	}
	return outcome.Unknown, false, false
}

// A sqlStater is what pgconn.PgError and pq.Error are.
type sqlStater interface {
	error
	SQLState() string
}

// grpcCode finds the code of an error with a method GRPCStatus, whose result
// has a method Code: the shape of a grpc status, whose types we do not import.
func grpcCode(err error) (code uint32, ok bool) {
	defer func() {
		if recover() != nil { // a stranger's method, called by its name alone
			code, ok = 0, false
		}
	}()
	for err != nil {
		if c, ok := codeOf(reflect.ValueOf(err)); ok {
			return c, true
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			for _, b := range x.Unwrap() {
				if c, ok := grpcCode(b); ok {
					return c, true
				}
			}
			return 0, false
		default:
			return 0, false
		}
	}
	return 0, false
}

func codeOf(err reflect.Value) (uint32, bool) {
	m := err.MethodByName("GRPCStatus")
	if !m.IsValid() || m.Type().NumIn() != 0 || m.Type().NumOut() != 1 {
		return 0, false
	}
	m = m.Call(nil)[0].MethodByName("Code")
	if !m.IsValid() || m.Type().NumIn() != 0 || m.Type().NumOut() != 1 || m.Type().Out(0).Kind() != reflect.Uint32 {
		return 0, false
	}
	return uint32(m.Call(nil)[0].Uint()), true
}
