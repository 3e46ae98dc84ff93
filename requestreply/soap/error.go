package soap

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is wrong with a message. Each is wrapped by a [*MessageError]; match
// with errors.Is.
var (
	// ErrLimit says that a message is longer, nests deeper or has more parts
	// than [Limits] allow.
	ErrLimit = errors.New("over the limit")
	// ErrForbidden says that a message has what SOAP 1.1 §3 forbids: a document
	// type, an entity of its own, or a processing instruction.
	ErrForbidden = errors.New("SOAP allows no document type, entity or processing instruction")
	// ErrCharset says that a message is not in UTF-8.
	ErrCharset = errors.New("want UTF-8")
	// ErrVersion says that an envelope is not one of SOAP 1.1.
	ErrVersion = errors.New("want an envelope of SOAP 1.1")
	// ErrMustUnderstand says that a header block which must be understood is
	// not among those that are (SOAP 1.1 §4.2.3).
	ErrMustUnderstand = errors.New("the header block must be understood, and is not")
	// ErrEmpty says that an answer holds no element where a Resp is wanted.
	ErrEmpty = errors.New("the answer is empty: where none is wanted, make Resp an empty struct")
)

// A MessageError says what is wrong with a message and where, and never
// repeats what stood there.
type MessageError struct {
	// Place is the path of elements to the fault, such as
	// "/Envelope/Body/order/line[2]/qty"; empty where none was reached.
	Place string
	// Offset is where in the message reading ended, in bytes.
	Offset int64
	// What says what is wanted at Place.
	What string
	// Err is one of the errors above, or nil.
	Err error
}

func (e *MessageError) Error() string {
	var b strings.Builder
	if e.Place != "" {
		b.WriteString(e.Place + ": ")
	} else {
		b.WriteString("byte " + strconv.FormatInt(e.Offset, 10) + ": ")
	}
	b.WriteString(e.What)
	if e.Err != nil {
		if e.What != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns Err.
func (e *MessageError) Unwrap() error { return e.Err }

// maxText is how much of a peer's text is kept or shown, in bytes.
const maxText = 1 << 10

// cut shortens s to maxText bytes, between runes.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// printable escapes what would let a peer's text forge log lines.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}
