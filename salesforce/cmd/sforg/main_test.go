package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A screen keeps what is printed.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func none(string) string { return "" }

// The program does what it prints: one can log in at its URL, write to the
// objects of its schema, and look through its control surface.
func TestRun(t *testing.T) {
	schema := filepath.Join(t.TempDir(), "schema.json")
	require.NoError(t, os.WriteFile(schema, []byte(`{"objects":[{"name":"Stock__c","fields":[{"name":"SKU__c","externalId":true}]}]}`), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	var out screen
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-schema", schema, "-control", "127.0.0.1:0", "-v"}, none, &out, io.Discard)
	}()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(out.String(), "log in with"); {
		require.True(t, time.Now().Before(deadline), "%s", out.String())
	}
	said := func(label string) string {
		return regexp.MustCompile(`(?m)^` + label + ` +(\S+)`).FindStringSubmatch(out.String())[1]
	}
	resp, err := http.PostForm(said("url")+"/services/oauth2/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {said("client id")}, "client_secret": {said("client secret")},
	})
	require.NoError(t, err)
	var login struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&login))
	require.NoError(t, resp.Body.Close())
	req, err := http.NewRequestWithContext(ctx, "PATCH", said("url")+"/services/data/v60.0/sobjects/Stock__c/SKU__c/x", strings.NewReader(`{}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+login.AccessToken)
	resp, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 201, resp.StatusCode)
	resp, err = http.Get(said("control") + "/rows?object=Stock__c")
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Contains(t, string(text), `"SKU__c":"x"`)
	cancel()
	require.NoError(t, <-done)
	_, err = http.Get(said("control"))
	require.Error(t, err)
}

func TestRunRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "schema.json")
	require.NoError(t, os.WriteFile(bad, []byte(`{"objects":[{"name":"Stock"}]}`), 0o600))
	for want, args := range map[string][]string{
		"is no flag":                {"serve"},
		"no such file":              {"-schema", "nowhere.json"},
		"ends in __c":               {"-schema", bad},
		"not of this machine alone": {"-addr", "0.0.0.0:0"},
		"it asks for no password":   {"-control", "0.0.0.0:0"},
		"missing port":              {"-control", "127.0.0.1"},
		"nothing could move a job":  {"-bulk-hold"},
		"flag provided but not":     {"-client-secret", "x"},
		flag.ErrHelp.Error():        {"-help"},
	} {
		var out screen
		require.ErrorContains(t, run(t.Context(), args, none, &out, &out), want)
	}
}

// A secret that comes from the environment is not printed.
func TestSecretIsNotPrinted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out screen
	env := map[string]string{"SFORG_CLIENT_ID": "me", "SFORG_CLIENT_SECRET": "hush-hush"}
	require.NoError(t, run(ctx, nil, func(k string) string { return env[k] }, &out, &out))
	require.Contains(t, out.String(), "client id      me\n")
	require.NotContains(t, out.String(), "hush")
}
