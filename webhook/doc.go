// Package webhook signs, verifies and carries webhooks.
//
// It speaks Standard Webhooks (standardwebhooks.com, specification 1.0.0) with
// its symmetric signatures, v1: HMAC-SHA256 over "id.timestamp.body". The
// sender proves who it is, and when it sent; the receiver needs the secret and
// nothing else. Use fireforget to deliver webhooks and to receive them into an
// inbox; use this package where you send or receive by yourself.
//
// Sending:
//
//	secret, err := webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET")) // whsec_...
//	header, err := webhook.Headers(id, time.Now(), body, secret)
//	client := webhook.NewClient(nil) // dials public addresses alone
//
// Receiving:
//
//	v := webhook.Verifier{Secrets: []webhook.Secret{secret}}
//	m, err := v.Read(r)
//	if err != nil {
//		http.Error(w, "webhook refused", webhook.Status(err))
//		return
//	}
//	err = orders.Do(r.Context(), m.ID, time.Time{}, handle(m.Body)) // an inbox
//
// # The promise
//
// A message that [Verifier.Read] returns has, byte for byte, the id, the
// timestamp and the body that a holder of one of the secrets signed, no longer
// ago than the tolerance. That does not make it the first of its kind: senders
// repeat, with the same id and a fresh timestamp, for days. Give the id to an
// inbox.
//
// To rotate a secret, let the receiver know old and new, then sign with both
// ([All]), then with the new one, then let the receiver forget the old one.
//
// # Where it may connect
//
// A URL that somebody else chose may point into your own network. A check when
// the URL is registered is not enough, for a name may resolve to another
// address later. [NewTransport] looks at the very address it connects to, each
// time: it refuses loopback, private, shared, link-local, metadata, multicast,
// documentation and reserved addresses of IPv4 and IPv6, and those of IPv6
// that embed one (mapped, NAT64, 6to4, Teredo), by the registries of RFC 6890.
// It asks no proxy of the environment, for behind a proxy the address is not
// ours to see. [NewClient] adds: no redirects, no user info in URLs.
//
// # What is bounded
//
//	bounded                  default     at the bound
//	body                     1 MiB       ErrTooLarge, before any HMAC
//	age and earliness        5 min       ErrTime
//	id                       256 bytes   ErrHeader
//	signatures in a message  32          ErrHeader
//	secret                   24-64 bytes ErrSecret
//	response header          64 KiB      the response is refused
//	a call of NewClient      30 s        net/http's time-out
//
// # Errors
//
// All errors are an [*Error]; errors.Is tells [ErrHeader], [ErrTime],
// [ErrSignature], [ErrTooLarge], [ErrBody], [ErrSecret], [ErrSigner] and
// [ErrBlocked] apart. None holds a secret, a signature or a body. Tell a sender
// no more than [Status] does.
//
// # Concurrency
//
// Everything here is safe for concurrent use.
//
// # Testing
//
// [Verifier.Verify] is a pure function of its arguments. Against a server of
// net/http/httptest, allow its address and port:
//
//	webhook.NewClient(&webhook.TransportOptions{
//		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
//		Ports: []int{0}, // all
//	})
package webhook
