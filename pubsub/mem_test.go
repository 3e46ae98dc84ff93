package pubsub_test

import (
	"testing"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/pubsub/pubsubtest"
)

func TestMem(t *testing.T) {
	t.Run("log", func(t *testing.T) {
		pubsubtest.TestLog(t, func(*testing.T) pubsub.Log { return pubsub.NewMem() })
	})
	t.Run("groups", func(t *testing.T) {
		pubsubtest.TestGroups(t, func(*testing.T) pubsubtest.Store { return pubsub.NewMem() })
	})
}
