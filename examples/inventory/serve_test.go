package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A console collects what a running program prints.
type console struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(b)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

// eventually asks again and again until ok, or fails.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("never: " + what)
		}
	}
}

func TestServe(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var out, errs console
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"-dir", fastDir(t), "-addr", "127.0.0.1:0"}, func(string) string { return "" }, &out, &errs, hooks{})
	}()
	eventually(t, "it serves", func() bool { return strings.Contains(out.String(), "/status") || len(ended) > 0 })
	base := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(out.String())
	require.NotEmpty(t, base, errs.String())

	call := func(method, path, key, body string) (int, http.Header, map[string]any) {
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		require.NoError(t, err)
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		var v map[string]any
		require.NoError(t, json.Unmarshal(b, &v), string(b))
		return res.StatusCode, res.Header, v
	}

	status, _, v := call("GET", "/stock/10131", "", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "WOODEN TRAIN STATION", v["description"])
	require.Equal(t, "11.50", v["unit_price"])
	require.EqualValues(t, 4, v["stock"])

	status, _, v = call("GET", "/stock/NONE", "", "")
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, problemNoProduct, v["type"])

	status, _, v = call("POST", "/reservations", "one", `{"id":"one","sku":"10131","quantity":3}`)
	require.Equal(t, http.StatusOK, status)
	require.EqualValues(t, 1, v["left"])
	status, head, v := call("POST", "/reservations", "one", `{"id":"one","sku":"10131","quantity":3}`)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "true", head.Get("Idempotent-Replayed"))
	require.EqualValues(t, 1, v["left"], "the first answer, and no second effect")

	for name, c := range map[string]struct {
		key, body, kind string
		status          int
	}{
		"out of stock":      {"two", `{"id":"two","sku":"10131","quantity":2}`, problemOutOfStock, 409},
		"no such product":   {"three", `{"id":"three","sku":"NONE","quantity":2}`, problemNoProduct, 404},
		"nothing":           {"four", `{"id":"four","sku":"10131","quantity":0}`, problemBadOrder, 422},
		"an id for no log":  {"five", `{"id":"a\nb","sku":"10131","quantity":1}`, problemBadOrder, 422},
		"no key":            {"", `{"id":"six","sku":"10131","quantity":1}`, "", 400},
		"a key used before": {"one", `{"id":"one","sku":"10131","quantity":1}`, "", 422},
		"an id used before": {"another", `{"id":"one","sku":"10131","quantity":1}`, problemUsedID, 409},
		"no JSON":           {"seven", `quantity=1`, "", 400},
	} {
		status, _, v := call("POST", "/reservations", c.key, c.body)
		require.Equal(t, c.status, status, name)
		if c.kind != "" {
			require.Equal(t, c.kind, v["type"], name)
		}
	}

	landed := func() bool {
		_, _, v := call("GET", "/status", "", "")
		m := v["fireforget"].(map[string]any)
		return m[audit].(map[string]any)["landed_in_this_process"] == 1.0 && m[notification].(map[string]any)["pending"] == 0.0
	}
	eventually(t, "both webhooks land", landed)
	status, _, v = call("GET", "/status", "", "")
	require.Equal(t, http.StatusOK, status)
	require.EqualValues(t, 40, v["products"])
	require.NotEmpty(t, v["versions"].(map[string]any)["sqlite"])
	require.EqualValues(t, 0, v["requestreply"].(map[string]any)["failed"])

	interrupt()
	require.Equal(t, exitOK, <-ended, errs.String())
	require.Contains(t, errs.String(), "stopping")
	_, err := http.Get(base + "/status") //nolint: the server is gone
	require.Error(t, err)
}
