package uiupdatetest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// An Event is one event of a stream, as the HTML standard (section 9.2) cuts
// it out of the bytes.
type Event struct {
	// Type is the event's name; ID its id, and HasID whether it had one.
	Type  string
	ID    string
	HasID bool
	Data  string
	// Retry is set by an event that has nothing but a retry field.
	Retry time.Duration
	// Raw has the bytes, with the empty line that ends them.
	Raw []byte
}

// ErrCut says that a stream ended inside an event. A browser drops what it
// has of such an event.
var ErrCut = errors.New("the stream ended inside an event")

// ReadEvent reads one event. It is stricter than a browser: a field that no
// event of this pattern has, a line break other than LF, and bytes that are
// not UTF-8 are errors. Comments are skipped. At a clean end it returns
// io.EOF, inside an event [ErrCut].
func ReadEvent(r *bufio.Reader) (Event, error) {
	var e Event
	var data []string
	for fields := 0; ; {
		line, err := r.ReadBytes('\n')
		e.Raw = append(e.Raw, line...)
		if err != nil {
			if errors.Is(err, io.EOF) && len(e.Raw) > 0 {
				err = ErrCut
			}
			return e, err
		}
		line = line[:len(line)-1]
		switch {
		case bytes.IndexByte(line, '\r') >= 0:
			return e, fmt.Errorf("a carriage return in line %q: it forges fields", line)
		case !utf8.Valid(line):
			return e, fmt.Errorf("line %q is not UTF-8", line)
		case len(line) == 0 && fields > 0:
			e.Data = strings.Join(data, "\n")
			return e, nil
		case len(line) == 0:
			e.Raw = e.Raw[:0]
			continue
		case line[0] == ':':
			continue
		}
		fields++
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			e.Type = value
		case "data":
			data = append(data, value)
		case "id":
			if strings.Contains(value, "\x00") {
				return e, fmt.Errorf("id %q has a NUL: a browser ignores it", value)
			}
			e.ID, e.HasID = value, true
		case "retry":
			ms, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return e, fmt.Errorf("retry %q is no number of milliseconds", value)
			}
			e.Retry = time.Duration(ms) * time.Millisecond
		default:
			return e, fmt.Errorf("unknown field %q", name)
		}
	}
}
