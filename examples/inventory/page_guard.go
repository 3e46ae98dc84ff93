package main

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// A site of the web can send requests to this machine out of the browser of whoever visits it. It could even read the
// answers, if the name of the site resolved to this machine (DNS rebinding). The name betrays it: it is in Host. So
// requests are taken that name this machine by an address, as localhost, or as -addr does; and from pages of ours only.

// pagePolicy lets the page load what this program serves and nothing else, and lets nobody frame it.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guarded checks each request, and sets what every answer says to the browser. addr is the address that is served.
func guarded(addr string, next http.Handler) http.Handler {
	own, _, _ := net.SplitHostPort(addr)
	crossing := http.NewCrossOriginProtection() // by Sec-Fetch-Site, which no script can set
	checked := crossing.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		switch {
		case !namesUs(r.Host, own):
			http.Error(w, "this machine is not known by that name: use its address, or localhost", http.StatusMisdirectedRequest)
		case !fromUs(r):
			http.Error(w, "requests of pages of other sites are not taken", http.StatusForbidden)
		case r.Method == http.MethodPost && kind != "application/json":
			// Forms of other sites can post, but not this type.
			http.Error(w, "send application/json", http.StatusUnsupportedMediaType)
		default:
			next.ServeHTTP(w, r)
		}
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		checked.ServeHTTP(w, r)
	})
}

// namesUs reports whether a Host is an address, localhost, or the name that -addr gives.
func namesUs(host, own string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && ip.Zone() == "" {
		return true // nobody can make an address resolve to another
	}
	return strings.EqualFold(name, "localhost") || own != "" && strings.EqualFold(name, own)
}

// fromUs reports whether a request comes from a page of ours, or from no page: a program, or a typed address.
func fromUs(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	return origin == "" || strings.EqualFold(origin, "http://"+r.Host)
}
