package salesforce

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// An Org is one Salesforce org as one user sees it. It is made by [New] and is
// safe for concurrent use.
type Org struct {
	login   *url.URL
	o       Options // with its defaults
	client  *http.Client
	session session
	limits  limits
}

// New returns the org at url, its My Domain: https://name.my.salesforce.com.
// It does no I/O; the first call logs in. A nil o means the defaults. The
// error wraps ErrInput and names what is wrong with the URL or the options.
func New(rawURL string, auth Auth, o *Options) (*Org, error) {
	d := o.withDefaults()
	u, err := baseURL(rawURL, d.PlainHTTP)
	if err != nil {
		return nil, input("new", "the URL of the org %v", err)
	}
	if auth.token == nil {
		return nil, input("new", "the Auth is empty: use ClientCredentials, StaticToken or TokenFunc")
	}
	if v, err := strconv.ParseFloat(d.Version, 64); err != nil || v < 46 || v >= 1000 || !strings.HasSuffix(d.Version, ".0") {
		return nil, input("new", "Options.Version %q is no API version from 46.0 on, such as 66.0", clip(d.Version, 20))
	}
	c := http.Client{}
	if d.Client != nil {
		c = *d.Client
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.Transport = deaf{c.Transport}
	// One attempt, no limits: the loop is ours, since only we read error codes.
	c.Transport = &requestreply.Transport{Base: c.Transport, Guard: requestreply.NewGuard(&requestreply.Options{
		Timeout: -1, TryTimeout: -1, MaxInFlight: -1,
		Retry:   retry.Policy{MaxAttempts: 1},
		Breaker: requestreply.Breaker{Disabled: true},
	})}
	org := &Org{login: u, o: d, client: &c}
	org.session.auth = auth
	return org, nil
}

// baseURL takes scheme and host of a URL to which a token may be sent.
func baseURL(raw string, plain bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("is no URL with a host, such as https://name.my.salesforce.com")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("has the scheme %q: want https", clip(u.Scheme, 20))
	case u.User != nil:
		return nil, fmt.Errorf("holds a user name: credentials go into the Auth")
	case u.Scheme == "http" && !plain && !loopback(u.Hostname()):
		return nil, fmt.Errorf("is http: a token must not travel in the clear (Options.PlainHTTP allows it, for emulators)")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A deaf transport does not pass on a Location that does not parse. An
// http.Client reads it although it follows none, and its error would quote it,
// with whatever of the request is in it, in place of the status.
type deaf struct{ base http.RoundTripper } // nil is http.DefaultTransport

func (d deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	base := d.base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(r)
	if err == nil && resp.Header.Get("Location") != "" {
		if _, bad := r.URL.Parse(resp.Header.Get("Location")); bad != nil {
			resp.Header.Del("Location")
		}
	}
	return resp, err
}

// ID returns the org's id, 18 characters, as the login told it. It logs in if
// nobody has yet. It is what tells orgs apart in anything that is stored.
func (o *Org) ID(ctx context.Context) (string, error) {
	t, err := o.session.token(ctx, o, nil)
	if err != nil {
		return "", o.refuse("login", err)
	}
	if t.org == "" {
		return "", input("login", "the token does not say which org it is for: give Token.OrgID")
	}
	return t.org, nil
}

// Version returns the version of the API in use, such as "66.0".
func (o *Org) Version() string { return o.o.Version }
