package enginetest

import (
	"testing"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/fireforget/fireforgettest"
)

func TestOutbox(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			fireforgettest.TestStore(t, func(t *testing.T) fireforget.Store {
				d, _ := open(t, conns, nil)
				return d.Outbox()
			})
		})
	}
}
