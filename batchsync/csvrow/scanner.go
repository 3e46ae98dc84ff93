package csvrow

import (
	"bytes"
	"errors"
	"io"
)

// A scanner cuts CSV into records. It differs from encoding/csv where a sync
// needs it: a record has a largest size, line endings inside quotes stay as
// they are, an empty cell knows whether it was quoted, an empty line is a row
// where there is one column, and after a broken record it goes on.
type scanner struct {
	r     io.Reader
	comma byte
	max   int // bytes of a record

	buf      []byte
	pos, end int   // buf[pos:end] is read and not consumed
	base     int64 // offset of buf[0]
	line     int   // line of buf[pos], from 1
	err      error // of r; io.EOF included

	one     bool // one column: an empty line is a row
	keep    int  // fields kept of a record; more are only counted
	fields  []field
	count   int    // fields in the record
	rec     []byte // the record, without its line ending
	recLine int    // its first line
	recCut  bool   // rec is only the beginning of a line that is too long
	scratch []byte // unquoted text of fields with doubled quotes
}

// A field is a cell of the record: rec[start:end], or scratch[start:end].
type field struct {
	start, end int
	unescaped  bool // it is in scratch
	quoted     bool
	line, char int
}

// A fault is a record that is not CSV, or is too large.
type fault struct {
	line, char int
	column     int // index of the field
	why        string
}

var (
	whyBare     = `a quote inside a cell that does not begin with one: quote the whole cell and double the quotes in it`
	whyAfter    = `text after the closing quote: a quote inside a quoted cell must be doubled`
	whyUnclosed = `a quote is opened and never closed: only this line was given up`
	whyLong     = `the record is larger than Options.MaxRecord`
)

func newScanner(r io.Reader, o *Options) *scanner {
	return &scanner{r: r, comma: o.comma(), max: o.maxRecord(), line: 1, keep: 1 << 20}
}

// restart goes on with r, which is at offset and line of the same file.
func (s *scanner) restart(r io.Reader, offset int64, line int) {
	s.r, s.base, s.line, s.pos, s.end, s.err = r, offset, line, 0, 0, nil
}

// offset returns where the next record begins.
func (s *scanner) offset() int64 { return s.base + int64(s.pos) }

func (s *scanner) cell(f field) []byte {
	if f.unescaped {
		return s.scratch[f.start:f.end]
	}
	return s.rec[f.start:f.end]
}

// more reads on, moving buf[pos:end] to the front of buf if that is needed.
// It answers false at the end of the input or when reading failed.
func (s *scanner) more() bool {
	if s.err != nil {
		return false
	}
	if s.pos > 0 && s.end == len(s.buf) {
		s.base += int64(s.pos)
		s.end = copy(s.buf, s.buf[s.pos:s.end])
		s.pos = 0
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, max(64<<10, len(s.buf)))...)
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// atEnd reports whether nothing is left. What is known of the text before the
// position is gone after it.
func (s *scanner) atEnd() bool { return s.pos == s.end && !s.more() && s.err == io.EOF }

// lineEnd returns the length of the line that begins at from, counted from
// pos, with its line ending; long says that it passes max and is not all read.
func (s *scanner) lineEnd(from int) (n int, long bool) {
	searched := from
	for {
		if i := bytes.IndexByte(s.buf[s.pos+searched:s.end], '\n'); i >= 0 {
			n = searched + i + 1
			return n, n > s.max+1
		}
		searched = s.end - s.pos
		if searched > s.max {
			return searched, true
		}
		if !s.more() {
			return s.end - s.pos, false
		}
	}
}

// broken reports whether reading failed before the n bytes were a whole line.
func (s *scanner) broken(n int) bool {
	return s.err != nil && s.err != io.EOF && (n == 0 || s.buf[s.pos+n-1] != '\n')
}

// next reads the next record into fields and rec. It returns io.EOF at the
// end. After a fault, rec is the line that was given up, or its beginning.
func (s *scanner) next() (*fault, error) {
	for {
		s.fields, s.count, s.scratch, s.recLine, s.recCut = s.fields[:0], 0, s.scratch[:0], s.line, false
		n, long := s.lineEnd(0)
		if s.broken(n) {
			return nil, s.err
		}
		if n == 0 {
			return nil, io.EOF
		}
		if long {
			return s.tooLong(0)
		}
		line := trimEnd(s.buf[s.pos : s.pos+n])
		if len(line) == 0 && !s.one {
			s.pos += n
			s.line++
			continue
		}
		if bytes.IndexByte(line, '"') >= 0 {
			return s.quoted()
		}
		s.plain(line)
		s.rec = line
		s.pos += n
		s.line++
		return nil, nil
	}
}

// trimEnd cuts the line ending; like encoding/csv it takes a lone CR at the
// end of the input for one.
func trimEnd(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

func (s *scanner) add(f field) {
	if s.count < s.keep {
		s.fields = append(s.fields, f)
	}
	s.count++
}

func (s *scanner) plain(line []byte) {
	at := 0
	for {
		i := bytes.IndexByte(line[at:], s.comma)
		if i < 0 {
			s.add(field{start: at, end: len(line), line: s.line, char: at + 1})
			return
		}
		s.add(field{start: at, end: at + i, line: s.line, char: at + 1})
		at += i + 1
	}
}

// quoted reads a record whose first line has a quote. All places in it are
// counted from pos, since more may move what is in buf.
func (s *scanner) quoted() (*fault, error) {
	at, line, lineStart := 0, s.line, 0
	for {
		if s.have(at) && s.buf[s.pos+at] == '"' {
			f := field{start: at + 1, quoted: true, line: line, char: at - lineStart + 1}
			from := at + 1
			for { // to the closing quote
				i := -1
				for searched := from; ; {
					if i = bytes.IndexByte(s.buf[s.pos+searched:s.end], '"'); i >= 0 {
						i += searched
						break
					}
					searched = s.end - s.pos
					if searched > s.max {
						return s.giveUp(fault{f.line, f.char, s.count, whyLong + ", or " + whyUnclosed})
					}
					if !s.more() {
						if s.err != io.EOF {
							return nil, s.err
						}
						return s.giveUp(fault{f.line, f.char, s.count, whyUnclosed})
					}
				}
				seg := s.buf[s.pos+from : s.pos+i]
				if n := bytes.Count(seg, []byte{'\n'}); n > 0 {
					line += n
					lineStart = from + bytes.LastIndexByte(seg, '\n') + 1
				}
				if s.have(i+1) && s.buf[s.pos+i+1] == '"' {
					if !f.unescaped {
						// The text so far moves to scratch, without the second quote.
						text := s.buf[s.pos+f.start : s.pos+i+1]
						f.unescaped, f.start = true, len(s.scratch)
						s.scratch = append(s.scratch, text...)
					} else {
						s.scratch = append(s.scratch, s.buf[s.pos+from:s.pos+i+1]...)
					}
					from = i + 2
					continue
				}
				if f.unescaped {
					s.scratch = append(s.scratch, s.buf[s.pos+from:s.pos+i]...)
					f.end = len(s.scratch)
				} else {
					f.end = i
				}
				s.add(f)
				at = i + 1
				break
			}
			switch {
			case !s.have(at):
				return s.finish(at, at, line)
			case s.buf[s.pos+at] == s.comma:
				at++
				continue
			case s.buf[s.pos+at] == '\n':
				return s.finish(at, at+1, line)
			case s.buf[s.pos+at] == '\r' && !s.have(at+1):
				if s.err != io.EOF {
					return nil, s.err
				}
				return s.finish(at, at+1, line)
			case s.buf[s.pos+at] == '\r' && s.buf[s.pos+at+1] == '\n':
				return s.finish(at, at+2, line)
			}
			return s.giveUp(fault{line, at - lineStart + 1, s.count - 1, whyAfter})
		}
		n, long := s.lineEnd(at)
		if s.broken(n) {
			return nil, s.err
		}
		if long {
			return s.tooLong(s.count)
		}
		rest := trimEnd(s.buf[s.pos+at : s.pos+n])
		i := bytes.IndexByte(rest, s.comma)
		text := rest
		if i >= 0 {
			text = rest[:i]
		}
		if q := bytes.IndexByte(text, '"'); q >= 0 {
			return s.giveUp(fault{line, at + q - lineStart + 1, s.count, whyBare})
		}
		s.add(field{start: at, end: at + len(text), line: line, char: at - lineStart + 1})
		if i < 0 {
			return s.finish(at+len(rest), n, line)
		}
		at += i + 1
	}
}

// have reports whether there is a byte at place at.
func (s *scanner) have(at int) bool {
	for s.pos+at >= s.end {
		if !s.more() {
			return false
		}
	}
	return true
}

func (s *scanner) finish(end, next, line int) (*fault, error) {
	if next == end && s.err != io.EOF {
		return nil, s.err // not the end of the input, but of what could be read
	}
	if end > s.max {
		return s.giveUp(fault{s.recLine, 1, 0, whyLong})
	}
	s.rec = s.buf[s.pos : s.pos+end]
	s.pos += next
	s.line = line + 1
	return nil, nil
}

// giveUp consumes the first line of the record only: where quotes do not add
// up nobody knows where the record ends, and what follows is read as rows
// rather than swallowed.
func (s *scanner) giveUp(f fault) (*fault, error) {
	n, long := s.lineEnd(0)
	if s.broken(n) {
		return nil, s.err
	}
	if long {
		return s.tooLong(f.column)
	}
	s.rec = trimEnd(s.buf[s.pos : s.pos+n])
	s.pos += n
	s.line++
	return &f, nil
}

// tooLong consumes a line of which only a part is in buf.
func (s *scanner) tooLong(column int) (*fault, error) {
	rec := bytes.Clone(s.buf[s.pos:min(s.end, s.pos+rawKept)])
	if i := bytes.IndexByte(rec, '\n'); i >= 0 {
		rec = trimEnd(rec[:i+1])
	}
	whole := 0 // length of the line, as far as it was in buf at first
	for {
		i := bytes.IndexByte(s.buf[s.pos:s.end], '\n')
		if whole == 0 {
			whole = len(trimEnd(s.buf[s.pos : s.pos+i+1]))
			if i < 0 {
				whole = s.end - s.pos
			}
		} else {
			whole = len(rec) + 1
		}
		if i >= 0 {
			s.pos += i + 1
			break
		}
		s.base += int64(s.end)
		s.pos, s.end = 0, 0
		if !s.more() {
			if s.err != io.EOF {
				return nil, s.err
			}
			break
		}
	}
	s.rec, s.recCut = rec, whole > len(rec)
	s.line++
	return &fault{s.recLine, 1, column, whyLong}, nil
}

// rawKept is how much of a record that could not be read is shown.
const rawKept = 64 << 10

// skipMark passes a UTF-8 byte-order mark and refuses other encodings.
func (s *scanner) skipMark() error {
	for s.end < 4 && s.more() {
	}
	head := s.buf[s.pos:s.end]
	switch {
	case bytes.HasPrefix(head, []byte{0xEF, 0xBB, 0xBF}):
		s.pos += 3
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}), bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		return ErrEncoding
	case len(head) >= 2 && (head[0] == 0) != (head[1] == 0):
		return ErrEncoding // UTF-16 without a mark
	}
	return nil
}

var errBareCR = errors.New("the lines end in CR alone: save the file with LF or CRLF line endings")
