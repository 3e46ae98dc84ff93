package requestreply

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/crosstie/crosstie/outcome"
)

const maxRedirects = 10

// harmlessHeaders are what a request may take to another origin.
var harmlessHeaders = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Content-Type": true, "User-Agent": true,
}

// CheckRedirect is a policy for http.Client.CheckRedirect that leaves
// credentials at home: a redirect to another origin than that of the first
// request (scheme, host and port) is followed without any header but Accept,
// Accept-Encoding, Accept-Language, Content-Type and User-Agent. http.Client by
// itself takes every header that is not Authorization, Cookie or their kin to
// everybody, an API key of yours or an Idempotency-Key with it, and Referer
// tells the query of the first URL. It refuses to carry a body to another
// origin, to go from https to http, and to follow more than 10 redirects; the
// error of a call then has the outcome of the status that redirected it.
func CheckRedirect(r *http.Request, via []*http.Request) error {
	home := via[0].URL
	refuse := func(why string) error {
		status := http.StatusFound
		if r.Response != nil {
			status = r.Response.StatusCode
		}
		o, _ := outcome.Status(status, false)
		return outcome.TransientError(o, false, fmt.Errorf("status %d: %w: %s", status, errRedirect, why))
	}
	if len(via) >= maxRedirects {
		return refuse("there were 10 of them")
	}
	if r.URL.Scheme == home.Scheme && strings.EqualFold(r.URL.Host, home.Host) {
		return nil
	}
	if home.Scheme == "https" && r.URL.Scheme != "https" {
		return refuse("it leads from https to http")
	}
	if r.Body != nil && r.Body != http.NoBody {
		return refuse("it would take the body to another origin")
	}
	for name := range r.Header {
		if !harmlessHeaders[name] {
			delete(r.Header, name)
		}
	}
	return nil
}

var errRedirect = errors.New("the redirect was not followed")
