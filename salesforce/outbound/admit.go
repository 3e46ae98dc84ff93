package outbound

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// admit says with what status a request is refused, and why; 0 if it is not.
func (s *Sender) admit(r *http.Request) (status int, err error) {
	if s.Secret != "" && !s.knows(r.URL.Path) {
		return http.StatusNotFound, errors.New("the path does not end with the secret")
	}
	if len(s.Prefixes) > 0 {
		from, err := s.source(r)
		if err != nil {
			return http.StatusForbidden, err
		}
		if !slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return p.Contains(from) }) {
			return http.StatusForbidden, errors.New("the source is in none of the prefixes: " + from.String())
		}
	}
	if s.Certificate != nil {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			return http.StatusForbidden, errors.New("there is no client certificate that the server has verified")
		}
		if err := s.Certificate(*r.TLS); err != nil {
			return http.StatusForbidden, err
		}
	}
	return 0, nil
}

// knows compares in a time that says nothing of the secret, its length included.
func (s *Sender) knows(path string) bool {
	last := path[strings.LastIndexByte(path, '/')+1:]
	got, want := sha256.Sum256([]byte(last)), sha256.Sum256([]byte(s.Secret))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

func (s *Sender) source(r *http.Request) (netip.Addr, error) {
	if s.Source != nil {
		a, err := s.Source(r)
		return a.Unmap().WithZone(""), err
	}
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, errors.New("the connection has no IP address")
	}
	return a.Addr().Unmap().WithZone(""), nil
}
