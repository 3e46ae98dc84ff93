package soql

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// An Error says what is wrong with a query, and where.
type Error struct {
	At   int // byte offset
	Text string
}

func (e *Error) Error() string { return e.Text }

// Place gives the row and the column of an offset, from 1, and the row's text.
func Place(query string, at int) (row, column int, line string) {
	at = min(max(at, 0), len(query))
	begin := strings.LastIndexByte(query[:at], '\n') + 1
	line, _, _ = strings.Cut(query[begin:], "\n")
	return 1 + strings.Count(query[:at], "\n"), 1 + utf8.RuneCountInString(query[begin:at]), line
}

type kind int

const (
	end kind = iota
	word
	quoted
	figure // a number, a date or a datetime
	sign
)

// A token is a piece of a query; text is as written, but of a string what it
// stands for.
type token struct {
	kind kind
	text string
	at   int
}

var (
	wordForm   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*(:[0-9]+)?`)
	figureForm = regexp.MustCompile(`^[+-]?[0-9][0-9A-Za-z.:+-]*`)
	signForm   = regexp.MustCompile(`^(<=|>=|!=|<>|[=<>(),])`)
)

// lex cuts a query into tokens.
func lex(query string) ([]token, error) {
	var list []token
	for at := 0; ; {
		rest := query[at:]
		trimmed := strings.TrimLeft(rest, " \t\r\n")
		at += len(rest) - len(trimmed)
		switch {
		case trimmed == "":
			return append(list, token{kind: end, at: at}), nil
		case trimmed[0] == '\'':
			text, n, err := unquote(trimmed, at)
			if err != nil {
				return nil, err
			}
			list = append(list, token{quoted, text, at})
			at += n
			continue
		}
		found := false
		for _, form := range []struct {
			kind kind
			expr *regexp.Regexp
		}{{word, wordForm}, {figure, figureForm}, {sign, signForm}} {
			if text := form.expr.FindString(trimmed); text != "" {
				list = append(list, token{form.kind, text, at})
				at += len(text)
				found = true
				break
			}
		}
		if !found {
			r, _ := utf8.DecodeRuneInString(trimmed)
			return nil, &Error{at, fmt.Sprintf("unexpected token: '%c'", r)}
		}
	}
}

// unquote reads the string at the front of s, and says how long it is there.
func unquote(s string, at int) (string, int, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'':
			return b.String(), i + 1, nil
		case '\n', '\r':
			return "", 0, &Error{at + i, "line breaks not allowed in string literals"}
		case '\\':
			i++
			if i == len(s) {
				return "", 0, &Error{at, "unterminated string"}
			}
			switch e := s[i]; e {
			case 'n', 'N':
				b.WriteByte('\n')
			case 'r', 'R':
				b.WriteByte('\r')
			case 't', 'T':
				b.WriteByte('\t')
			case 'b', 'B':
				b.WriteByte('\b')
			case 'f', 'F':
				b.WriteByte('\f')
			case '"', '\'', '\\':
				b.WriteByte(e)
			case '_', '%':
				b.WriteString(`\` + string(e)) // LIKE takes it from there
			default:
				return "", 0, &Error{at + i - 1, fmt.Sprintf("Illegal escape sequence in string: '\\%c'", e)}
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, &Error{at, "unterminated string"}
}
