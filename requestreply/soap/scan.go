package soap

import (
	"bytes"
	"fmt"
)

// scan looks through a message for what may not be in it and holds it against
// l, before encoding/xml makes anything of it: one start tag can hold all the
// attributes there is room for, and becomes one token. What is not well-formed
// is found out later.
func scan(data []byte, l Limits) error {
	s := scanner{data: data, limits: l}
	for s.at < len(data) {
		n := bytes.IndexByte(data[s.at:], '<')
		if n < 0 {
			n = len(data) - s.at
		}
		if err := s.references(data[s.at : s.at+n]); err != nil {
			return err
		}
		if s.at += n; s.at == len(data) {
			return nil
		}
		if err := s.markup(); err != nil {
			return err
		}
	}
	return nil
}

type scanner struct {
	data   []byte
	at     int
	depth  int
	tokens int
	limits Limits
}

func (s *scanner) fail(err error, format string, args ...any) error {
	return &MessageError{Offset: int64(s.at), What: fmt.Sprintf(format, args...), Err: err}
}

// markup passes what begins with the "<" at s.at.
func (s *scanner) markup() error {
	rest := s.data[s.at:]
	switch {
	case bytes.HasPrefix(rest, []byte("</")):
		s.depth--
		return s.past(">")
	case bytes.HasPrefix(rest, []byte("<!--")):
		if err := s.token(); err != nil {
			return err
		}
		s.at += len("<!--")
		return s.past("-->")
	case bytes.HasPrefix(rest, []byte("<![CDATA[")):
		if err := s.token(); err != nil {
			return err
		}
		return s.past("]]>")
	case bytes.HasPrefix(rest, []byte("<!")):
		return s.fail(ErrForbidden, "a document type or another declaration")
	case bytes.HasPrefix(rest, []byte("<?")):
		if s.at > 0 || len(rest) < 6 || !bytes.HasPrefix(rest, []byte("<?xml")) || !isSpace(rest[5]) {
			return s.fail(ErrForbidden, "a processing instruction")
		}
		return s.past("?>")
	}
	return s.start()
}

// past moves behind the next end.
func (s *scanner) past(end string) error {
	n := bytes.Index(s.data[s.at:], []byte(end))
	if n < 0 {
		return s.fail(nil, "the message ends inside of markup")
	}
	s.at += n + len(end)
	return nil
}

func (s *scanner) token() error {
	if s.tokens++; over(s.tokens, s.limits.Tokens) {
		return s.fail(ErrLimit, "more than %d elements, comments and CDATA sections", s.limits.Tokens)
	}
	return nil
}

// start passes a start tag, and counts the quoted values in it: encoding/xml
// takes no attribute without one.
func (s *scanner) start() error {
	if err := s.token(); err != nil {
		return err
	}
	if s.depth++; over(s.depth, s.limits.Depth) {
		return s.fail(ErrLimit, "nested more than %d deep", s.limits.Depth)
	}
	attributes := 0
	for i := s.at + 1; i < len(s.data); i++ {
		switch c := s.data[i]; c {
		case '>':
			if s.data[i-1] == '/' {
				s.depth--
			}
			s.at = i + 1
			return nil
		case '"', '\'':
			if attributes++; over(attributes, s.limits.Attributes) {
				return s.fail(ErrLimit, "an element with more than %d attributes", s.limits.Attributes)
			}
			n := bytes.IndexByte(s.data[i+1:], c)
			if n < 0 {
				return s.fail(nil, "the message ends inside of an attribute")
			}
			if err := s.references(s.data[i+1 : i+1+n]); err != nil {
				return err
			}
			i += n + 1
		}
	}
	return s.fail(nil, "the message ends inside of a tag")
}

// references looks for entities other than the five of XML itself.
func (s *scanner) references(text []byte) error {
	for {
		n := bytes.IndexByte(text, '&')
		if n < 0 {
			return nil
		}
		text = text[n+1:]
		if len(text) > 0 && text[0] == '#' {
			continue
		}
		known := false
		for _, name := range []string{"amp;", "lt;", "gt;", "quot;", "apos;"} {
			known = known || bytes.HasPrefix(text, []byte(name))
		}
		if !known {
			return s.fail(ErrForbidden, "an entity that is not one of XML's own")
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
