// Package soql reads the part of SOQL that the org in a test answers. The
// grammar, in which 'x' is the word or sign x in any case and [x] may be left
// out:
//
//	query     = 'SELECT' ( 'COUNT' '(' ')' | path { ',' path } ) 'FROM' name
//	            [ 'WHERE' condition ]
//	            [ 'ORDER' 'BY' order { ',' order } ]
//	            [ 'LIMIT' number ] [ 'OFFSET' number ]
//	condition = term { 'AND' term } | term { 'OR' term }
//	term      = 'NOT' term | '(' condition ')' | path test
//	test      = ( '=' | '!=' | '<>' | '<' | '<=' | '>' | '>=' ) literal
//	          | 'LIKE' string
//	          | [ 'NOT' ] 'IN' '(' literal { ',' literal } ')'
//	order     = path [ 'ASC' | 'DESC' ] [ 'NULLS' ( 'FIRST' | 'LAST' ) ]
//	literal   = string | number | 'TRUE' | 'FALSE' | 'NULL' | date | datetime
//	          | 'TODAY' | 'YESTERDAY' | 'TOMORROW'
//	path      = name { '.' name }
//
// AND and OR do not mix without parentheses: SOQL refuses that, so this does.
// A string stands in single quotes, with the escapes \n \r \t \b \f \" \' \\ \_
// and \%. A date is 2006-01-02, a datetime 2006-01-02T15:04:05Z with an offset
// instead of Z if one likes.
//
// Source: SOQL and SOSL Reference, chapter SOQL SELECT Syntax.
package soql

// A Query is one that was read.
type Query struct {
	Count  bool // SELECT COUNT(), without Fields
	Fields []Name
	From   Name
	Where  Expr // nil: all
	Order  []Order
	Limit  int // -1: none
	Offset int
}

// A Name is that of an object, or a path to a field, with its place.
type Name struct {
	Text string
	At   int // byte offset
}

// An Order is one key to sort by.
type Order struct {
	By        Name
	Desc      bool
	NullsLast bool
}

// An Expr is a [*Logic], a [*Not] or a [*Test].
type Expr interface{ expr() }

// Logic holds if all of its terms do, or for Or any.
type Logic struct {
	Or    bool
	Terms []Expr
}

// Not holds if its term does not.
type Not struct{ Term Expr }

// A Test compares a field with literals: many for IN and NOT IN, else one.
type Test struct {
	Field  Name
	Op     string // = != < <= > >= LIKE IN "NOT IN"
	Values []Literal
}

func (*Logic) expr() {}
func (*Not) expr()   {}
func (*Test) expr()  {}

// A Kind is what a literal is.
type Kind int

// The kinds of literals.
const (
	Null Kind = iota
	String
	Number
	Bool
	Date
	DateTime
	DateWord // TODAY and its like
)

// A Literal is a value in a query, as text: of a string what it stands for, of
// a word its capitals.
type Literal struct {
	Kind Kind
	Text string
	At   int
}
