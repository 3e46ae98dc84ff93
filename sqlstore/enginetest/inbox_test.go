package enginetest

import (
	"testing"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/inbox/inboxtest"
)

func TestInbox(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			inboxtest.TestStore(t, func(t *testing.T) inbox.Store {
				d, _ := open(t, conns, nil)
				return d.Inbox()
			})
		})
	}
}
