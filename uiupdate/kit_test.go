package uiupdate_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate"
	"github.com/crosstie/crosstie/uiupdate/uiupdatetest"
)

func subject(o *uiupdate.ViewOptions) func(*testing.T) uiupdatetest.Subject {
	return func(t *testing.T) uiupdatetest.Subject {
		view := uiupdate.NewView[string, string](o)
		h := uiupdate.NewHandler(view, nil)
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return uiupdatetest.Subject{
			URL:    server.URL,
			Client: server.Client(),
			Set:    func(key, value string) { require.NoError(t, view.Set(key, value, time.Now())) },
			Delete: func(key string) { require.NoError(t, view.Delete(key, time.Now())) },
		}
	}
}

func TestStream(t *testing.T) {
	uiupdatetest.TestStream(t, subject(nil))
}

// With the smallest window every reader falls off all the time.
func TestStreamSmallWindow(t *testing.T) {
	uiupdatetest.TestStream(t, subject(&uiupdate.ViewOptions{Window: 1}))
}
