package batchsync_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
)

func TestSmoke(t *testing.T) {
	dst := newTarget()
	s := batchsync.New("a", slice(2, items("a=1", "b=2", "c=3", "a=4")...), dst, nil)
	rep, err := s.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, "in 4 = done 4 (3 inserted, 1 updated, 0 deleted) + unchanged 0 + failed 0 + parked 0 + unprocessed 0", rep.String())
	require.Equal(t, map[string]string{"a": "4", "b": "2", "c": "3"}, dst.rows)
}
