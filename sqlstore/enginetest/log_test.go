package enginetest

import (
	"testing"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/pubsub/pubsubtest"
)

func TestLog(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			t.Run("log", func(t *testing.T) {
				pubsubtest.TestLog(t, func(t *testing.T) pubsub.Log {
					d, _ := open(t, conns, nil)
					return d.Log()
				})
			})
			t.Run("groups", func(t *testing.T) {
				pubsubtest.TestGroups(t, func(t *testing.T) pubsubtest.Store {
					d, _ := open(t, conns, nil)
					return d.Log()
				})
			})
		})
	}
}
