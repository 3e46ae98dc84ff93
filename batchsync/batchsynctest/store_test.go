package batchsynctest_test

import (
	"testing"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/batchsynctest"
)

func TestMem(t *testing.T) {
	batchsynctest.TestStore(t, func(t *testing.T) batchsync.Store { return batchsync.NewMem() })
}
