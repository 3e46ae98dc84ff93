package remoteinvoke_test

import (
	"testing"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/remoteinvoke/remoteinvoketest"
)

func TestMem(t *testing.T) {
	remoteinvoketest.TestStore(t, func(*testing.T) remoteinvoke.Store { return remoteinvoke.NewMem() })
	remoteinvoketest.TestCallbackStore(t, func(*testing.T) remoteinvoke.CallbackStore { return remoteinvoke.NewMemCallbacks() })
}
