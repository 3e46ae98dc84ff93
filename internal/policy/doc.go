// Package policy holds the house rules as tests: who may import whom, what is
// required, what is documented, and what a stranger's module sees. It has no
// code of its own. Each rule is a table with a reason in each row, reads the
// tree of the checkout, and lists every offence at once; broken_test.go holds
// a small tree that breaks each rule, so that no rule can rest.
package policy
