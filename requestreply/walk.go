package requestreply

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/crosstie/crosstie/outcome"
)

// A walk is one use of the iterator.
type walk[Req, T any] struct {
	Paged[Req, T]
	pages int
	left  int64                          // of MaxBytes, negative for no limit
	user  *url.Userinfo                  // of Endpoint.URL
	base  *url.URL                       // of the page at hand, after redirects
	seen  map[[sha256.Size]byte]struct{} // the resources asked for
}

// page asks for one page.
func (w *walk[Req, T]) page(ctx context.Context, at string) (Page[T], error) {
	page := Page[T]{At: at}
	if w.MaxPages >= 0 && w.pages >= w.MaxPages {
		return page, w.refused(fmt.Errorf("more than %d pages: %w", w.MaxPages, ErrTooLarge))
	}
	e := w.Endpoint
	var req Req
	if w.Request != nil {
		req = w.Request(at)
	} else {
		e.URL = w.as(at)
	}
	if w.pages > 0 {
		e.IfMatch, e.IfNoneMatch = "", ""
	}
	if w.left == 0 {
		return page, w.refused(fmt.Errorf("MaxBytes is used up after %d pages: %w", w.pages, ErrTooLarge))
	}
	all := w.left >= 0 && (e.MaxBody < 0 || w.left < e.MaxBody)
	if all {
		e.MaxBody = w.left
	}
	r, a, err := e.reply(ctx, req)
	page.Reply = r
	if err != nil {
		if all && errors.Is(err, ErrTooLarge) {
			err = &Error{Op: w.op(), Attempts: a.tried, Status: a.status, Known: outcome.Applied,
				Err: fmt.Errorf("with this page more than MaxBytes: %w", ErrTooLarge), harmless: true}
		}
		return page, err
	}
	w.pages++
	if w.left >= 0 {
		w.left = max(0, w.left-a.size)
	}
	w.base = a.url
	if w.Request != nil {
		w.seen[sha256.Sum256([]byte(at))] = struct{}{}
		return page, nil
	}
	w.seen[resource(w.base)] = struct{}{}
	if asked, err := url.Parse(at); err == nil {
		w.seen[resource(asked)] = struct{}{}
	}
	return page, nil
}

// first returns where the walk begins.
func (w *walk[Req, T]) first() (string, error) {
	if w.Request != nil {
		if w.Next == nil {
			return "", errors.New("Paged.Request needs a Paged.Next that returns cursors")
		}
		return w.From, nil
	}
	home, err := url.Parse(w.Endpoint.URL)
	if err != nil {
		return w.Endpoint.URL, nil // the call will say so
	}
	w.user = home.User
	if w.From == "" {
		home.User = nil
		return home.String(), nil
	}
	from, err := url.Parse(w.From)
	if err != nil || origin(from) != origin(home) {
		return "", fmt.Errorf("%w: Paged.From is no page of this list: it has not the origin of Endpoint.URL", ErrNextPage)
	}
	return w.From, nil
}

// as returns the URL to ask for a page. Its user is ours, whatever a page says,
// and stands in no Page: that may be written down.
func (w *walk[Req, T]) as(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return at
	}
	u.User = w.user
	return u.String()
}

// next returns where the page after p is, empty if p is the last.
func (w *walk[Req, T]) next(p Page[T]) (string, error) {
	var to string
	var err error
	if w.Next != nil {
		to = w.Next(p.Reply)
	} else if to, err = nextLink(p.Header); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNextPage, err)
	}
	if to == "" {
		return "", nil
	}
	if len(to) > maxNext {
		return "", fmt.Errorf("%w: it takes %d bytes, more than %d", ErrNextPage, len(to), maxNext)
	}
	if w.Request != nil {
		if _, again := w.seen[sha256.Sum256([]byte(to))]; again {
			return "", errCircle
		}
		return to, nil
	}
	first, err := url.Parse(w.Endpoint.URL)
	if err != nil {
		return "", fmt.Errorf("%w: the first has no URL", ErrNextPage)
	}
	u := new(*first)
	if w.CursorParam != "" {
		q := u.Query()
		q.Set(w.CursorParam, to)
		u.RawQuery = q.Encode()
	} else {
		ref, err := url.Parse(to)
		if err != nil {
			return "", fmt.Errorf("%w: its URL does not parse", ErrNextPage)
		}
		u = w.base.ResolveReference(ref)
	}
	u.Fragment, u.RawFragment = "", ""
	if origin(u) != origin(first) {
		return "", fmt.Errorf("%w: it leads from %s to %s, where the credentials of the first must not go",
			ErrNextPage, printable(cut(origin(first))), printable(cut(origin(u))))
	}
	u.User = nil
	if _, again := w.seen[resource(u)]; again {
		return "", errCircle
	}
	return u.String(), nil
}

var errCircle = fmt.Errorf("%w: it was there already, the pages go round in a circle", ErrNextPage)

// resource is a hash of what a URL asks for. URLs may be long, and pages many.
func resource(u *url.URL) [sha256.Size]byte {
	return sha256.Sum256([]byte(origin(u) + u.RequestURI()))
}

// refused is the error of a page that was not asked for.
func (w *walk[Req, T]) refused(why error) error {
	c := call{name: w.op(), harmless: true}
	return c.refused(outcome.TransientError(outcome.NotSent, false, why))
}

func (w *walk[Req, T]) op() string {
	return orText(w.Endpoint.Method, http.MethodPost) + " " + safeURL(w.Endpoint.URL)
}

// origin is scheme, host and port (RFC 6454 §4).
func origin(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
