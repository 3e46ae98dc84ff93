package quota_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/quota"
)

// A nightly job may not use up what orders need in the morning.
func ExampleImportant() {
	daily := quota.New("org-7", 5, quota.NewMem(), &quota.Options{Reserve: 2}) // processes share a store of sqlstore
	guard := requestreply.NewGuard(&requestreply.Options{Quota: daily})
	ask := func(ctx context.Context) error {
		_, err := requestreply.Run(ctx, guard, requestreply.Op{Target: "org-7"}, func(context.Context) (int, error) { return 1, nil })
		return err
	}
	n := 0
	for ask(context.Background()) == nil {
		n++
	}
	err := ask(context.Background())
	fmt.Println("the job made", n, "calls; used up:", errors.Is(err, quota.ErrSpent))
	fmt.Println("an order goes through:", ask(quota.Important(context.Background())) == nil)
	// Output:
	// the job made 3 calls; used up: true
	// an order goes through: true
}
