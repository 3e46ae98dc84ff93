package sftest

import (
	"html/template"
	"net/http"
	"slices"
	"strings"
)

// status is what the page of the control surface shows.
type status struct {
	ID, URL    string
	Used, Most int
	Objects    []counted
	Jobs       []Job  // newest first
	Calls      []Call // newest first
	Faults     []Fault
	Help       string
}

type counted struct {
	Name string
	Rows int
	What string
}

const shownOnPage = 25

// status gathers it.
func (o *Org) status() status {
	s := status{ID: o.id, URL: o.url, Used: o.CallsUsed(), Most: o.opts.DailyCalls, Help: controlHelp}
	s.Jobs, s.Calls = newest(o.Jobs()), newest(o.Calls())
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, obj := range o.schema.objects {
		c := counted{Name: obj.Name, What: "rows"}
		if obj.event {
			c.What, c.Rows = "events", len(o.events[obj])
		}
		for _, r := range o.data.tables[obj].order {
			if !r.deleted() {
				c.Rows++
			}
		}
		s.Objects = append(s.Objects, c)
	}
	for _, f := range o.faults {
		if f.Times != 0 {
			s.Faults = append(s.Faults, *f)
		}
	}
	return s
}

// newest gives the last of a list, turned round.
func newest[T any](list []T) []T {
	list = list[max(0, len(list)-shownOnPage):]
	slices.Reverse(list)
	return list
}

// front shows a page to people, and words to programs.
func (o *Org) front(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(controlHelp)) // a client that has gone is no error of ours
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_ = page.Execute(w, o.status())
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Org {{.ID}}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }
h2 { font-size: 1rem; margin: 1.6rem 0 .3rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; overflow-wrap: anywhere }
th { font-weight: 600; border-bottom: 1px solid }
.n { text-align: right; font-variant-numeric: tabular-nums }
pre { overflow-x: auto }
</style>
<h1>Org {{.ID}}</h1>
<p>Served at {{.URL}} for tests; nothing here is kept. {{.Used}} of {{.Most}} API calls used. This page renews itself every 2 seconds.</p>
<h2>Objects</h2>
<table>{{range .Objects}}<tr><td>{{.Name}}</td><td class="n">{{.Rows}}</td><td>{{.What}}</td></tr>{{end}}</table>
<h2>Bulk jobs</h2>
{{if .Jobs}}<table><tr><th>Job</th><th>What</th><th>State</th><th class="n">Rows</th><th class="n">Tried</th><th class="n">Failed</th></tr>
{{range .Jobs}}<tr><td>{{.ID}}</td><td>{{.Operation}} {{.Object}}</td><td>{{.State}} {{.Message}}</td><td class="n">{{.Rows}}</td><td class="n">{{.Processed}}</td><td class="n">{{.Failed}}</td></tr>
{{end}}</table>{{else}}<p>None yet.</p>{{end}}
<h2>Faults that wait</h2>
{{if .Faults}}<table>{{range .Faults}}<tr><td>{{.Kind}}</td><td>on {{or .On "any call"}} {{.Object}}</td><td>{{if lt .Times 0}}always{{else}}{{.Times}} times{{end}}{{if .Ratio}}, ratio {{.Ratio}}{{end}}{{if .Skip}}, after {{.Skip}} more{{end}}</td></tr>{{end}}</table>{{else}}<p>None.</p>{{end}}
<h2>Calls</h2>
{{if .Calls}}<table><tr><th class="n">No.</th><th>Time</th><th>Call</th><th class="n">Status</th><th>Effect</th><th>Fault</th></tr>
{{range .Calls}}<tr><td class="n">{{.Seq}}</td><td>{{.Time.Format "15:04:05.000"}}</td><td>{{.Method}} {{.Path}}</td><td class="n">{{.Status}}</td><td>{{if .Applied}}applied{{end}}</td><td>{{.Fault}}</td></tr>
{{end}}</table>{{else}}<p>None yet.</p>{{end}}
<h2>Control</h2>
<pre>{{.Help}}</pre>
</html>
`))
