package quota_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/quota"
	"github.com/crosstie/crosstie/requestreply/quota/quotatest"
	"github.com/crosstie/crosstie/retry"
)

var _ requestreply.Quota = (*quota.Quota)(nil)
var _ requestreply.Quota = quota.ByTarget(nil)

var errBoom = errors.New("boom")

func TestMem(t *testing.T) {
	quotatest.TestStore(t, func(*testing.T) quota.Store { return quota.NewMem() })
}

func bubble(t *testing.T, name string, fn func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
}

// takes returns how many of n calls are allowed.
func takes(ctx context.Context, t *testing.T, q *quota.Quota, n int) (allowed int) {
	t.Helper()
	for range n {
		switch err := q.Take(ctx, ""); {
		case err == nil:
			allowed++
		default:
			require.ErrorIs(t, err, quota.ErrSpent)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
		}
	}
	return allowed
}

// Anti-pattern: each process counts for itself. Four of them use an allowance
// up four times over, and the other side shuts all out.
func TestAntipatternCountedApart(t *testing.T) {
	const allowance, processes, wanted = 1000, 4, 1000
	inAll := func(t *testing.T, take func(process int) bool) (n int) {
		for range wanted {
			for p := range processes {
				if take(p) {
					n++
				}
			}
		}
		return n
	}
	t.Run("naive", func(t *testing.T) {
		var used [processes]int
		require.Equal(t, 4*allowance, inAll(t, func(p int) bool { used[p]++; return used[p] <= allowance }))
	})
	bubble(t, "ours", func(t *testing.T) {
		store := quota.NewMem()
		var qs []*quota.Quota
		for range processes {
			qs = append(qs, quota.New("api", allowance, store, &quota.Options{Chunk: 10}))
		}
		require.Equal(t, allowance, inAll(t, func(p int) bool { return qs[p].Take(t.Context(), "") == nil }))
	})
}

func TestQuota(t *testing.T) {
	bubble(t, "a period, then the next", func(t *testing.T) {
		q := quota.New("api", 5, quota.NewMem(), &quota.Options{Period: time.Minute})
		require.Equal(t, 5, takes(t.Context(), t, q, 100))
		wait, ok := retry.AfterOf(q.Take(t.Context(), ""))
		require.True(t, ok)
		require.LessOrEqual(t, wait, time.Minute)
		time.Sleep(wait - time.Microsecond)
		require.Zero(t, takes(t.Context(), t, q, 1))
		time.Sleep(time.Microsecond)
		require.Equal(t, 5, takes(t.Context(), t, q, 100))
	})
	bubble(t, "days begin at midnight UTC", func(t *testing.T) {
		q := quota.New("api", 1, quota.NewMem(), nil)
		require.NoError(t, q.Take(t.Context(), ""))
		s, err := q.State(t.Context())
		require.NoError(t, err)
		require.Equal(t, "00:00:00", s.Until.UTC().Format("15:04:05"))
	})
	bubble(t, "the reserve is for who matters", func(t *testing.T) {
		q := quota.New("api", 100, quota.NewMem(), &quota.Options{Reserve: 10, Chunk: 7})
		require.Equal(t, 90, takes(t.Context(), t, q, 200))
		require.Equal(t, 10, takes(quota.Important(t.Context()), t, q, 200))
		require.Zero(t, takes(t.Context(), t, q, 5))
	})
	bubble(t, "who matters may take first, and does not eat the others' part twice", func(t *testing.T) {
		q := quota.New("api", 100, quota.NewMem(), &quota.Options{Reserve: 10})
		require.Equal(t, 50, takes(quota.Important(t.Context()), t, q, 50))
		require.Equal(t, 40, takes(t.Context(), t, q, 200))
		require.Equal(t, 10, takes(quota.Important(t.Context()), t, q, 200))
	})
	bubble(t, "what a process that died had in hand is used", func(t *testing.T) {
		store := quota.NewMem()
		require.Equal(t, 1, takes(t.Context(), t, quota.New("api", 100, store, &quota.Options{Chunk: 10}), 1))
		require.Equal(t, 90, takes(t.Context(), t, quota.New("api", 100, store, &quota.Options{Chunk: 10}), 200))
	})
	bubble(t, "odd numbers", func(t *testing.T) {
		for _, o := range []*quota.Options{{Reserve: 1 << 60}, {Reserve: 5, Chunk: 1 << 60}, {Reserve: -1}, {Period: 1 << 62}, {Period: -1}} {
			q := quota.New("api", 5, quota.NewMem(), o)
			n := takes(t.Context(), t, q, 10)
			require.Equal(t, 5, n+takes(quota.Important(t.Context()), t, q, 10), "%+v", o)
		}
		require.Zero(t, takes(t.Context(), t, quota.New("api", -5, quota.NewMem(), nil), 3))
		require.Panics(t, func() { quota.New("api", 1, nil, nil) })
	})
	bubble(t, "a store that fails stops calls, that were not sent", func(t *testing.T) {
		q := quota.New("api", 5, failing{quota.NewMem()}, nil)
		err := q.Take(t.Context(), "")
		require.ErrorIs(t, err, errBoom)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		_, err = q.State(t.Context())
		require.ErrorIs(t, err, errBoom)
		q = quota.New("api", 5, contended{quota.NewMem()}, nil)
		require.ErrorIs(t, q.Take(t.Context(), ""), quota.ErrBusy)
	})
	bubble(t, "who waits behind a slow store may leave", func(t *testing.T) {
		q := quota.New("api", 5, slow{quota.NewMem()}, nil)
		var wg sync.WaitGroup
		wg.Go(func() { _ = q.Take(t.Context(), "") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, q.Take(ctx, ""), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		wg.Wait()
	})
	bubble(t, "refusals do not ask the store each time", func(t *testing.T) {
		store := &counting{Store: quota.NewMem()}
		q := quota.New("api", 1, store, nil)
		require.Equal(t, 1, takes(t.Context(), t, q, 1000))
		require.LessOrEqual(t, store.loads, 3)
	})
	t.Run("many at once", func(t *testing.T) {
		store := quota.NewMem()
		var wg sync.WaitGroup
		var mu sync.Mutex
		allowed := 0
		for range 4 {
			q := quota.New("api", 500, store, &quota.Options{Chunk: 3, Period: 31 * 24 * time.Hour})
			for range 4 {
				wg.Go(func() {
					for range 100 {
						err := q.Take(t.Context(), "")
						if err == nil {
							mu.Lock()
							allowed++
							mu.Unlock()
						} else if !errors.Is(err, quota.ErrSpent) && !errors.Is(err, quota.ErrBusy) {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		require.LessOrEqual(t, allowed, 500)
		require.Greater(t, allowed, 450)
	})
}

type failing struct{ quota.Store }

func (failing) Load(context.Context, string) (quota.State, int64, error) {
	return quota.State{}, 0, errBoom
}

type contended struct{ quota.Store }

func (contended) Save(context.Context, string, int64, quota.State) (bool, error) { return false, nil }

type slow struct{ quota.Store }

func (s slow) Load(ctx context.Context, name string) (quota.State, int64, error) {
	time.Sleep(time.Minute)
	return s.Store.Load(ctx, name)
}

type counting struct {
	quota.Store
	loads, saves int
}

func (c *counting) Load(ctx context.Context, name string) (quota.State, int64, error) {
	c.loads++
	return c.Store.Load(ctx, name)
}

func (c *counting) Save(ctx context.Context, name string, version int64, s quota.State) (bool, error) {
	c.saves++
	return c.Store.Save(ctx, name, version, s)
}

// What the other side says, in the words of several.
func TestSaw(t *testing.T) {
	const limit = 1000
	for _, c := range []struct {
		name   string
		status int
		h      http.Header
		used   int64
		limit  int64
		until  time.Duration // from now; zero: as it was
		shut   time.Duration
	}{
		{"Salesforce", 200, http.Header{"Sforce-Limit-Info": {"api-usage=18/5000"}}, 18, 5000, 0, 0},
		{"Salesforce, an app of its own", 200, http.Header{"Sforce-Limit-Info": {"api-usage=18/5000; per-app-api-usage=17/250(appName=x)"}}, 18, 5000, 0, 0},
		{"GitHub", 200, http.Header{"X-Ratelimit-Limit": {"60"}, "X-Ratelimit-Remaining": {"20"}, "X-Ratelimit-Reset": {fmt.Sprint(base.Add(time.Hour).Unix())}}, 40, 60, time.Hour, 0},
		{"seconds", 200, http.Header{"Ratelimit-Limit": {"100, 100;w=60"}, "Ratelimit-Remaining": {"30"}, "Ratelimit-Reset": {"50"}}, 70, 100, 50 * time.Second, 0},
		{"the draft", 200, http.Header{"Ratelimit": {`"minute";r=50;t=30`}, "Ratelimit-Policy": {`"minute";q=100;w=60`}}, 50, 100, 30 * time.Second, 0},
		{"the draft, two policies", 200, http.Header{"Ratelimit": {`"day";r=500;t=3000, "minute";r=5;t=30`}, "Ratelimit-Policy": {`"day";q=1000;w=86400,"minute";q=100;w=60`}}, 95, 100, 30 * time.Second, 0},
		{"the draft, no policy", 200, http.Header{"Ratelimit": {`"default";r=999`}}, 1, limit, 0, 0},
		{"a rest", 429, http.Header{"Retry-After": {"30"}}, 0, limit, 0, 30 * time.Second},
		{"a rest that no 429 asks for", 503, http.Header{"Retry-After": {"30"}}, 0, limit, 0, 0},
		{"a rest for years", 429, http.Header{"Retry-After": {"9223372037"}}, 0, limit, 0, 0},
		{"more used than allowed", 200, http.Header{"Sforce-Limit-Info": {"api-usage=6000/5000"}}, 6000, 5000, 0, 0},
		{"more left than allowed", 200, http.Header{"X-Ratelimit-Remaining": {"5000"}}, 0, limit, 0, 0},
		{"an end in the past", 200, http.Header{"X-Ratelimit-Remaining": {"990"}, "X-Ratelimit-Reset": {"900000000"}}, 10, limit, 0, 0},
		{"an end in a thousand years", 200, http.Header{"X-Ratelimit-Remaining": {"990"}, "X-Ratelimit-Reset": {"99999999999"}}, 10, limit, 0, 0},
		{"no numbers", 200, http.Header{"Sforce-Limit-Info": {"api-usage=-1/0x10"}, "X-Ratelimit-Remaining": {"1e9"}, "Ratelimit": {";;;r=,=t;r"}}, 0, limit, 0, 0},
		{"an allowance of none", 200, http.Header{"Sforce-Limit-Info": {"api-usage=0/0"}}, 0, limit, 0, 0},
		{"numbers without end", 200, http.Header{"X-Ratelimit-Remaining": {strings.Repeat("9", 100)}}, 0, limit, 0, 0},
		{"two fields of one name", 200, http.Header{"X-Ratelimit-Remaining": {"1", "2"}}, 0, limit, 0, 0},
		{"a field of 10 KB", 200, http.Header{"Ratelimit": {`"a";r=1` + strings.Repeat(" ", 10_000)}}, 0, limit, 0, 0},
	} {
		bubble(t, c.name, func(t *testing.T) {
			time.Sleep(time.Until(base))
			q := quota.New("api", limit, quota.NewMem(), nil)
			before, err := q.State(t.Context())
			require.NoError(t, err)
			q.Saw(t.Context(), "", c.status, c.h)
			s, err := q.State(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.used, s.Used)
			require.Equal(t, c.limit, s.Limit)
			want := before.Until
			if c.until > 0 {
				want = base.Add(c.until)
			}
			require.True(t, s.Until.Equal(want), "%v, want %v", s.Until, want)
			if c.shut == 0 {
				require.True(t, s.Shut.IsZero())
				return
			}
			require.True(t, s.Shut.Equal(base.Add(c.shut)))
			wait, _ := retry.AfterOf(q.Take(quota.Important(t.Context()), ""))
			require.Equal(t, c.shut, wait, "for all, who matter too")
			time.Sleep(wait)
			require.NoError(t, q.Take(t.Context(), ""))
		})
	}
	bubble(t, "another user of the allowance is seen by all processes", func(t *testing.T) {
		store := quota.NewMem()
		a, b := quota.New("org", 1000, store, &quota.Options{Chunk: 10}), quota.New("org", 1000, store, &quota.Options{Chunk: 10})
		require.NoError(t, a.Take(t.Context(), ""))
		require.NoError(t, b.Take(t.Context(), ""))
		a.Saw(t.Context(), "", 200, http.Header{"Sforce-Limit-Info": {"api-usage=990/1000"}})
		require.LessOrEqual(t, takes(t.Context(), t, a, 100)+takes(t.Context(), t, b, 100), 10+9, "what was left, and what b had in hand")
	})
	bubble(t, "answers that overtake each other take nothing back", func(t *testing.T) {
		q := quota.New("org", 1000, quota.NewMem(), nil)
		for _, usage := range []string{"500/1000", "400/1000", "499/1000", "400/2000"} { // the last one has other news
			q.Saw(t.Context(), "", 200, http.Header{"Sforce-Limit-Info": {"api-usage=" + usage}})
		}
		s, err := q.State(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 500, s.Used)
		require.EqualValues(t, 2000, s.Limit)
	})
	bubble(t, "what is in hand is gone when nothing is left", func(t *testing.T) {
		q := quota.New("org", 1000, quota.NewMem(), &quota.Options{Chunk: 100})
		require.NoError(t, q.Take(t.Context(), ""))
		q.Saw(t.Context(), "", 200, http.Header{"Sforce-Limit-Info": {"api-usage=1000/1000"}})
		require.Zero(t, takes(t.Context(), t, q, 10))
	})
	bubble(t, "small news cost the store nothing", func(t *testing.T) {
		store := &counting{Store: quota.NewMem()}
		q := quota.New("org", 100_000, store, nil)
		for i := range 99 {
			q.Saw(t.Context(), "", 200, http.Header{"Sforce-Limit-Info": {fmt.Sprintf("api-usage=%d/100000", i)}})
		}
		require.LessOrEqual(t, store.saves, 1, "the allowance itself was news")
	})
}

// base is an instant in a bubble, which begin at midnight.
var base = time.Date(2000, 1, 1, 6, 0, 0, 0, time.UTC)

// The guard takes each attempt from the allowance, tells it of answers, and
// names the instant to come back at.
func TestGuardWithQuota(t *testing.T) {
	var hits int
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits++
		w.Header().Set("Sforce-Limit-Info", fmt.Sprintf("api-usage=%d/20", 10+hits))
		if hits%2 == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(api.Close)
	host := strings.TrimPrefix(api.URL, "http://")
	for name, over := range map[string]func(*requestreply.Guard) error{
		"Endpoint": func(g *requestreply.Guard) error {
			_, err := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: api.URL, Guard: g}.Call(t.Context(), struct{}{})
			return err
		},
		"Transport": func(g *requestreply.Guard) error {
			resp, err := (&http.Client{Transport: &requestreply.Transport{Guard: g}}).Get(api.URL)
			if err == nil {
				err = resp.Body.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			hits = 0
			q := quota.ByTarget{host: quota.New("org", 100, quota.NewMem(), &quota.Options{Period: 31 * 24 * time.Hour})}
			g := requestreply.NewGuard(&requestreply.Options{Quota: q, MaxInFlight: 1, MaxQueue: -1, Retry: retry.Policy{Base: -1}})
			var err error
			calls := 0
			for ; err == nil; calls++ {
				err = over(g)
			}
			require.ErrorIs(t, err, quota.ErrSpent)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			e, ok := errors.AsType[*requestreply.Error](err)
			require.True(t, ok)
			require.False(t, e.At.IsZero())
			require.Equal(t, 10, hits, "others had used ten of twenty; repeats count too")
			require.Equal(t, 6, calls)
			require.ErrorIs(t, over(g), quota.ErrSpent, "and its place was given back")
			_, err = requestreply.Run(t.Context(), g, requestreply.Op{Target: "elsewhere"}, func(context.Context) (int, error) { return 1, nil })
			require.NoError(t, err, "another target has no allowance to keep")
		})
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("api-usage=18/5000", "50", `"a";r=50;t=30`, `"a";q=100`)
	f.Add("api-usage=/", "-1", `;r=`, `,`)
	f.Fuzz(func(t *testing.T, sf, n, limits, policies string) {
		q := quota.New("x", 1000, quota.NewMem(), nil)
		for _, h := range []http.Header{
			{"Sforce-Limit-Info": {sf}},
			{"X-Ratelimit-Limit": {n}, "X-Ratelimit-Remaining": {n}, "X-Ratelimit-Reset": {n}},
			{"Ratelimit": {limits}, "Ratelimit-Policy": {policies}},
		} {
			q.Saw(t.Context(), "", 200, h)
			s, err := q.State(t.Context())
			require.NoError(t, err)
			require.GreaterOrEqual(t, s.Used, int64(0))
			require.Greater(t, s.Limit, int64(0))
			require.LessOrEqual(t, time.Until(s.Until), 31*24*time.Hour+time.Second)
		}
	})
}
