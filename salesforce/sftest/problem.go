package sftest

import "fmt"

// A problem is an error in the platform's words: an element of the array that
// REST answers with, and what Bulk writes into sf__Error.
type problem struct {
	status int // of HTTP; the default is 400
	code   string
	text   string
	fields []string
}

func (p *problem) Error() string { return p.code + ": " + p.text }

func wrong(code, format string, args ...any) *problem {
	return &problem{status: 400, code: code, text: fmt.Sprintf(format, args...)}
}

// of names the fields a problem is about. A problem of a record always lists
// them, if there are none too; one of a request does not.
func (p *problem) of(fields ...string) *problem {
	p.fields = append([]string{}, fields...)
	return p
}

// with sets the status of the answer.
func (p *problem) with(status int) *problem {
	p.status = status
	return p
}

func notFound() *problem {
	return wrong("NOT_FOUND", "The requested resource does not exist").with(404)
}

func noColumn(object, name string) *problem {
	return wrong("INVALID_FIELD", "No such column '%s' on sobject of type %s", name, object)
}
