package openapi

import (
	"go/token"
	"slices"
	"strings"
)

// A route is what a pattern of http.ServeMux says, as far as OpenAPI can.
type route struct {
	method string // in lower case, as the document has it
	path   string // with templates, from the first slash
	params []string
}

// methods are the fields of a Path Item Object; External Services knows those
// before the bar.
var (
	importable = []string{"get", "patch", "put", "post", "delete"}
	methods    = append(slices.Clone(importable), "head", "options", "trace")
)

// parse reads a pattern, and refuses what a document cannot say of it.
func (b *draft) parse(pattern string) (r route) {
	bad := func(source, format string, args ...any) {
		b.f.add("pattern", Refused, source, format, args...)
	}
	method, rest, ok := strings.Cut(pattern, " ")
	rest = strings.TrimLeft(rest, " \t")
	r.method = strings.ToLower(method)
	switch {
	case !ok || method == "":
		bad(srcItem, "it has no method: write \"GET /stock/{sku}\"")
		return r
	case method != strings.ToUpper(method) || !slices.Contains(methods, r.method):
		bad(srcItem, "the method %q has no place in a document", method)
	case b.profile == ExternalServices && !slices.Contains(importable, r.method):
		bad(srcDefinitions, "the method %s is not imported: use GET, PATCH, PUT, POST or DELETE", method)
	}
	if !strings.HasPrefix(rest, "/") {
		bad(srcPaths, "the path must begin with a slash, without a host: where the API is, Options.URL says")
		return r
	}
	segments := strings.Split(rest[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		name, template := strings.CutPrefix(s, "{")
		name, closed := strings.CutSuffix(name, "}")
		switch {
		case template && closed && name == "$" && last:
			r.path += "/"
			continue
		case template && closed && strings.HasSuffix(name, "..."):
			bad(srcPaths, "a template stands for one segment, and %s for any number: name each one", s)
		case template && closed && token.IsIdentifier(name) && name != "_":
			if slices.Contains(r.params, name) {
				bad(srcPaths, "the template %s appears twice", s)
			}
			r.params = append(r.params, name)
		case s == "" && last:
			bad(srcPaths, "it ends in a slash and so serves all below: end it with {$}, or leave the slash out")
		case s == "" || s == "." || s == "..":
			bad(srcServeMux, "no request has a path with the segment %q: it is cleaned first", s)
		case !literal(s):
			bad(srcURI, "the segment %q has a character that a path has only percent-encoded", s)
		}
		r.path += "/" + s
	}
	return r
}

// literal is the grammar of a segment (RFC 3986 section 3.3), without braces.
func literal(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0:
		case c == '%' && i+2 < len(s) && hexDigit(s[i+1]) && hexDigit(s[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// shape is a path with its names taken out: two that differ in them alone are
// the same to a document.
func (r route) shape() string {
	out := r.path
	for _, p := range r.params {
		out = strings.ReplaceAll(out, "{"+p+"}", "{}")
	}
	return out
}
