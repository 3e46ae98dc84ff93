package requestreply

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TimeLeftHeader is the request header that tells the other side how long its
// answer is waited for: whole milliseconds, 1 to 10 digits, counted from the
// sending, since two clocks need not agree. It tells of one attempt, and it can
// only shorten the time a server takes. Package server obeys it.
const TimeLeftHeader = "Request-Time-Left"

// withTimeLeft is h with the time left of ctx, or h if ctx has no end.
func withTimeLeft(ctx context.Context, h http.Header) http.Header {
	end, ok := ctx.Deadline()
	if !ok {
		return h
	}
	if h = h.Clone(); h == nil {
		h = http.Header{}
	}
	h.Set(TimeLeftHeader, strconv.FormatInt(min(max(0, time.Until(end).Milliseconds()), 9_999_999_999), 10))
	return h
}

// listed reports whether a request's host is in hosts, with its port or without.
func listed(hosts []string, r *http.Request) bool {
	return slices.ContainsFunc(hosts, func(h string) bool {
		return strings.EqualFold(h, r.URL.Host) || strings.EqualFold(h, r.URL.Hostname())
	})
}
