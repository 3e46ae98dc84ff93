package webhook_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/crosstie/crosstie/webhook"
)

// A sender and a receiver that share a secret.
func Example() {
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier := webhook.Verifier{Secrets: []webhook.Secret{secret}}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, err := verifier.Read(r)
		fmt.Printf("received %q\n", m.Body)
		w.WriteHeader(webhook.Status(err))
	}))
	defer receiver.Close()

	// The receiver of this example is on this machine, which must be allowed.
	client := webhook.NewClient(&webhook.TransportOptions{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Ports: []int{0},
	})
	body := `{"type":"order.created"}`
	for _, sent := range []string{body, `{"type":"forged"}`} {
		r, _ := http.NewRequest(http.MethodPost, receiver.URL, strings.NewReader(sent))
		r.Header, _ = webhook.Headers("order-7-created", time.Now(), []byte(body), secret)
		resp, err := client.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Println(resp.StatusCode)
	}
	// Output:
	// received "{\"type\":\"order.created\"}"
	// 204
	// received ""
	// 401
}

// While a secret is changed, sign with both and accept both.
func ExampleAll() {
	before, after := webhook.NewSecret(), webhook.NewSecret()
	body := []byte(`{}`)
	h, err := webhook.Headers("msg_1", time.Now(), body, webhook.All(before, after))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, known := range []webhook.Secret{before, after} {
		m, err := webhook.Verifier{Secrets: []webhook.Secret{known}}.Verify(h, body, time.Now())
		fmt.Println(m.ID, err)
	}
	// Output:
	// msg_1 <nil>
	// msg_1 <nil>
}

func ExampleParseSecret() {
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	fmt.Printf("%v %+v %v\n", secret, secret, err)
	_, err = webhook.ParseSecret("whsec_c2hvcnQ=")
	fmt.Println(err)
	// Output:
	// REDACTED REDACTED <nil>
	// webhook: parse secret: not a secret: need whsec_ and the base64 of 24 to 64 bytes: it has 5 bytes
}

func ExampleNewSecret() {
	s := webhook.NewSecret()
	fmt.Println(s, len(s.Reveal()))
	// Output: REDACTED 50
}

func ExampleHeaders() {
	secret, _ := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	h, err := webhook.Headers("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), secret)
	fmt.Println(h.Get("webhook-id"), h.Get("webhook-timestamp"), err)
	fmt.Println(h.Get("webhook-signature"))
	// Output:
	// msg_p5jXN8AQM9LWM0D4loKWxJek 1614265330 <nil>
	// v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
}

// An old message is refused, however well it is signed.
func ExampleVerifier_Verify() {
	secret := webhook.NewSecret()
	body, signed := []byte(`{}`), time.Now()
	h, _ := webhook.Headers("msg_1", signed, body, secret)
	v := webhook.Verifier{Secrets: []webhook.Secret{secret}}
	_, err := v.Verify(h, body, signed.Add(time.Minute))
	fmt.Println(err)
	_, err = v.Verify(h, body, signed.Add(time.Hour))
	fmt.Println(errors.Is(err, webhook.ErrTime), webhook.Status(err))
	// Output:
	// <nil>
	// true 401
}

// A receiver reads, answers with a status that says no more than it must, and
// hands the id to an inbox.
func ExampleVerifier_Read() {
	secret := webhook.NewSecret()
	v := webhook.Verifier{Secrets: []webhook.Secret{secret}, MaxBody: 16}
	receive := func(body string) int {
		r := httptest.NewRequest(http.MethodPost, "/hooks", strings.NewReader(body))
		r.Header, _ = webhook.Headers("msg_1", time.Now(), []byte(body), secret)
		_, err := v.Read(r)
		return webhook.Status(err)
	}
	fmt.Println(receive("short"), receive("longer than 16 bytes"))
	// Output: 204 413
}

func ExampleStatus() {
	for _, err := range []error{nil, webhook.ErrHeader, webhook.ErrSignature, webhook.ErrTooLarge} {
		fmt.Println(webhook.Status(err))
	}
	// Output:
	// 204
	// 400
	// 401
	// 413
}

func ExampleNewClient() {
	client := webhook.NewClient(nil)
	for _, target := range []string{"http://169.254.169.254/latest/meta-data", "https://[::ffff:10.0.0.1]/", "https://me:secret@example.com/"} {
		_, err := client.Get(target)
		fmt.Println(errors.Is(err, webhook.ErrBlocked))
	}
	// Output:
	// true
	// true
	// true
}

func ExampleNewTransport() {
	_, err := webhook.NewTransport(nil).DialContext(httptest.NewRequest("GET", "/", nil).Context(), "tcp", "127.0.0.1:443")
	fmt.Println(err)
	// Output: dial tcp 127.0.0.1:443: webhook: dial: not allowed as a destination: 127.0.0.1 is not a public address
}

// Where a customer registers a URL, refuse what can never work.
func ExampleTransportOptions_Check() {
	var o *webhook.TransportOptions
	for _, target := range []string{"https://example.com/hooks", "ftp://example.com", "https://10.0.0.1/", "https://example.com:22/"} {
		u, _ := url.Parse(target)
		fmt.Println(o.Check(u))
	}
	// Output:
	// <nil>
	// webhook: check: not allowed as a destination: its scheme is neither https nor http
	// webhook: check: not allowed as a destination: 10.0.0.1 is not a public address
	// webhook: check: not allowed as a destination: port 22 is not among those allowed
}
