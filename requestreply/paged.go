package requestreply

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"net/http"
)

// ErrNextPage says that a page was answered, and that what it says of the next
// one cannot be followed: it does not parse, leads to another origin or back
// to a page that was there already. The list is not complete.
var ErrNextPage = errors.New("the next page cannot be followed")

// A Paged is a list that comes in pages. It is a stateless value, like the
// [Endpoint] in it:
//
//	products := requestreply.Paged[struct{}, []Product]{
//		Endpoint: requestreply.Endpoint[struct{}, []Product]{URL: base + "/products", Guard: guard},
//	}
//	for page, err := range products.All(ctx) {
//		if err != nil {
//			return err // page.At is where to go on
//		}
//		...
//	}
//
// Every page is a call of its own, with its own time limits and repeats. All
// pages have the origin of Endpoint.URL (scheme, host and port), so that the
// header of the Endpoint, and the credentials in it, go nowhere else.
//
// To go on later, after an error, a crash or a limit, put what the last Page
// says into From.
type Paged[Req, T any] struct {
	// Endpoint is the first page. Its Method defaults to GET, or to POST with
	// Request; a POST is repeated only if Idempotent says that it may be.
	// IfMatch and IfNoneMatch are about the page that is asked for first.
	Endpoint Endpoint[Req, T]
	// Next returns where a page says the next one is: a URL, absolute or
	// relative to the page's own, or a cursor if CursorParam or Request is set;
	// empty after the last page. Nil means the Link header with rel="next" (RFC
	// 8288); a page without one is the last.
	Next func(Reply[T]) string
	// CursorParam is the query parameter of Endpoint.URL that takes what Next
	// returns. Empty means that Next returns URLs.
	CursorParam string
	// Request makes the request of the page at a cursor that Next returned,
	// which is empty for the first, for lists whose cursor travels in the body.
	// All pages then have the URL of the Endpoint. Nil means a zero Req.
	Request func(cursor string) Req
	// From is the page to begin with, as Page.At or Page.Next of an earlier
	// walk names it. Empty means the first.
	From string
	// MaxPages is how many pages are asked for; if there are more, that is
	// ErrTooLarge. Defaults to 1000; a negative value means no limit.
	MaxPages int
	// MaxBytes limits the bodies of all pages together, in bytes after
	// decompression; more is ErrTooLarge. Defaults to 64 MiB; a negative value
	// means no limit. A single page is limited by Endpoint.MaxBody.
	MaxBytes int64
}

// A Page is one page of a list.
type Page[T any] struct {
	Reply[T]
	// At is where it was asked for: its URL, or its cursor if Paged.Request is
	// set. Beside an error it is where to go on: the page that is missing, or
	// the last one again if ErrNextPage is what is wrong with it.
	At string
	// Next is where the next page is, in the same way, and empty on the last.
	Next string
}

const (
	defaultMaxPages = 1000
	defaultMaxBytes = 64 << 20
	maxNext         = 8 << 10 // bytes of a next link or cursor
)

// All returns an iterator over the pages from the first to the last. It ends
// after the first error, which is an [*Error]; all pages before it are good.
// Whoever stops it early has asked for no page more than it was given. Each use
// of the iterator begins anew.
func (p Paged[Req, T]) All(ctx context.Context) iter.Seq2[Page[T], error] {
	return func(yield func(Page[T], error) bool) {
		w := walk[Req, T]{Paged: p, left: p.MaxBytes, seen: map[[sha256.Size]byte]struct{}{}}
		if p.Request == nil { // an Endpoint's own default is POST
			w.Endpoint.Method = orText(p.Endpoint.Method, http.MethodGet)
		}
		if w.left == 0 {
			w.left = defaultMaxBytes
		}
		if w.MaxPages == 0 {
			w.MaxPages = defaultMaxPages
		}
		if w.Endpoint.MaxBody == 0 {
			w.Endpoint.MaxBody = defaultMaxBody
		}
		at, err := w.first()
		if err != nil {
			yield(Page[T]{At: p.From}, w.refused(err))
			return
		}
		for {
			page, err := w.page(ctx, at)
			if err != nil {
				page.Next = ""
				yield(page, err)
				return
			}
			var bad error
			page.Next, bad = w.next(page)
			if !yield(page, nil) {
				return
			}
			if bad != nil {
				yield(Page[T]{At: page.At}, w.refused(bad))
				return
			}
			if at = page.Next; at == "" {
				return
			}
		}
	}
}
