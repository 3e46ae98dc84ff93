package outcome_test

import (
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/outcome"
)

// A charge that timed out is not charged again without a key.
func Example() {
	err := fmt.Errorf("billing: charge: %w",
		outcome.TransientError(outcome.Unknown, true, errors.New("timed out waiting for the answer")))
	switch outcome.Of(err) {
	case outcome.NotSent, outcome.Refused:
		fmt.Println("nothing happened there: repeat it")
	case outcome.Applied:
		fmt.Println("charged; only the receipt is missing")
	case outcome.Unknown:
		fmt.Println("ask for the charge by its key first")
	}
	// Output: ask for the charge by its key first
}

func ExampleOf() {
	a := outcome.Error(outcome.Refused, errors.New("409 Conflict"))
	b := outcome.Error(outcome.Applied, errors.New("the body of the answer was cut"))
	fmt.Println(outcome.Of(a))
	fmt.Println(outcome.Of(errors.Join(a, b)))
	fmt.Println(outcome.Of(errors.Join(a, errors.New("who knows"))))
	// Output:
	// refused
	// applied
	// unknown
}

func ExampleError() {
	err := outcome.Error(outcome.NotSent, errors.New("the queue is full"))
	fmt.Println(err, outcome.NotApplied(err))
	// Output: the queue is full true
}

func ExampleTransientError() {
	err := outcome.TransientError(outcome.Refused, true, errors.New("the row is locked"))
	fmt.Println(outcome.Transient(err))
	// Output: true true
}

func ExampleNotApplied() {
	fmt.Println(outcome.NotApplied(outcome.Error(outcome.NotSent, errors.New("connection refused"))))
	fmt.Println(outcome.NotApplied(errors.New("connection reset")))
	// Output:
	// true
	// false
}

func ExampleCanRepeat() {
	reset := errors.New("connection reset")
	fmt.Println("a create:", outcome.CanRepeat(reset, false))
	fmt.Println("a create with a key:", outcome.CanRepeat(reset, true))
	// Output:
	// a create: false
	// a create with a key: true
}

func ExampleTransient() {
	busy := outcome.TransientError(outcome.Refused, true, errors.New("busy"))
	gone := outcome.TransientError(outcome.Refused, false, errors.New("gone"))
	fmt.Println(outcome.Transient(busy))
	fmt.Println(outcome.Transient(errors.Join(busy, gone)))
	fmt.Println(outcome.Transient(errors.New("who knows")))
	// Output:
	// true true
	// false true
	// false false
}

func ExampleStatus() {
	for _, status := range []int{201, 404, 429, 503, 504} {
		o, transient := outcome.Status(status, false)
		fmt.Println(status, o, transient)
	}
	fmt.Println(outcome.Status(503, true))
	// Output:
	// 201 applied false
	// 404 refused false
	// 429 refused true
	// 503 unknown true
	// 504 unknown true
	// refused true
}

func ExampleGRPC() {
	fmt.Println(outcome.GRPC(5))  // NOT_FOUND
	fmt.Println(outcome.GRPC(14)) // UNAVAILABLE
	// Output:
	// refused false
	// unknown true
}

func ExampleSQLState() {
	fmt.Println(outcome.SQLState("40001")) // serialization failure
	fmt.Println(outcome.SQLState("57P01")) // the server goes down
	fmt.Println(outcome.SQLState("XX000")) // says nothing
	// Output:
	// refused true true
	// unknown true true
	// unknown false false
}

func ExampleWorst() {
	fmt.Println(outcome.Worst(outcome.NotSent, outcome.Unknown, outcome.Refused))
	// Output: unknown
}
