package soap

import (
	"encoding/xml"
	"maps"
	"strings"

	"github.com/crosstie/crosstie/outcome"
)

// A Fault is an error in the form of SOAP 1.1 §4.4. A failed [Endpoint] call
// wraps the one that answered it (find it with errors.AsType); a function
// served by a [Mux] returns one to choose what its caller is answered.
//
// What a Fault read from the wire holds is bounded by the [Limits] of its
// message, its texts by 1 KiB each.
type Fault struct {
	// Code says whose fault it is: "Client" if the message is wrong and must
	// not be sent again as it is, "Server" if it may succeed later. What
	// follows a dot says more ("Client.Quantity"). Also "MustUnderstand" and
	// "VersionMismatch". Empty, in an answer, is "Server".
	Code string
	// Space is the namespace of a Code that is not one of SOAP's, such as
	// Salesforce's INVALID_SESSION_ID. It is empty for SOAP's own, and for one
	// that was sent without a namespace.
	Space string
	// Text explains it to people (faultstring).
	Text string
	// Actor is the URI of who on the way found the fault; empty means whoever
	// was called.
	Actor string
	// Known is what the answering side says of the effect, the text of an
	// outcome.Outcome, where the code alone would say something else; empty
	// says nothing. It travels as an entry of the detail.
	Known string
	// Detail, in an answer, is what encoding/xml makes an entry of the detail
	// of: a struct whose XMLName has a namespace, or a slice of such; nil for
	// none. Of a Fault that was received, [Fault.In] reads the entries.
	Detail any

	entries []element
}

// The codes of SOAP 1.1 §4.4.1.
const (
	codeClient  = "Client"
	codeServer  = "Server"
	codeMust    = "MustUnderstand"
	codeVersion = "VersionMismatch"
)

// Error returns code and text, with control characters escaped.
func (f *Fault) Error() string {
	s := "fault " + printable(cut(orText(f.Code, codeServer)))
	if f.Text != "" {
		s += ": " + printable(cut(f.Text))
	}
	return s
}

// In reads the entry of a received Fault's detail that v, a pointer to a
// struct, is named for by its XMLName, and returns false if there is none.
// An error is a [*MessageError], or says what is wrong with the type of v.
func (f *Fault) In(v any) (bool, error) { return find(f.entries, v, false) }

// class is the first part of a code of SOAP's own, empty for another's.
func (f *Fault) class() string {
	if f.Space != "" {
		return ""
	}
	switch c, _, _ := strings.Cut(f.Code, "."); c {
	case codeClient, codeServer, codeMust, codeVersion:
		return c
	}
	return ""
}

var outcomeName = xml.Name{Space: ourSpace, Local: "outcome"}

// said reads Known.
func (f *Fault) said() (outcome.Outcome, bool) {
	for _, o := range []outcome.Outcome{outcome.Unknown, outcome.Refused, outcome.Applied} {
		if f.Known == o.String() {
			return o, true
		}
	}
	return outcome.Unknown, false
}

// fault reads the Fault whose start was read. Its children have no namespace
// by §4.4, and the envelope's in the messages of some.
func (p *parser) fault() (*Fault, error) {
	var f Fault
	seen := map[string]bool{}
	for {
		t, err := p.element()
		if t == nil || err != nil {
			return &f, err
		}
		local := t.Name.Local
		if t.Name.Space != "" && t.Name.Space != envelopeSpace || seen[local] {
			return nil, p.wrong("a Fault has no such element, or not twice")
		}
		seen[local] = true
		switch local {
		case "faultcode":
			ns := maps.Clone(p.ns) // a code is a name in the scope of its element
			var text string
			text, err = p.text(*t)
			code := qname(text, ns)
			if f.Code, f.Space = code.Local, code.Space; f.Space == envelopeSpace {
				f.Space = ""
			}
		case "faultstring":
			f.Text, err = p.text(*t)
		case "faultactor":
			f.Actor, err = p.text(*t)
		case "detail":
			err = p.detail(&f)
		default:
			err = p.wrong("a Fault has no such element, or not twice")
		}
		if err != nil {
			return nil, err
		}
	}
}

// text reads the rest of the element that t began.
func (p *parser) text(t xml.StartElement) (string, error) {
	e, err := p.keep(t)
	return cut(e.text()), err
}

func (p *parser) detail(f *Fault) error {
	for {
		tok, err := p.next()
		if err != nil {
			return err
		}
		switch t := tok.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement: // text beside entries is what old servers send, and says nothing
			e, err := p.keep(t)
			if err != nil {
				return err
			}
			if e.name == outcomeName {
				f.Known = cut(e.text())
			}
			f.entries = append(f.entries, e)
		}
	}
}

func orText(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
