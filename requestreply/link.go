package requestreply

import (
	"errors"
	"net/http"
	"strings"
)

// nextLink returns the target of the link with relation type "next" in the
// Link fields of h, empty if there is none (RFC 8288 §3, and §B.2 for how a
// field is read). What does not parse is an error: a list that ends because
// nobody could read where it goes on would look complete. Links about another
// resource (those with an anchor) say nothing of this list.
func nextLink(h http.Header) (string, error) {
	next, found := "", false
	for _, field := range h.Values("Link") {
		for s := skip(field); s != ""; s = skip(s) {
			l, rest, err := readLink(s)
			if err != nil {
				return "", err
			}
			s = rest
			if !l.next || l.anchored {
				continue
			}
			if found && l.target != next {
				return "", errors.New("the Link header names two next pages")
			}
			next, found = l.target, true
		}
	}
	if found && next == "" {
		return "", errors.New("the Link header names an empty next page")
	}
	return next, nil
}

// skip passes over what may stand between links: white space and commas.
func skip(s string) string { return strings.TrimLeft(s, " \t,") }

type link struct {
	target   string
	next     bool
	anchored bool
}

var errLink = errors.New("the Link header does not parse")

// readLink reads one link from the start of s.
func readLink(s string) (l link, rest string, err error) {
	if s[0] != '<' {
		return l, "", errLink
	}
	var ok bool
	if l.target, s, ok = strings.Cut(s[1:], ">"); !ok {
		return l, "", errLink
	}
	l.target = strings.TrimSpace(l.target)
	related := false // only the first rel counts (§3.3)
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] == ',' {
			return l, s, nil
		}
		if s[0] != ';' {
			return l, "", errLink
		}
		var name, value string
		if name, value, s, err = readParam(s[1:]); err != nil {
			return l, "", err
		}
		switch {
		case strings.EqualFold(name, "anchor"):
			l.anchored = true
		case strings.EqualFold(name, "rel") && !related:
			related = true
			for t := range strings.FieldsSeq(value) {
				l.next = l.next || strings.EqualFold(t, "next")
			}
		}
	}
}

// readParam reads one parameter, whose value may be absent, bare or in quotes.
func readParam(s string) (name, value, rest string, err error) {
	s = strings.TrimLeft(s, " \t")
	end := strings.IndexAny(s, "=;,")
	if end < 0 {
		return s, "", "", nil
	}
	name = strings.TrimRight(s[:end], " \t")
	if s[end] != '=' {
		return name, "", s[end:], nil
	}
	s = strings.TrimLeft(s[end+1:], " \t")
	if !strings.HasPrefix(s, `"`) {
		if end = strings.IndexAny(s, ";,"); end < 0 {
			end = len(s)
		}
		return name, strings.TrimRight(s[:end], " \t"), s[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return name, b.String(), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				return "", "", "", errLink
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", "", errLink // the quote is not closed
}
