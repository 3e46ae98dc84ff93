package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/webhook"
)

// Anti-pattern: no retry or error handling. A receiver that knows one key,
// and a sender that changes its key at another instant, lose what is sent in
// between; so does one that repeats a message with the signature of its first
// attempt, once the tolerance has passed.

// naiveSign and naiveVerify are what a first version looks like.
func naiveSign(key, id string, at time.Time, body []byte) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "." + string(body)))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

func naiveVerify(key, id string, at, now time.Time, body []byte, sig string) bool {
	return now.Sub(at) < 5*time.Minute && sig == naiveSign(key, id, at, body)
}

func TestRotationLosesNothing(t *testing.T) {
	// The receiver changes at hour 2; the sender, somewhere else, at hour 5.
	const receiver, sender, hours = 2, 5, 8
	naive, ours := 0, 0
	for hour := range hours {
		at := now.Add(time.Duration(hour) * time.Hour)

		signing, knowing := "old", "old"
		if hour >= sender {
			signing = "new"
		}
		if hour >= receiver {
			knowing = "new"
		}
		if naiveVerify(knowing, "msg_1", at, at, body, naiveSign(signing, "msg_1", at, body)) {
			naive++
		}

		signer := webhook.Signer(one)
		v := verifier(one)
		if hour >= sender {
			signer = webhook.All(one, two)
		}
		if hour >= receiver {
			v = verifier(two, one)
		}
		h, err := webhook.Headers("msg_1", at, body, signer)
		require.NoError(t, err)
		if _, err := v.Verify(h, body, at); err == nil {
			ours++
		}
	}
	require.Equal(t, hours-(sender-receiver), naive, "the naive rotation loses what was sent in between")
	require.Equal(t, hours, ours)
}

func TestALateRepeatIsNotLost(t *testing.T) {
	attempts := []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 10 * time.Hour, 24 * time.Hour}
	const outage = 20 * time.Minute // the receiver is down until then
	naive, ours := false, false
	once := naiveSign("key", "msg_1", now, body)
	for _, after := range attempts {
		at := now.Add(after)
		if after < outage {
			continue
		}
		naive = naive || naiveVerify("key", "msg_1", now, at, body, once)
		h, err := webhook.Headers("msg_1", at, body, one)
		require.NoError(t, err)
		m, err := verifier(one).Verify(h, body, at)
		require.NoError(t, err)
		require.Equal(t, "msg_1", m.ID)
		ours = true
	}
	require.False(t, naive, "the signature of the first attempt is too old for every attempt that could land")
	require.True(t, ours)
}

// naiveAllowed is the check at registration: resolve, look, and let it pass.
func naiveAllowed(host string) bool {
	ips, err := net.LookupIP(host)
	for _, ip := range ips {
		if ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() {
			return false
		}
	}
	return err == nil
}

func TestANameThatMovesReachesNothingInside(t *testing.T) {
	_, port, hits := server(t, nil) // stands for a service inside
	var moved atomic.Bool
	resolve(t, func(string) []string {
		if moved.Load() {
			return []string{"127.0.0.1"}
		}
		return []string{"1.1.1.1"}
	})
	const name = "customer.example"
	target := "http://" + name + ":" + strconv.Itoa(port)

	require.True(t, naiveAllowed(name))
	moved.Store(true)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(target)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.EqualValues(t, 1, hits.Load(), "the naive sender called the service inside")

	_, err = webhook.NewClient(&webhook.TransportOptions{Ports: []int{port}}).Get(target)
	blocked(t, err, target)
	require.EqualValues(t, 1, hits.Load())
}

// What Go's own predicates let through that leads inside all the same.
func TestThePredicatesOfTheStandardLibraryAreNotEnough(t *testing.T) {
	naive, ours := 0, 0
	for _, text := range forbidden {
		a := netip.MustParseAddr(text)
		if !a.IsLoopback() && !a.IsPrivate() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified() {
			naive++
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host(text)+"/", nil)
		require.NoError(t, err)
		_, err = webhook.NewTransport(nil).RoundTrip(r)
		if !errors.Is(err, webhook.ErrBlocked) {
			ours++
		}
	}
	require.Greater(t, naive, 20)
	require.Zero(t, ours)
}
