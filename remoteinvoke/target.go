package remoteinvoke

import (
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/crosstie/crosstie/outcome"
)

// maxURL is the longest URL that may be called back, in bytes.
const maxURL = 2048

// target returns who signs callbacks to raw, if caller may be called back
// there.
func (s *Service) target(caller, raw string) (Target, error) {
	if len(raw) > maxURL {
		return Target{}, tooLarge("the callback's URL", len(raw), maxURL)
	}
	if s.o.Callbacks == nil {
		return Target{}, fmt.Errorf("%w: the service calls nobody back", ErrCallback)
	}
	t, err := s.o.Callbacks(caller)
	if err != nil {
		return Target{}, outcome.TransientError(outcome.NotSent, true, fmt.Errorf("where to call back is not known now: %w", err))
	}
	if t.Sign == nil {
		return Target{}, fmt.Errorf("%w: there is no secret to sign with", ErrCallback)
	}
	u, ok := plainURL(raw)
	if !ok {
		return Target{}, fmt.Errorf("%w: want an absolute http or https URL without user info, fragment and escaped or dotted path", ErrCallback)
	}
	for _, allow := range t.Allow {
		if a, ok := plainURL(allow); ok && within(u, a) {
			return t, nil
		}
	}
	return Target{}, ErrCallback
}

// plainURL parses a URL that two readers cannot understand differently.
func plainURL(raw string) (*url.URL, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return nil, false
	}
	if u.RawPath != "" || strings.ContainsAny(u.Path, "\\%;") {
		return nil, false
	}
	if u.Path != "" && u.Path != "/" && path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") {
		return nil, false
	}
	return u, true
}

// within reports whether u is a or below it.
func within(u, a *url.URL) bool {
	if u.Scheme != a.Scheme || !strings.EqualFold(u.Hostname(), a.Hostname()) || port(u) != port(a) {
		return false
	}
	base := strings.TrimSuffix(a.Path, "/")
	return u.Path == a.Path || strings.TrimSuffix(u.Path, "/") == base || strings.HasPrefix(u.Path, base+"/")
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}
