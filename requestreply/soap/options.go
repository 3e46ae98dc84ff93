package soap

import (
	"encoding/xml"
	"log/slog"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/requestreply"
)

// Options configure a [Mux]. A nil *Options is legal; each field that is zero
// means its default.
type Options struct {
	// Limits bound a request. One that is over them is answered with a Client
	// fault that names the limit.
	Limits Limits
	// Timeout limits the answering of one request: the function's context ends
	// then. Defaults to 30 s; a negative value means no limit.
	Timeout time.Duration
	// AllowUnknown accepts elements the request type does not have. By default
	// they are answered with a Client fault that names the place.
	AllowUnknown bool
	// Unqualified says that in answers, elements whose tag has no namespace are
	// in none (elementFormDefault="unqualified"). By default they are in the
	// namespace of the element around them. Requests are read either way.
	Unqualified bool
	// Understands names the header blocks that the functions read with
	// [ReadBlock]. A request with any other block that must be understood is
	// answered with the MustUnderstand fault.
	Understands []xml.Name
	// Logger receives the errors no caller is told. Nil is silent.
	Logger *slog.Logger
	// Observer watches requests ("requestreply/soap.request"). Nil watches
	// nothing.
	Observer requestreply.Observer

	logs bool // there was a Logger
}

func (o *Options) withDefaults() Options {
	var v Options
	if o != nil {
		v = *o
	}
	v.Limits = v.Limits.withDefaults()
	v.Timeout = orDefault(v.Timeout, 30*time.Second)
	if v.logs = v.Logger != nil; !v.logs {
		v.Logger = slog.New(slog.DiscardHandler)
	}
	if v.Observer != nil { // who is not watched does not pay for it
		v.Observer = hook.Guard(v.Observer, v.Logger)
	}
	return v
}
