package fireforget_test

import (
	"testing"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/fireforget/fireforgettest"
)

func TestMem(t *testing.T) {
	fireforgettest.TestStore(t, func(*testing.T) fireforget.Store { return fireforget.NewMem() })
}
