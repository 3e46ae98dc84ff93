package retry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// A create is repeated while the other side says that it did nothing.
func ExampleDo() {
	busy := outcome.TransientError(outcome.Refused, true, errors.New("429 Too Many Requests"))
	attempts := 0
	id, err := retry.Do(context.Background(), retry.Policy{Base: time.Millisecond}, func(context.Context) (string, error) {
		if attempts++; attempts < 3 {
			return "", busy
		}
		return "order-7", nil
	})
	fmt.Println(id, err, attempts)
	// Output: order-7 <nil> 3
}

// A create whose answer was lost is not repeated: it may have happened.
func ExampleDo_unknown() {
	attempts := 0
	_, err := retry.Do(context.Background(), retry.Policy{}, func(context.Context) (string, error) {
		attempts++
		return "", outcome.TransientError(outcome.Unknown, true, errors.New("connection reset"))
	})
	fmt.Println(err, attempts, outcome.Of(err))
	// Output: connection reset 1 unknown
}

// A read is repeated whatever happened to it.
func ExampleDoIdempotent() {
	attempts := 0
	stock, err := retry.DoIdempotent(context.Background(), retry.Policy{Base: time.Millisecond}, func(context.Context) (int, error) {
		if attempts++; attempts == 1 {
			return 0, errors.New("connection reset")
		}
		return 42, nil
	})
	fmt.Println(stock, err)
	// Output: 42 <nil>
}

func ExamplePermanent() {
	_, err := retry.DoIdempotent(context.Background(), retry.Policy{}, func(context.Context) (int, error) {
		return 0, retry.Permanent(errors.New("no such product"))
	})
	fmt.Println(err, retry.IsPermanent(err))
	// Output: no such product true
}

func ExampleIsPermanent() {
	err := fmt.Errorf("sync: %w", retry.Permanent(errors.New("no such field")))
	fmt.Println(retry.IsPermanent(err), retry.IsPermanent(errors.New("reset")))
	// Output: true false
}

// The other side names a wait that is too long to sit through: the error says
// when to come back.
func ExampleAfter() {
	_, err := retry.Do(context.Background(), retry.Policy{}, func(context.Context) (int, error) {
		err := outcome.TransientError(outcome.Refused, true, errors.New("503 Service Unavailable"))
		return 0, retry.After(time.Hour, err)
	})
	if later, ok := errors.AsType[*retry.Error](err); ok && errors.Is(err, retry.ErrLater) {
		fmt.Println("come back in about", time.Until(later.At).Round(time.Minute))
	}
	// Output: come back in about 1h0m0s
}

func ExampleAfterOf() {
	err := fmt.Errorf("call: %w", retry.After(time.Minute, errors.New("busy")))
	fmt.Println(retry.AfterOf(err))
	// Output: 1m0s true
}

func ExampleParseAfter() {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, v := range []string{"120", "Mon, 23 Nov 2026 12:05:00 GMT", "-1", "99999999999999999999"} {
		fmt.Println(retry.ParseAfter(http.Header{"Retry-After": {v}}, now))
	}
	// Output:
	// 2m0s true
	// 5m0s true
	// 0s false
	// 0s false
}

// All calls to one destination share one budget.
func ExampleNewBudget() {
	p := retry.Policy{Base: -1, Budget: retry.NewBudget(0.1, 1./60)}
	down := outcome.TransientError(outcome.NotSent, true, errors.New("connection refused"))
	attempts := 0
	for range 100 {
		_, _ = retry.Do(context.Background(), p, func(context.Context) (int, error) {
			attempts++
			return 0, down
		})
	}
	fmt.Println("100 calls during an outage made", attempts, "attempts")
	// Output: 100 calls during an outage made 110 attempts
}

// A loop that does not use this package asks the same budget.
func ExampleBudget_Take() {
	b := retry.NewBudget(0.1, -1)
	retries := 0
	for range 200 {
		b.Call()
		for b.Take() {
			retries++
		}
	}
	fmt.Println(retries, "retries: the 10 that were saved, and a tenth of the calls")
	// Output: 29 retries: the 10 that were saved, and a tenth of the calls
}

// A loop of one's own, here with a value that each attempt renews.
func ExamplePolicy_Begin() {
	ctx := context.Background()
	token := 0
	a := retry.Policy{Base: time.Millisecond}.Begin(true)
	for {
		token++
		err := call(token)
		if err == nil {
			break
		}
		if err = a.Next(ctx, err); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("done after", a.Made(), "failures")
	// Output: done after 1 failures
}

func call(token int) error {
	if token == 1 {
		return errors.New("token expired")
	}
	return nil
}

// A queue stores when to try again instead of waiting.
func ExamplePolicy_Delay() {
	p := retry.Policy{Base: time.Minute, Max: time.Hour, MaxRetryAfter: 24 * time.Hour}
	d, err := p.Delay(1, retry.After(2*time.Hour, errors.New("busy")))
	fmt.Println(d.Truncate(time.Hour), err)
	// Output: 2h0m0s <nil>
}
