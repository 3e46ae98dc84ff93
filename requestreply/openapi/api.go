package openapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// An API is a set of operations and the document that describes them. It is an
// http.Handler that serves both, and safe for concurrent use.
type API struct {
	o       Options
	types   map[reflect.Type]Type
	serving *http.ServeMux

	mu       sync.RWMutex // guards the rest
	doc      document
	names    map[reflect.Type]string // of schemas
	taken    map[string]bool         // names of schemas, in lower case
	ids      apart
	shapes   map[string]string // paths by their shape
	patterns []string
	notes    []Finding
	count    int // of operations
	size     int // of the document, in characters
	rendered []byte
	tag      string
}

// New returns an API without operations. title and version go into the
// document, which must have both: an empty one panics. The version is that of
// what you describe, "1.4.0", not of OpenAPI.
func New(title, version string, o *Options) *API {
	if title == "" || version == "" {
		panic("requestreply/openapi: New needs a title and a version, as every OpenAPI document does")
	}
	a := &API{
		serving: http.NewServeMux(), names: map[reflect.Type]string{}, taken: map[string]bool{}, ids: apart{}, shapes: map[string]string{},
	}
	if o != nil {
		a.o = *o
	}
	if a.o.URL == "" {
		a.o.URL = "/"
	}
	if a.o.Path == "" {
		a.o.Path = "/openapi.json"
	}
	a.types = map[reflect.Type]Type{}
	maps.Copy(a.types, a.o.Types)
	a.doc = document{
		OpenAPI: "3.0.3", Info: info{title, a.o.Description, version}, Servers: []serverURL{{a.o.URL}},
		Paths: map[string]pathItem{}, Components: components{problemSchemas()},
	}
	for name := range a.doc.Components.Schemas {
		a.taken[strings.ToLower(name)] = true
	}
	a.size = utf8.RuneCount(a.render())
	a.serving.HandleFunc("/", a.nothing)
	if a.o.Path != "-" && !serve(a.serving, "GET "+a.o.Path, http.HandlerFunc(a.serveDocument)) {
		panic("requestreply/openapi: Options.Path is no path to serve the document at: want one like /openapi.json")
	}
	return a
}

// ServeHTTP serves the operations and the document. What is neither is a
// problem with the status 404, or 405 when another method would be served.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.serving.ServeHTTP(&problems{w, a.o.Profile.plain(r.Header)}, r)
}

// nothing answers what no pattern is for.
func (a *API) nothing(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, m := range methods {
		other := &http.Request{Method: strings.ToUpper(m), URL: r.URL, Host: r.Host}
		if _, pattern := a.serving.Handler(other); pattern != "/" {
			allow = append(allow, other.Method)
		}
	}
	if len(allow) == 0 {
		refuse(w, http.StatusNotFound, "no operation has this path")
		return
	}
	slices.Sort(allow)
	w.Header().Set("Allow", strings.Join(allow, ", "))
	refuse(w, http.StatusMethodNotAllowed, "no operation has this path and method: see Allow")
}

// Document returns the document: OpenAPI 3.0.3 in JSON. It is a copy.
func (a *API) Document() []byte {
	data, _ := a.current()
	return bytes.Clone(data)
}

// Notes returns what would import, but look otherwise on the other side than
// it does here, in the order of registration.
func (a *API) Notes() []Finding {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.Clone(a.notes)
}

// current returns the document and its tag. They are not to be changed.
func (a *API) current() ([]byte, string) {
	a.mu.RLock()
	data, tag := a.rendered, a.tag
	a.mu.RUnlock()
	if data != nil {
		return data, tag
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rendered == nil {
		a.rendered = a.render()
		sum := sha256.Sum256(a.rendered)
		a.tag = `"` + hex.EncodeToString(sum[:16]) + `"`
	}
	return a.rendered, a.tag
}

func (a *API) render() []byte {
	data, err := json.MarshalIndent(a.doc, "", "  ")
	if err != nil { // texts, numbers and maps marshal
		panic("requestreply/openapi: the document does not marshal: " + err.Error())
	}
	return append(data, '\n')
}

func (a *API) serveDocument(w http.ResponseWriter, r *http.Request) {
	data, tag := a.current()
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}
