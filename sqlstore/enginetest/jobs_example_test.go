package enginetest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/remoteinvoke"
)

// A job that reserves ten lamps, each together with the state that knows of
// it. It fails on its way; the next attempt neither repeats nor misses one.
func ExampleJob_SaveTx() {
	store, db, done, err := shop()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer done()
	if _, err := db.Exec(`UPDATE stock SET free = 10 WHERE item = 'lamp'`); err != nil {
		fmt.Println(err)
		return
	}
	reserve := func(ctx context.Context, job *remoteinvoke.Job, lamps int) (int, error) {
		var reserved int
		if _, err := job.Saved(&reserved); err != nil {
			return 0, err
		}
		fmt.Printf("attempt %d begins at %d\n", job.Attempt(), reserved)
		for reserved < lamps {
			if job.Attempt() == 1 && reserved == 4 {
				return 0, errors.New("the warehouse does not answer")
			}
			err := store.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
				if _, err := tx.ExecContext(ctx, `UPDATE stock SET free = free - 1 WHERE item = 'lamp'`); err != nil {
					return err
				}
				return job.SaveTx(ctx, tx, reserved+1)
			})
			if err != nil {
				return 0, err
			}
			reserved++
		}
		return reserved, nil
	}
	service := remoteinvoke.NewService("reserve", store.Jobs(), reserve, nil)

	// Started together with an order, or not at all.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var job remoteinvoke.Status
	err = store.Tx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		job, err = service.StartTx(ctx, tx, "shop", 10, nil)
		return err
	})
	fmt.Println(job.State, err)

	ran := make(chan error)
	go func() { ran <- service.Run(ctx) }()
	poller := remoteinvoke.NewPoller(func(ctx context.Context) (remoteinvoke.Poll[remoteinvoke.State], error) {
		st, err := service.Status(ctx, "shop", job.ID)
		return remoteinvoke.Poll[remoteinvoke.State]{Done: st.State.Terminal(), Result: st.State}, err
	}, nil)
	fmt.Println(poller.Wait(ctx))
	cancel()
	fmt.Println(<-ran)
	var free int
	fmt.Println(db.QueryRow(`SELECT free FROM stock WHERE item = 'lamp'`).Scan(&free), free)
	// Output:
	// queued <nil>
	// attempt 1 begins at 0
	// attempt 2 begins at 4
	// done <nil>
	// <nil>
	// <nil> 0
}
