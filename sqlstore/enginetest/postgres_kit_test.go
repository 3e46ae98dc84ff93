package enginetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/batchsynctest"
	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/fireforget/fireforgettest"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/inbox/inboxtest"
	"github.com/crosstie/crosstie/requestreply/quota"
	"github.com/crosstie/crosstie/requestreply/quota/quotatest"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/requestreply/server/servertest"
	"github.com/crosstie/crosstie/sqlstore"
)

// pgWays are how a pool may look: one connection, where holding it while
// waiting for another hangs; many; and without statements prepared by name, as
// behind a pooler.
var pgWays = map[string]struct {
	conns int
	mode  string
}{
	"one connection":      {conns: 1},
	"many connections":    {conns: 8},
	"nothing is prepared": {conns: 8, mode: "exec"},
}

func pgKit(t *testing.T, kit func(t *testing.T, open func(t *testing.T) *sqlstore.Postgres)) {
	needPostgres(t)
	for name, way := range pgWays {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait for the disk, most of the time
			dsn := pgSchema(t)
			if way.mode != "" {
				dsn = with(t, dsn, "default_query_exec_mode", way.mode)
			}
			kit(t, emptied(t, dsn, way.conns))
		})
	}
}

func TestPostgresInbox(t *testing.T) {
	pgKit(t, func(t *testing.T, open func(t *testing.T) *sqlstore.Postgres) {
		inboxtest.TestStore(t, func(t *testing.T) inbox.Store { return open(t).Inbox() })
	})
}

func TestPostgresOutbox(t *testing.T) {
	pgKit(t, func(t *testing.T, open func(t *testing.T) *sqlstore.Postgres) {
		fireforgettest.TestStore(t, func(t *testing.T) fireforget.Store { return open(t).Outbox() })
	})
}

func TestPostgresSyncs(t *testing.T) {
	pgKit(t, func(t *testing.T, open func(t *testing.T) *sqlstore.Postgres) {
		batchsynctest.TestStore(t, func(t *testing.T) batchsync.Store { return open(t).Syncs() })
	})
}

// Of many that claim a partition that was never held one gets it.
func TestPostgresFirstClaimOfASync(t *testing.T) {
	const workers = 8
	d, _ := openPG(t, workers, nil)
	for i := range 40 {
		var wg sync.WaitGroup
		var got atomic.Int32
		begin := make(chan struct{})
		for w := range workers {
			wg.Go(func() {
				<-begin
				switch _, err := d.Syncs().Claim(t.Context(), "sync", fmt.Sprint(i), fmt.Sprint(w), time.Minute); {
				case err == nil:
					got.Add(1)
				case !errors.Is(err, batchsync.ErrHeld):
					t.Error(err)
				}
			})
		}
		close(begin)
		wg.Wait()
		require.EqualValues(t, 1, got.Load(), "partition %d", i)
	}
}

func TestPostgresKeys(t *testing.T) {
	pgKit(t, func(t *testing.T, open func(t *testing.T) *sqlstore.Postgres) {
		servertest.TestTxKeys(t, func(t *testing.T) server.TxKeys { return open(t).Keys() })
	})
}

func TestPostgresQuotas(t *testing.T) {
	pgKit(t, func(t *testing.T, open func(t *testing.T) *sqlstore.Postgres) {
		quotatest.TestStore(t, func(t *testing.T) quota.Store { return open(t).Quotas() })
	})
}
