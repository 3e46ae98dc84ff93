package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheProxyLosesRequestsAndAnswersByTheSeed(t *testing.T) {
	run := func(seed uint64) (applied, heard int64, fates string) {
		var effects atomic.Int64
		warehouse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			effects.Add(1)
			w.WriteHeader(http.StatusCreated)
		}))
		defer warehouse.Close()
		at, err := url.Parse(warehouse.URL)
		require.NoError(t, err)
		p := newFaultProxy(at, seed, warehouse.Client().Transport)
		front := httptest.NewUnstartedServer(p)
		front.Start()
		defer front.Close()
		for i := range 200 {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL+"/reservations/"+strconv.Itoa(i), nil)
			require.NoError(t, err)
			res, err := front.Client().Do(r)
			if err != nil {
				fates += "x"
				continue
			}
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusCreated, res.StatusCode)
			fates += "."
			heard++
		}
		require.Equal(t, int64(200), p.passed.Load()+p.lostAnswers.Load()+p.lostRequests.Load())
		require.Equal(t, p.passed.Load(), heard)
		require.Equal(t, p.passed.Load()+p.lostAnswers.Load(), effects.Load(), "a lost answer is one that was applied")
		return effects.Load(), heard, fates
	}
	applied, heard, fates := run(7)
	require.Greater(t, applied, heard, "some answers are lost after the effect")
	require.Less(t, applied, int64(200), "some requests never arrive")
	_, _, again := run(7)
	require.Equal(t, fates, again, "the same seed, the same fate of each request")
	_, _, other := run(8)
	require.NotEqual(t, fates, other)
}
