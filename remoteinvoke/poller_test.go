package remoteinvoke_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/retry"
)

func TestPoller(t *testing.T) {
	bubble(t, "waits longer each time, and never less than asked", func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		p := remoteinvoke.NewPoller(func(context.Context) (remoteinvoke.Poll[string], error) {
			at = append(at, time.Since(began))
			v := remoteinvoke.Poll[string]{Done: len(at) == 12, Result: "x"}
			if len(at) == 8 {
				v.After = 2 * time.Minute
			}
			return v, nil
		}, nil)
		_, err := p.Result()
		require.ErrorIs(t, err, remoteinvoke.ErrInvalid)
		out, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "x", out)
		require.True(t, p.Done())
		require.NoError(t, p.Poll(t.Context()))
		require.Len(t, at, 12, "what has ended is not looked at")
		require.Zero(t, at[0])
		want := time.Second
		for i := range at[1:] {
			wait := at[i+1] - at[i]
			least := want
			if i == 7 {
				least = 2 * time.Minute
			}
			require.GreaterOrEqual(t, wait, least, i)
			require.LessOrEqual(t, wait, least+least/10, i)
			want = min(want+want/2, 30*time.Second)
		}
	})
	bubble(t, "tells a failed look from a failed job", func(t *testing.T) {
		errJob, errLook := errors.New("job failed"), errors.New("502")
		for name, c := range map[string]struct {
			look  func(n int) (remoteinvoke.Poll[int], error)
			looks int
			want  error
		}{
			"the job": {func(int) (remoteinvoke.Poll[int], error) { return remoteinvoke.Poll[int]{Done: true, Err: errJob}, nil }, 1, errJob},
			"a look for good": {func(int) (remoteinvoke.Poll[int], error) {
				return remoteinvoke.Poll[int]{}, retry.Permanent(errLook)
			}, 1, errLook},
			"a look by its word": {func(int) (remoteinvoke.Poll[int], error) {
				return remoteinvoke.Poll[int]{}, outcome.TransientError(outcome.Refused, false, errLook)
			}, 1, errLook},
			"looks in a row": {func(int) (remoteinvoke.Poll[int], error) { return remoteinvoke.Poll[int]{}, errLook }, 10, errLook},
			"looks between": {func(n int) (remoteinvoke.Poll[int], error) {
				if n%10 > 0 && n < 50 {
					return remoteinvoke.Poll[int]{}, errLook
				}
				return remoteinvoke.Poll[int]{Done: n == 50}, nil
			}, 50, nil},
		} {
			n := 0
			p := remoteinvoke.NewPoller(func(context.Context) (remoteinvoke.Poll[int], error) { n++; return c.look(n) }, nil)
			_, err := p.Wait(t.Context())
			require.ErrorIs(t, err, c.want, name)
			require.Equal(t, c.looks, n, name)
			require.Equal(t, c.want == errJob || c.want == nil, p.Done(), name)
		}
	})
	bubble(t, "obeys a Retry-After of an error", func(t *testing.T) {
		var at []time.Time
		p := remoteinvoke.NewPoller(func(context.Context) (remoteinvoke.Poll[int], error) {
			if at = append(at, time.Now()); len(at) == 1 {
				return remoteinvoke.Poll[int]{}, retry.After(time.Hour, errors.New("503"))
			}
			return remoteinvoke.Poll[int]{Done: true}, nil
		}, nil)
		_, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, at[1].Sub(at[0]), time.Hour)
	})
	bubble(t, "stops with its context, and goes on with another", func(t *testing.T) {
		began, n := time.Now(), 0
		p := remoteinvoke.NewPoller(func(context.Context) (remoteinvoke.Poll[int], error) {
			n++
			return remoteinvoke.Poll[int]{Done: time.Since(began) > time.Hour, Result: 7}, nil
		}, &remoteinvoke.PollOptions{First: -1, Max: time.Nanosecond, MaxErrors: -1})
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, cause)
		defer cancel()
		_, err := p.Wait(ctx)
		require.ErrorIs(t, err, cause)
		require.LessOrEqual(t, n, 51, "an interval below a millisecond is one")
		p = remoteinvoke.NewPoller(func(context.Context) (remoteinvoke.Poll[int], error) {
			return remoteinvoke.Poll[int]{Done: time.Since(began) > time.Hour, Result: 7}, nil
		}, nil)
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = p.Wait(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		out, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 7, out)
	})
}

func TestWait(t *testing.T) {
	bubble(t, "goes on through hours of failures that may pass", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), echo, nil)
		start(t, s)
		c, n := client[string, string](s)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		began := time.Now()
		n.fault = func(_ *http.Request, k int64) (error, error) {
			if time.Since(began) < 3*time.Hour {
				return errNet, nil
			}
			return nil, nil
		}
		out, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "x", out)
		require.Less(t, n.calls.Load(), int64(400), "and does not hurry")
	})
	for name, bad := range map[string]http.HandlerFunc{
		"503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"429 with Retry-After": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"a body that breaks off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"id"`))
		},
	} {
		bubble(t, "goes on after "+name, func(t *testing.T) {
			s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), echo, nil)
			start(t, s)
			k := 0
			h, _ := over(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if k++; r.Method == http.MethodGet && k < 20 {
					bad(w, r)
					return
				}
				s.ServeHTTP(w, r)
			}))
			c := remoteinvoke.Client[string, string]{URL: "https://jobs.example", HTTP: h}
			p, err := c.Start(t.Context(), "x", nil)
			require.NoError(t, err)
			out, err := p.Wait(t.Context())
			if strings.HasPrefix(name, "a body") {
				// What a recorder has is not cut: the JSON is.
				require.ErrorContains(t, err, "does not fit")
				return
			}
			require.NoError(t, err)
			require.Equal(t, "x", out)
		})
	}
	for name, status := range map[string]int{"401": 401, "403": 403, "a redirect": 302} {
		bubble(t, "ends at "+name, func(t *testing.T) {
			calls := 0
			h, _ := over(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls++
				w.Header().Set("Location", "https://evil.example/")
				w.WriteHeader(status)
			}))
			c := remoteinvoke.Client[string, string]{URL: "https://jobs.example", HTTP: h, Header: http.Header{"Authorization": {"Bearer hunter2"}}}
			p, err := c.Resume("job1.a")
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err = p.Wait(ctx)
			require.Error(t, err)
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 1, calls)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	bubble(t, "never shows what is older", func(t *testing.T) {
		version := 5
		h, n := over(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"id":"a","state":"running","version":%d}`, version)
			version-- // a replica that lags behind
		}))
		n.fault = func(r *http.Request, _ int64) (error, error) {
			require.Nil(t, r.GetBody, "net/http must not repeat a request by itself")
			return nil, nil
		}
		c := remoteinvoke.Client[string, string]{URL: "https://jobs.example", HTTP: h}
		p, err := c.Start(t.Context(), "x", &remoteinvoke.StartOptions{ID: "a"})
		require.NoError(t, err)
		for range 3 {
			st, err := p.Status(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 5, st.Version)
		}
	})
	bubble(t, "by many", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), work(10*time.Minute), &remoteinvoke.ServiceOptions{Workers: 200})
		start(t, s)
		c, n := client[string, string](s)
		results := make(chan error, 200)
		for range 200 {
			go func() {
				p, err := c.Start(t.Context(), "x", nil)
				if err == nil {
					_, err = p.Wait(t.Context())
				}
				results <- err
			}()
		}
		for range 200 {
			require.NoError(t, <-results)
		}
		require.Less(t, n.calls.Load(), int64(12_000), "60 calls a job of ten minutes")
	})
}
