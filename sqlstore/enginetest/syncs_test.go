package enginetest

import (
	"testing"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/batchsynctest"
)

func TestSyncs(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			batchsynctest.TestStore(t, func(t *testing.T) batchsync.Store {
				d, _ := open(t, conns, nil)
				return d.Syncs()
			})
		})
	}
}
