package server_test

import (
	"testing"

	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/requestreply/server/servertest"
)

func TestMemKeys(t *testing.T) {
	servertest.TestTxKeys(t, func(t *testing.T) server.TxKeys { return server.NewMemKeys() })
}
