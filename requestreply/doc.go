// Package requestreply asks another system and waits for the answer: it
// returns the answer, or an error that says what is known.
package requestreply
