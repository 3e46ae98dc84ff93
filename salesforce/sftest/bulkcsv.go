package sftest

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxHeader  = 32_000  // characters of a header
	maxField   = 131_072 // characters of a field
	maxRecord  = 400_000 // characters of a record
	maxColumns = 5_000
)

// delimiters are the names of what columns may be parted by.
var delimiters = map[string]byte{"BACKQUOTE": '`', "CARET": '^', "COMMA": ',', "PIPE": '|', "SEMICOLON": ';', "TAB": '\t'}

// A csvForm is how the data of a job is written.
type csvForm struct {
	delimiter byte
	crlf      bool
}

// A csvRow is one record: as many cells as the header has; bad says why it
// cannot be used.
type csvRow struct {
	cells []string
	bad   string
}

// read takes the data of a job apart. A problem is one of the whole: then no
// row is written.
func (f csvForm) read(data []byte) (header []string, rows []csvRow, p *problem) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, nil, wrong("ClientInputError", "The data is not UTF-8")
	}
	s := &scanner{csvForm: f, data: data}
	for s.at < len(s.data) {
		at := s.at
		cells, bad, p := s.record()
		if p != nil {
			return header, nil, p
		}
		if header == nil {
			switch {
			case bad != "":
				return nil, nil, wrong("InvalidBatch", "%s", bad)
			case s.at-at > maxHeader:
				return nil, nil, wrong("InvalidBatch", "The header is longer than %d characters", maxHeader)
			case len(cells) > maxColumns:
				return nil, nil, wrong("InvalidBatch", "The header has more than %d columns", maxColumns)
			}
			header = cells
			continue
		}
		if len(cells) == 1 && cells[0] == "" && len(header) > 1 {
			continue // an empty line
		}
		if s.at-at > maxRecord && bad == "" {
			bad = fmt.Sprintf("The record is longer than %d characters", maxRecord)
		}
		if len(cells) != len(header) {
			if bad == "" {
				bad = fmt.Sprintf("The record has %d columns, the header has %d", len(cells), len(header))
			}
			cells = slices.Concat(cells, make([]string, len(header)))[:len(header)]
		}
		rows = append(rows, csvRow{cells, bad})
	}
	if header == nil {
		return nil, nil, wrong("InvalidBatch", "The data has no header")
	}
	return header, rows, nil
}

// A scanner walks through the data of a job.
type scanner struct {
	csvForm
	data []byte
	at   int
}

// ended says whether a line ends here, and steps over the end.
func (s *scanner) ended() (bool, *problem) {
	rest := s.data[s.at:]
	wrongEnd := func() *problem {
		name := "LF"
		if s.crlf {
			name = "CRLF"
		}
		return wrong("ClientInputError", "LineEnding is invalid on user data. Current LineEnding setting is %s", name)
	}
	switch {
	case len(rest) == 0:
		return true, nil
	case bytes.HasPrefix(rest, []byte("\r\n")):
		if !s.crlf {
			return false, wrongEnd()
		}
		s.at += 2
		return true, nil
	case rest[0] == '\n':
		if s.crlf {
			return false, wrongEnd()
		}
		s.at++
		return true, nil
	}
	return false, nil
}

// record reads one, up to the end of its line.
func (s *scanner) record() (cells []string, bad string, p *problem) {
	for {
		cell, odd, p := s.cell()
		if p != nil {
			return nil, "", p
		}
		if odd != "" && bad == "" {
			bad = odd
		}
		if utf8.RuneCountInString(cell) > maxField && bad == "" {
			bad = fmt.Sprintf("A field is longer than %d characters", maxField)
		}
		cells = append(cells, cell)
		if s.at < len(s.data) && s.data[s.at] == s.delimiter {
			s.at++
			continue
		}
		ended, p := s.ended()
		if p != nil {
			return nil, "", p
		}
		if ended {
			return cells, bad, nil
		}
	}
}

// cell reads one, up to what ends it; bad says what is odd about it.
func (s *scanner) cell() (cell, bad string, p *problem) {
	if s.at == len(s.data) || s.data[s.at] != '"' {
		cell = s.bare()
		if strings.Contains(cell, `"`) {
			bad = "A quote stands in a field that is not quoted, or beside a space"
		}
		return cell, bad, nil
	}
	var b strings.Builder
	begin := s.at
	s.at++
	for {
		n := bytes.IndexByte(s.data[s.at:], '"')
		if n < 0 {
			return "", "", wrong("InvalidBatch", "The quote at byte %d is never closed", begin)
		}
		b.Write(s.data[s.at : s.at+n])
		s.at += n + 1
		if s.at == len(s.data) || s.data[s.at] != '"' {
			break
		}
		b.WriteByte('"')
		s.at++
	}
	if tail := s.bare(); tail != "" {
		return b.String() + tail, "Text stands behind the closing quote of a field", nil
	}
	return b.String(), "", nil
}

// bare reads what is not quoted, up to a delimiter or the end of the line.
func (s *scanner) bare() string {
	begin := s.at
	for ; s.at < len(s.data); s.at++ {
		c := s.data[s.at]
		if c == s.delimiter || c == '\n' || c == '\r' && s.at+1 < len(s.data) && s.data[s.at+1] == '\n' {
			break
		}
	}
	return string(s.data[begin:s.at])
}

// results writes what became of the rows: everything quoted, and the header
// also when there is no row.
func (j *job) results(which string) []byte {
	b, delimiter := j.batch, j.table.delimiter
	var out bytes.Buffer
	line := func(cells ...string) {
		for i, c := range cells {
			if i > 0 {
				out.WriteByte(delimiter)
			}
			out.WriteByte('"')
			out.WriteString(strings.ReplaceAll(c, `"`, `""`))
			out.WriteByte('"')
		}
		out.WriteByte('\n')
	}
	if b == nil {
		b = &batch{}
	}
	switch which {
	case "successful":
		line(append([]string{"sf__Id", "sf__Created"}, b.header...)...)
		for _, v := range b.succeeded {
			line(append([]string{v.id, strconv.FormatBool(v.created)}, b.rows[v.row].cells...)...)
		}
	case "failed":
		line(append([]string{"sf__Id", "sf__Error"}, b.header...)...)
		for _, v := range b.failed {
			if j.version < 53 {
				v.id = "" // older versions never say it
			}
			line(append([]string{v.id, sfError(v.problem)}, b.rows[v.row].cells...)...)
		}
	default:
		line(b.header...)
		for _, r := range b.rows[b.next:] {
			line(r.cells...)
		}
	}
	return out.Bytes()
}
