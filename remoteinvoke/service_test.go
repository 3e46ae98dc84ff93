package remoteinvoke_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/retry"
)

// network is a handler behind an http.Client without a socket, so that it
// works in a bubble. fault, if set, is asked before and after each request.
type network struct {
	http.Handler
	calls atomic.Int64
	fault func(r *http.Request, n int64) (before, after error)
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	k := n.calls.Add(1)
	var before, after error
	if n.fault != nil {
		before, after = n.fault(r, k)
	}
	if before != nil {
		return nil, before
	}
	rec := httptest.NewRecorder()
	n.ServeHTTP(rec, r)
	if after != nil {
		return nil, after
	}
	return rec.Result(), nil
}

var errNet = errors.New("connection reset")

func over(h http.Handler) (*http.Client, *network) {
	n := &network{Handler: h}
	return &http.Client{Transport: n}, n
}

// start runs s until stop is called.
func start(t *testing.T, s *remoteinvoke.Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(t, <-ran)
		})
	}
	t.Cleanup(stop)
	return stop
}

func bubble(t *testing.T, name string, fn func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
}

// client returns a client of s without a network.
func client[In, Out any](s *remoteinvoke.Service) (remoteinvoke.Client[In, Out], *network) {
	h, n := over(s)
	return remoteinvoke.Client[In, Out]{URL: "https://jobs.example/", HTTP: h}, n
}

func echo(_ context.Context, _ *remoteinvoke.Job, in string) (string, error) { return in, nil }

// work is a function that takes d, and heeds its context.
func work(d time.Duration) func(context.Context, *remoteinvoke.Job, string) (string, error) {
	return func(ctx context.Context, _ *remoteinvoke.Job, in string) (string, error) {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(d):
			return in, nil
		}
	}
}

func TestJobs(t *testing.T) {
	bubble(t, "is done", func(t *testing.T) {
		s := remoteinvoke.NewService("echo", remoteinvoke.NewMem(), echo, nil)
		start(t, s)
		c, _ := client[string, string](s)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		out, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "x", out)
		st, err := p.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, remoteinvoke.Done, st.State)
		require.Equal(t, 1, st.Attempt)
		require.NotZero(t, st.Deadline)
		out, err = p.Wait(t.Context()) // again
		require.NoError(t, err)
		require.Equal(t, "x", out)
	})
	bubble(t, "is resumed by its token", func(t *testing.T) {
		s := remoteinvoke.NewService("echo", remoteinvoke.NewMem(), work(time.Hour/2), nil)
		start(t, s)
		c, _ := client[string, string](s)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		q, err := c.Resume(p.Token())
		require.NoError(t, err)
		out, err := q.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "x", out)
		for _, bad := range []string{"", "x", "job1.", "job1.a/b", "job2.a"} {
			_, err := c.Resume(bad)
			require.ErrorIs(t, err, remoteinvoke.ErrInvalid, bad)
		}
		lost, err := c.Resume("job1.nobody")
		require.NoError(t, err)
		_, err = lost.Wait(t.Context())
		require.ErrorIs(t, err, remoteinvoke.ErrNotFound)
		_, err = lost.Status(t.Context())
		require.ErrorIs(t, err, remoteinvoke.ErrNotFound)
		_, err = lost.Cancel(t.Context())
		require.ErrorIs(t, err, remoteinvoke.ErrNotFound)
	})
	bubble(t, "fails with what its function says, and no more", func(t *testing.T) {
		secret := errors.New("password hunter2")
		for name, c := range map[string]struct {
			err      error
			code     string
			attempts int
		}{
			"a failure": {&remoteinvoke.Failure{Code: "no_stock", Message: "there is none"}, "no_stock", 1},
			"wrapped":   {fmt.Errorf("x: %w", &remoteinvoke.Failure{Code: "no_stock"}), "no_stock", 1},
			"no code":   {&remoteinvoke.Failure{}, remoteinvoke.CodeFailed, 1},
			"permanent": {retry.Permanent(secret), remoteinvoke.CodeFailed, 1},
			"its word":  {outcome.TransientError(outcome.Refused, false, secret), remoteinvoke.CodeFailed, 1},
			"any other": {secret, remoteinvoke.CodeAttempts, 10},
			"later":     {retry.After(time.Hour, secret), remoteinvoke.CodeAttempts, 10},
			"too late":  {retry.After(24*time.Hour, secret), remoteinvoke.CodeTimeout, 1},
			"transient": {outcome.TransientError(outcome.Unknown, true, secret), remoteinvoke.CodeAttempts, 10},
		} {
			var n atomic.Int64
			var log bytes.Buffer
			s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(context.Context, *remoteinvoke.Job, struct{}) (int, error) {
				n.Add(1)
				return 0, c.err
			}, &remoteinvoke.ServiceOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			stop := start(t, s)
			cl, _ := client[struct{}, int](s)
			p, err := cl.Start(t.Context(), struct{}{}, nil)
			require.NoError(t, err)
			_, err = p.Wait(t.Context())
			f, ok := errors.AsType[*remoteinvoke.Failure](err)
			require.True(t, ok, "%s: %v", name, err)
			require.Equal(t, c.code, f.Code, name)
			require.EqualValues(t, c.attempts, n.Load(), name)
			require.NotContains(t, err.Error(), "hunter2", name)
			require.Equal(t, outcome.Unknown, outcome.Of(err), name)
			transient, said := outcome.Transient(err)
			require.True(t, said && !transient, name)
			st, err := p.Status(t.Context())
			require.NoError(t, err)
			require.Equal(t, remoteinvoke.Failed, st.State)
			stop()
			if c.code != "no_stock" && name != "no code" {
				require.Contains(t, log.String(), "hunter2", "the log is told: %s", name)
			}
		}
	})
	bubble(t, "is attempted again", func(t *testing.T) {
		for _, how := range []string{"error", "panic", "goexit", "after"} {
			s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(_ context.Context, j *remoteinvoke.Job, _ int) (int, error) {
				if j.Attempt() < 3 {
					switch how {
					case "panic":
						panic("oh")
					case "goexit":
						runtime.Goexit()
					case "after":
						return 0, retry.After(time.Minute, errors.New("busy"))
					}
					return 0, errors.New("oh")
				}
				return j.Attempt(), nil
			}, nil)
			stop := start(t, s)
			c, _ := client[int, int](s)
			began := time.Now()
			p, err := c.Start(t.Context(), 0, nil)
			require.NoError(t, err)
			out, err := p.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, 3, out)
			if how == "after" {
				require.GreaterOrEqual(t, time.Since(began), 2*time.Minute)
			}
			stop()
		}
	})
	bubble(t, "has results it cannot have", func(t *testing.T) {
		for name, out := range map[string]any{"too large": strings.Repeat("x", 2000), "no JSON": func() {}} {
			var n atomic.Int64
			s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(context.Context, *remoteinvoke.Job, int) (any, error) {
				n.Add(1)
				return out, nil
			}, &remoteinvoke.ServiceOptions{MaxResult: 1000})
			stop := start(t, s)
			c, _ := client[int, any](s)
			p, err := c.Start(t.Context(), 0, nil)
			require.NoError(t, err)
			_, err = p.Wait(t.Context())
			f, ok := errors.AsType[*remoteinvoke.Failure](err)
			require.True(t, ok, name)
			require.Equal(t, remoteinvoke.CodeResult, f.Code, name)
			require.EqualValues(t, 1, n.Load(), "attempting it again would not help: %s", name)
			stop()
		}
	})
}

func TestCancel(t *testing.T) {
	bubble(t, "what nobody has begun", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), echo, nil)
		c, _ := client[string, string](s)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		st, err := p.Cancel(t.Context())
		require.NoError(t, err)
		require.Equal(t, remoteinvoke.Canceled, st.State)
		_, err = p.Wait(t.Context())
		require.ErrorIs(t, err, remoteinvoke.ErrCanceled)
		require.Equal(t, outcome.Refused, outcome.Of(err), "nothing was begun")
		start(t, s)
		time.Sleep(time.Minute)
		st, err = p.Status(t.Context())
		require.NoError(t, err)
		require.Zero(t, st.Attempt)
	})
	for name, elsewhere := range map[string]bool{"what runs here": false, "what runs elsewhere": true} {
		bubble(t, name, func(t *testing.T) {
			store := remoteinvoke.NewMem()
			var cause error
			var told time.Time
			fn := func(ctx context.Context, _ *remoteinvoke.Job, in string) (string, error) {
				<-ctx.Done()
				cause, told = context.Cause(ctx), time.Now()
				time.Sleep(time.Minute) // it takes its time: the lease goes on
				return "", cause
			}
			s := remoteinvoke.NewService("f", store, fn, nil)
			start(t, s)
			asked := s
			if elsewhere {
				asked = remoteinvoke.NewService("f", store, fn, nil)
			}
			c, _ := client[string, string](asked)
			p, err := c.Start(t.Context(), "x", nil)
			require.NoError(t, err)
			time.Sleep(time.Second)
			asking := time.Now()
			st, err := p.Cancel(t.Context())
			require.NoError(t, err)
			require.Equal(t, remoteinvoke.Canceling, st.State, "it has not stopped")
			again, err := p.Cancel(t.Context())
			require.NoError(t, err)
			require.Equal(t, st, again)
			began := time.Now()
			_, err = p.Wait(t.Context())
			require.ErrorIs(t, err, remoteinvoke.ErrCanceled)
			require.Equal(t, outcome.Unknown, outcome.Of(err))
			require.GreaterOrEqual(t, time.Since(began), time.Minute)
			require.ErrorIs(t, cause, remoteinvoke.ErrCanceled)
			if delay := told.Sub(asking); elsewhere {
				require.LessOrEqual(t, delay, 4*time.Second, "at the next heartbeat")
			} else {
				require.Zero(t, delay, "at once")
			}
			st, err = p.Status(t.Context())
			require.NoError(t, err)
			require.Equal(t, remoteinvoke.Canceled, st.State)
			require.Equal(t, 1, st.Attempt)
			st, err = p.Cancel(t.Context())
			require.NoError(t, err)
			require.Equal(t, remoteinvoke.Canceled, st.State)
		})
	}
	bubble(t, "what then says that it failed for good", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(ctx context.Context, _ *remoteinvoke.Job, _ string) (string, error) {
			<-ctx.Done()
			return "", retry.Permanent(ctx.Err())
		}, nil)
		start(t, s)
		st := begin(t, s, "x", nil)
		time.Sleep(time.Second)
		_, err := s.Cancel(t.Context(), "", st.ID)
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, remoteinvoke.Canceled, status(t, s, st.ID).State)
	})
	bubble(t, "what ends as done all the same", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(_ context.Context, _ *remoteinvoke.Job, in string) (string, error) {
			time.Sleep(time.Minute)
			return in, nil
		}, nil)
		start(t, s)
		c, _ := client[string, string](s)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		time.Sleep(time.Second)
		st, err := p.Cancel(t.Context())
		require.NoError(t, err)
		require.Equal(t, remoteinvoke.Canceling, st.State)
		out, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "x", out)
	})
	bubble(t, "not by who stops waiting", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), work(10*time.Minute), nil)
		start(t, s)
		c, n := client[string, string](s)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n.fault = func(r *http.Request, _ int64) (error, error) {
			require.Equal(t, http.MethodGet, r.Method)
			return nil, nil
		}
		_, err = p.Wait(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		out, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "x", out)
	})
}
