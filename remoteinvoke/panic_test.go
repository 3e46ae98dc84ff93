package remoteinvoke_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// A nilError is what many return by mistake: an error that is a nil pointer.
type nilError struct{ text string }

func (e *nilError) Error() string   { return e.text }
func (e *nilError) Transient() bool { return e.text != "" }

func TestNilErrors(t *testing.T) {
	for name, fn := range map[string]func(context.Context, *remoteinvoke.Job, string) (string, error){
		"a failure that is nil": func(context.Context, *remoteinvoke.Job, string) (string, error) {
			var f *remoteinvoke.Failure
			return "", f
		},
		"one that is wrapped": func(context.Context, *remoteinvoke.Job, string) (string, error) {
			var f *remoteinvoke.Failure
			return "", fmt.Errorf("wrapped: %w", f)
		},
		"an error that is nil": func(context.Context, *remoteinvoke.Job, string) (string, error) {
			var e *nilError
			return "", e
		},
	} {
		bubble(t, name, func(t *testing.T) {
			s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), fn, &remoteinvoke.ServiceOptions{Retry: retry.Policy{MaxAttempts: 2}})
			stop := start(t, s)
			st := begin(t, s, "x", nil)
			time.Sleep(time.Minute)
			stop()
			require.Equal(t, remoteinvoke.Failed, status(t, s, st.ID).State)
		})
	}
}

func TestPanicOfCallbacks(t *testing.T) {
	bubble(t, "is an attempt that failed", func(t *testing.T) {
		asked, secret := 0, webhook.NewSecret()
		p := newPair(echo, remoteinvoke.ServiceOptions{Callbacks: func(string) (remoteinvoke.Target, error) {
			if asked++; asked == 2 {
				panic("no secrets today")
			}
			return remoteinvoke.Target{Allow: []string{"https://me.example/"}, Sign: secret}, nil
		}}, nil)
		stop := start(t, p.s)
		_, err := p.s.Start(t.Context(), "", "x", &remoteinvoke.StartOptions{Callback: hookURL})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		stop()
		require.Equal(t, 3, asked)
		require.EqualValues(t, 1, p.hooks.calls.Load(), "the second attempt left")
	})
}
