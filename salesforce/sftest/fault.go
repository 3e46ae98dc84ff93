package sftest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// A FaultKind is what a fault does to a call.
type FaultKind string

// The kinds of faults.
const (
	// FaultDelay waits for Fault.Delay and then goes on, also when the client
	// has gone meanwhile: what a client gives up on may still be applied.
	FaultDelay FaultKind = "delay"
	// FaultError answers with an error in the platform's form, of Fault.Status,
	// Code and Message.
	FaultError FaultKind = "error"
	// FaultHTML answers with a page, as a proxy or a login page does, under
	// Fault.Status.
	FaultHTML FaultKind = "html"
	// FaultDropRequest closes the connection before the call has an effect.
	FaultDropRequest FaultKind = "drop-request"
	// FaultDropResponse closes the connection after the call had its effect.
	FaultDropResponse FaultKind = "drop-response"
	// FaultTruncate sends half of the answer's body, and closes the connection. An
	// answer without a body arrives whole.
	FaultTruncate FaultKind = "truncate"
	// FaultExpire ends every session just before the call.
	FaultExpire FaultKind = "expire"
	// FaultLimit answers that the day's allowance of calls is used up.
	FaultLimit FaultKind = "limit"
	// FaultLock answers that a row is locked by another transaction.
	FaultLock FaultKind = "lock"
)

// A Fault makes calls fail. The zero values of its fields hit the next call,
// whatever it is, once.
type Fault struct {
	// Kind says what happens.
	Kind FaultKind `json:"kind"`
	// On is the call that is hit. Default: any but logins and the list of
	// versions, and no message that the org sends.
	On Op `json:"on,omitempty"`
	// Object limits the fault to calls that name this sObject, and to rows and
	// jobs of it. Default: any.
	Object string `json:"object,omitempty"`
	// Skip lets so many calls pass that would be hit. Default 0.
	Skip int `json:"skip,omitempty"`
	// Times is how many calls are hit. Default 1; negative: all from then on.
	Times int `json:"times,omitempty"`
	// Ratio is the share of calls that are hit, of those that would be, chosen
	// by the seed of the org: above 0, up to 1. Default 1.
	Ratio float64 `json:"ratio,omitempty"`
	// After lets the call have its effect first: the answer alone is lost. It
	// has a meaning for FaultError and FaultHTML.
	After bool `json:"after,omitempty"`
	// Status is that of the answer. Default 503 for FaultError, 200 for
	// FaultHTML.
	Status int `json:"status,omitempty"`
	// Code and Message are those of a FaultError. Default SERVER_UNAVAILABLE
	// for 503, UNKNOWN_EXCEPTION else.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// RetryAfter is sent with a FaultError, as whole seconds. Default: none.
	RetryAfter time.Duration `json:"-"`
	// Delay is how long a FaultDelay waits.
	Delay time.Duration `json:"-"`
}

// Fault plants faults. Each is asked in the order of planting; every delay that
// fits is waited for, and of the others the first that fits hits. The error
// says which fault makes no sense, and then none is planted.
func (o *Org) Fault(faults ...Fault) error {
	for i, f := range faults {
		if err := f.check(); err != nil {
			return fmt.Errorf("sftest: fault %d: %w", i, err)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range faults {
		o.faults = append(o.faults, f.orDefault())
	}
	return nil
}

// ClearFaults takes every fault away that was planted.
func (o *Org) ClearFaults() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = nil
}

func (f Fault) check() error {
	switch f.Kind {
	case FaultDelay, FaultError, FaultHTML, FaultDropRequest, FaultDropResponse, FaultTruncate, FaultExpire, FaultLimit, FaultLock:
	default:
		return fmt.Errorf("kind %q is none of the kinds", f.Kind)
	}
	switch {
	case f.Skip < 0:
		return fmt.Errorf("skip %d: 0 or more", f.Skip)
	case f.Ratio < 0 || f.Ratio > 1 || f.Ratio != f.Ratio:
		return fmt.Errorf("ratio %v: above 0, up to 1", f.Ratio)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d: 200 to 599", f.Status)
	case f.Delay < 0 || f.RetryAfter < 0:
		return fmt.Errorf("a negative time")
	case f.On == OpBulkRow && f.Kind != FaultError && f.Kind != FaultLock:
		return fmt.Errorf("%s cannot hit a row of a job: %s and %s can", f.Kind, FaultError, FaultLock)
	case f.On == OpOutbound && f.Kind != FaultDelay && f.Kind != FaultDropRequest && f.Kind != FaultDropResponse:
		return fmt.Errorf("%s cannot hit what the org sends: %s, %s and %s can", f.Kind, FaultDelay, FaultDropRequest, FaultDropResponse)
	case f.On == OpBulkRun && f.Kind != FaultError:
		return fmt.Errorf("%s cannot hit the run of a job: %s can, and fails it", f.Kind, FaultError)
	}
	return nil
}

func (f Fault) orDefault() *Fault {
	if f.Times == 0 {
		f.Times = 1
	}
	switch {
	case f.Kind == FaultHTML && f.Status == 0:
		f.Status = http.StatusOK
	case f.Status == 0:
		f.Status = http.StatusServiceUnavailable
	}
	if f.Code == "" {
		f.Code = "UNKNOWN_EXCEPTION"
		if f.Status == http.StatusServiceUnavailable {
			f.Code = "SERVER_UNAVAILABLE"
		}
	}
	if f.Message == "" {
		f.Message = map[string]string{
			"SERVER_UNAVAILABLE": "The server is temporarily unavailable. Please try again later.",
			"UNKNOWN_EXCEPTION":  "An unexpected error occurred. Please include this ErrorId if you contact support: 1",
		}[f.Code]
	}
	return &f
}

// hits says whether the fault hits, and counts that; the lock is held.
func (f *Fault) hits(op Op, object string, r *rand.Rand) bool {
	switch {
	case f.Times == 0,
		f.On != "" && f.On != op,
		f.On == "" && (op == OpToken || op == OpVersions || op == OpBulkRow || op == OpBulkRun || op == OpOutbound),
		f.Object != "" && !strings.EqualFold(f.Object, object):
		return false
	case f.Skip > 0:
		f.Skip--
		return false
	case f.Ratio > 0 && r.Float64() >= f.Ratio:
		return false
	}
	if f.Times > 0 {
		f.Times--
	}
	return true
}

// hit finds what happens to a call: how long it waits first, and the fault that
// hits it, or nil.
func (o *Org) hit(op Op, object string) (time.Duration, *Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hitLocked(op, object)
}

func (o *Org) hitLocked(op Op, object string) (delay time.Duration, hit *Fault) {
	for _, f := range o.faults {
		if f.Kind != FaultDelay && hit != nil || !f.hits(op, object, o.rand) {
			continue
		}
		if f.Kind == FaultDelay {
			delay += f.Delay
		} else {
			hit = f
		}
	}
	return delay, hit
}

// problem is what a FaultError, a FaultLimit and a FaultLock say.
func (f *Fault) problem() *problem {
	switch f.Kind {
	case FaultLimit:
		return limitExceeded()
	case FaultLock:
		return wrong("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record").of()
	}
	return wrong(f.Code, "%s", f.Message).with(f.Status)
}

// before is the answer of a fault that keeps a call from its effect, or nil.
func (f *Fault) before() *answer {
	switch {
	case f.Kind == FaultDropRequest:
		return &answer{drop: true}
	case f.Kind == FaultLimit, f.Kind == FaultLock, f.Kind == FaultError && !f.After:
		a := f.refuse()
		return &a
	case f.Kind == FaultHTML && !f.After:
		a := f.page()
		return &a
	}
	return nil
}

// after changes the answer of a call that has had its effect.
func (f *Fault) after(a answer) answer {
	switch f.Kind {
	case FaultDropResponse:
		a.drop = true
	case FaultTruncate:
		a.cut = true
	case FaultError:
		b := f.refuse()
		b.applied = a.applied
		return b
	case FaultHTML:
		b := f.page()
		b.applied = a.applied
		return b
	}
	return a
}

func (f *Fault) refuse() answer {
	a := refuse(f.problem())
	if s := int(f.RetryAfter.Round(time.Second).Seconds()); s > 0 && f.Kind == FaultError {
		a.header = map[string]string{"Retry-After": fmt.Sprint(s)}
	}
	return a
}

func (f *Fault) page() answer {
	return text(f.Status, "text/html; charset=UTF-8", "<!DOCTYPE html>\n<html><head><title>Login | Salesforce</title></head><body><form id=\"login_form\" method=\"post\"></form></body></html>\n")
}
