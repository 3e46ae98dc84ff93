package soql

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// deepest is how far conditions may be nested: a query is foreign bytes.
const deepest = 100

// lacking are the words that begin what SOQL has and this part of it has not.
var lacking = map[string]string{
	"GROUP": "GROUP BY", "HAVING": "HAVING", "USING": "USING SCOPE", "WITH": "WITH", "FOR": "FOR VIEW, REFERENCE and UPDATE",
	"TYPEOF": "TYPEOF", "INCLUDES": "INCLUDES", "EXCLUDES": "EXCLUDES", "UPDATE": "UPDATE TRACKING", "ALL": "ALL ROWS",
}

// Parse reads a query. Every error is an [*Error].
func Parse(query string) (*Query, error) {
	tokens, err := lex(query)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	q, err := p.query()
	if err != nil {
		return nil, err
	}
	return q, nil
}

type parser struct {
	tokens []token
	at     int
	depth  int
}

func (p *parser) peek() token { return p.tokens[p.at] }

// is says whether the next token is a word or a sign, and takes it if so.
func (p *parser) is(text string) bool {
	t := p.peek()
	if (t.kind == word || t.kind == sign) && strings.EqualFold(t.text, text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) need(text string) error {
	if !p.is(text) {
		return p.unexpected()
	}
	return nil
}

// unexpected names the next token, and what it would begin if the org knew it.
func (p *parser) unexpected() error {
	t := p.peek()
	switch {
	case t.kind == end:
		return &Error{t.at, "unexpected token: '<EOF>'"}
	case t.kind == word && lacking[strings.ToUpper(t.text)] != "":
		return &Error{t.at, fmt.Sprintf("unexpected token: '%s' (this org does not offer %s)", t.text, lacking[strings.ToUpper(t.text)])}
	case t.kind == quoted:
		return &Error{t.at, fmt.Sprintf("unexpected token: '%s'", strings.ReplaceAll(t.text, "'", "\\'"))}
	}
	return &Error{t.at, fmt.Sprintf("unexpected token: '%s'", t.text)}
}

func (p *parser) query() (*Query, error) {
	q := &Query{Limit: -1}
	if err := p.need("SELECT"); err != nil {
		return nil, err
	}
	if err := p.selected(q); err != nil {
		return nil, err
	}
	if err := p.need("FROM"); err != nil {
		return nil, err
	}
	var err error
	if q.From, err = p.name(); err != nil {
		return nil, err
	}
	if p.is("WHERE") {
		if q.Where, err = p.condition(); err != nil {
			return nil, err
		}
	}
	if p.is("ORDER") {
		if err := p.order(q); err != nil {
			return nil, err
		}
	}
	if p.is("LIMIT") {
		if q.Limit, err = p.number(); err != nil {
			return nil, err
		}
	}
	if p.is("OFFSET") {
		if q.Offset, err = p.number(); err != nil {
			return nil, err
		}
	}
	if p.peek().kind != end {
		return nil, p.unexpected()
	}
	return q, nil
}

func (p *parser) selected(q *Query) error {
	for {
		if strings.EqualFold(p.peek().text, "TYPEOF") {
			return p.unexpected()
		}
		f, err := p.name()
		if err != nil {
			return err
		}
		if p.is("(") {
			if !strings.EqualFold(f.Text, "COUNT") || len(q.Fields) > 0 || !p.is(")") {
				return &Error{f.At, fmt.Sprintf("unexpected token: '%s' (this org offers COUNT() alone, and no other function)", f.Text)}
			}
			q.Count = true
			return nil
		}
		q.Fields = append(q.Fields, f)
		if !p.is(",") {
			return nil
		}
	}
}

// reserved cannot be the name of an object or a field.
var reserved = map[string]bool{
	"AND": true, "ASC": true, "DESC": true, "EXCLUDES": true, "FIRST": true, "FROM": true, "GROUP": true, "HAVING": true,
	"IN": true, "INCLUDES": true, "LAST": true, "LIKE": true, "LIMIT": true, "NOT": true, "NULL": true, "NULLS": true,
	"OR": true, "SELECT": true, "USING": true, "WHERE": true, "WITH": true,
}

func (p *parser) name() (Name, error) {
	t := p.peek()
	if t.kind == sign && t.text == "(" {
		return Name{}, &Error{t.at, "unexpected token: '(' (this org does not offer sub-queries)"}
	}
	if t.kind != word || reserved[strings.ToUpper(t.text)] || strings.Contains(t.text, ":") {
		return Name{}, p.unexpected()
	}
	p.at++
	return Name{t.text, t.at}, nil
}

func (p *parser) order(q *Query) error {
	if err := p.need("BY"); err != nil {
		return err
	}
	for {
		f, err := p.name()
		if err != nil {
			return err
		}
		o := Order{By: f}
		if !p.is("ASC") {
			o.Desc = p.is("DESC")
		}
		if p.is("NULLS") {
			if o.NullsLast = p.is("LAST"); !o.NullsLast {
				if err := p.need("FIRST"); err != nil {
					return err
				}
			}
		}
		q.Order = append(q.Order, o)
		if !p.is(",") {
			return nil
		}
	}
}

func (p *parser) number() (int, error) {
	t := p.peek()
	n, err := strconv.Atoi(t.text)
	if t.kind != figure || err != nil || n < 0 {
		return 0, p.unexpected()
	}
	p.at++
	return n, nil
}

func (p *parser) condition() (Expr, error) {
	if p.depth++; p.depth > deepest {
		return nil, &Error{p.peek().at, fmt.Sprintf("conditions are nested more than %d deep", deepest)}
	}
	defer func() { p.depth-- }()
	first, err := p.term()
	if err != nil {
		return nil, err
	}
	for _, l := range []struct {
		word string
		or   bool
	}{{"AND", false}, {"OR", true}} {
		terms := []Expr{first}
		for p.is(l.word) {
			t, err := p.term()
			if err != nil {
				return nil, err
			}
			terms = append(terms, t)
		}
		if len(terms) > 1 {
			return &Logic{l.or, terms}, nil
		}
	}
	return first, nil
}

func (p *parser) term() (Expr, error) {
	switch {
	case p.is("NOT"):
		if p.depth++; p.depth > deepest {
			return nil, &Error{p.peek().at, fmt.Sprintf("conditions are nested more than %d deep", deepest)}
		}
		defer func() { p.depth-- }()
		t, err := p.term()
		return &Not{t}, err
	case p.is("("):
		c, err := p.condition()
		if err != nil {
			return nil, err
		}
		return c, p.need(")")
	}
	f, err := p.name()
	if err != nil {
		return nil, err
	}
	return p.test(f)
}

func (p *parser) test(f Name) (Expr, error) {
	t := &Test{Field: f}
	at := p.peek()
	switch {
	case p.is("IN"):
		t.Op = "IN"
	case p.is("NOT"):
		if err := p.need("IN"); err != nil {
			return nil, err
		}
		t.Op = "NOT IN"
	case p.is("LIKE"):
		t.Op = "LIKE"
	case p.is("<>"):
		t.Op = "!="
	case p.is("="), p.is("!="), p.is("<"), p.is("<="), p.is(">"), p.is(">="):
		t.Op = at.text
	default:
		return nil, p.unexpected()
	}
	many := t.Op == "IN" || t.Op == "NOT IN"
	if many {
		if err := p.need("("); err != nil {
			return nil, err
		}
		if strings.EqualFold(p.peek().text, "SELECT") && p.peek().kind == word {
			return nil, &Error{p.peek().at, "unexpected token: 'SELECT' (this org does not offer sub-queries)"}
		}
	}
	for {
		l, err := p.literal()
		if err != nil {
			return nil, err
		}
		t.Values = append(t.Values, l)
		if !many {
			return t, nil
		}
		if !p.is(",") {
			return t, p.need(")")
		}
	}
}

var (
	numberForm = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	dateForm   = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	timeForm   = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})$`)
	dateWord   = regexp.MustCompile(`^(LAST|NEXT|THIS)_[A-Z_]+(:[0-9]+)?$`)
)

func (p *parser) literal() (Literal, error) {
	t := p.peek()
	switch t.kind {
	case quoted:
		p.at++
		return Literal{String, t.text, t.at}, nil
	case word:
		upper := strings.ToUpper(t.text)
		kind, known := map[string]Kind{
			"TRUE": Bool, "FALSE": Bool, "NULL": Null, "TODAY": DateWord, "YESTERDAY": DateWord, "TOMORROW": DateWord,
		}[upper]
		if known {
			p.at++
			return Literal{kind, upper, t.at}, nil
		}
		if dateWord.MatchString(upper) {
			return Literal{}, &Error{t.at, fmt.Sprintf("unexpected token: '%s' (this org offers TODAY, YESTERDAY and TOMORROW alone)", t.text)}
		}
	case figure:
		for _, form := range []struct {
			kind Kind
			expr *regexp.Regexp
		}{{Number, numberForm}, {Date, dateForm}, {DateTime, timeForm}} {
			if form.expr.MatchString(t.text) {
				p.at++
				return Literal{form.kind, t.text, t.at}, nil
			}
		}
	}
	return Literal{}, p.unexpected()
}
