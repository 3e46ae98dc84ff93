package inbox_test

import (
	"testing"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/inbox/inboxtest"
)

func TestMem(t *testing.T) {
	inboxtest.TestStore(t, func(*testing.T) inbox.Store { return inbox.NewMem() })
}
