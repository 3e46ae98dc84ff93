package enginetest

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply/quota"
	"github.com/crosstie/crosstie/requestreply/quota/quotatest"
	"github.com/crosstie/crosstie/sqlstore"
)

func TestQuotas(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			quotatest.TestStore(t, func(t *testing.T) quota.Store {
				d, _ := open(t, conns, nil)
				return d.Quotas()
			})
		})
	}
}

// Several processes that share a file never spend more than the allowance, and
// what one learned the others know.
func TestQuotaOfProcesses(t *testing.T) {
	const processes, allowance = 4, 300
	path := filepath.Join(t.TempDir(), "quota.db")
	var qs []*quota.Quota
	for range processes {
		db := pool(t, path, 2)
		d, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
		require.NoError(t, err)
		qs = append(qs, quota.New("org", allowance, d.Quotas(), &quota.Options{Chunk: 7, Period: 31 * 24 * time.Hour}))
	}
	var spent atomic.Int64
	var wg sync.WaitGroup
	for _, q := range qs {
		wg.Go(func() {
			for range allowance {
				switch err := q.Take(t.Context(), ""); {
				case err == nil:
					spent.Add(1)
				case errors.Is(err, quota.ErrSpent):
					return
				case !errors.Is(err, quota.ErrBusy):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, spent.Load(), int64(allowance))
	require.Greater(t, spent.Load(), int64(allowance-processes*7))
	s, err := qs[0].State(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, allowance, s.Used)
}
