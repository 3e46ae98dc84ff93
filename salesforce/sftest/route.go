package sftest

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var versionSegment = regexp.MustCompile(`^v(\d{2,3})\.0$`)

// segments splits a path, decoded, and drops what doubled slashes and one at
// the end leave empty: clients send both.
func segments(u *url.URL) ([]string, bool) {
	var list []string
	for s := range strings.SplitSeq(u.EscapedPath(), "/") {
		if s == "" {
			continue
		}
		s, err := url.PathUnescape(s)
		if err != nil {
			return nil, false
		}
		list = append(list, s)
	}
	return list, true
}

// route says what a call is, and who handles it. The platform answers no API
// path with a redirect, so neither does the org.
func (o *Org) route(r *request) *problem {
	path, ok := segments(r.URL)
	if ok && len(path) == 3 && path[0] == "id" && path[1] == o.id && path[2] == o.user {
		r.free = true
		return r.only(OpUserInfo, http.MethodGet, o.whoAmI)
	}
	if !ok || len(path) < 2 || path[0] != "services" {
		return notFound()
	}
	switch path[1] {
	case "oauth2":
		return o.routeLogin(r, path[2:])
	case "data":
		if len(path) == 2 {
			r.open, r.free = true, true
			return r.only(OpVersions, http.MethodGet, o.versions)
		}
		m := versionSegment.FindStringSubmatch(path[2])
		if m == nil {
			return notFound()
		}
		r.version, _ = strconv.Atoi(m[1])
		if r.version < oldest || r.version > o.opts.Version {
			return notFound()
		}
		r.path = path[3:]
		return o.routeData(r)
	}
	return notFound()
}

func (o *Org) routeLogin(r *request, path []string) *problem {
	if len(path) != 1 {
		return notFound()
	}
	r.free = true
	switch path[0] {
	case "token":
		r.open = true
		return r.only(OpToken, http.MethodPost, o.token)
	case "revoke":
		r.open = true
		if r.Method == http.MethodPost {
			return r.only(OpRevoke, http.MethodPost, o.revoke)
		}
		return r.only(OpRevoke, http.MethodGet, o.revoke)
	case "userinfo":
		return r.only(OpUserInfo, http.MethodGet, o.userInfo)
	}
	return notFound()
}

// routeData finds the resource below a version.
func (o *Org) routeData(r *request) *problem {
	if len(r.path) == 0 {
		return r.only(OpResources, http.MethodGet, o.resources)
	}
	switch n := len(r.path); strings.ToLower(r.path[0]) {
	case "sobjects":
		return o.routeObjects(r)
	case "query", "queryall":
		switch n {
		case 1:
			return r.only(OpQuery, http.MethodGet, o.query)
		case 2:
			return r.only(OpQueryMore, http.MethodGet, o.queryMore)
		}
	case "composite":
		return o.routeCollections(r)
	case "jobs":
		return o.routeJobs(r)
	case "limits":
		if n == 1 {
			return r.only(OpLimits, http.MethodGet, o.limits)
		}
	}
	return notFound()
}

// verb is the method of a call, which some clients can only say in the query.
func (r *request) verb() string {
	if m := r.URL.Query().Get("_HttpMethod"); m != "" && r.Method == http.MethodPost {
		return strings.ToUpper(m)
	}
	return r.Method
}

// only settles a resource that has one method.
func (r *request) only(op Op, method string, handle func(*request) answer) *problem {
	return r.among(methods{{method, op, handle}})
}

// methods are what a resource allows, in the order that a refusal lists them.
type methods []struct {
	name   string
	op     Op
	handle func(*request) answer
}

func (r *request) among(allowed methods) *problem {
	var names []string
	for _, m := range allowed {
		if r.verb() == m.name || m.name == http.MethodGet && r.Method == http.MethodHead {
			r.op, r.handle = m.op, m.handle
			return nil
		}
		names = append(names, m.name)
	}
	return wrong("METHOD_NOT_ALLOWED", "HTTP Method '%s' not allowed. Allowed are %s", r.verb(), strings.Join(names, ",")).with(http.StatusMethodNotAllowed)
}

func (o *Org) versions(*request) answer {
	type version struct {
		Label   string `json:"label"`
		URL     string `json:"url"`
		Version string `json:"version"`
	}
	var list []version
	for v := oldest; v <= o.opts.Version; v++ {
		n := strconv.Itoa(v) + ".0"
		list = append(list, version{"API v" + n, "/services/data/v" + n, n})
	}
	return jsonAnswer(200, list)
}

// base is the path of the version that a call names.
func (r *request) base() string { return "/services/data/v" + strconv.Itoa(r.version) + ".0" }

func (o *Org) resources(r *request) answer {
	m := members{}
	for _, name := range []string{"sobjects", "query", "queryAll", "limits", "composite", "jobs"} {
		m = append(m, member{name, r.base() + "/" + name})
	}
	return jsonAnswer(200, append(m, member{"identity", o.identity()}))
}
