package sftest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// maxControl is the most bytes that a call of the control surface may send.
const maxControl = 1 << 20

// controlHelp is what the surface says of itself.
const controlHelp = `The control surface of an org in a test. It is no part of what it emulates.

GET    /calls?after=SEQ             the journal of calls
GET    /changes?object=X&after=SEQ  the journal of writes
GET    /rows?object=X               the rows that are not deleted
GET    /events?object=X__e          what was published
GET    /jobs                        the bulk jobs
POST   /faults                      plant a fault, or an array of them, as in
                                    {"kind":"delay","on":"query","times":2,"delayMs":500}
DELETE /faults                      take all of them away
POST   /sessions/expire             end every session
POST   /limits                      {"callsUsed":99990}
POST   /bulk/step                   move the oldest job that can move: {"moved":true}
POST   /bulk/run                    move jobs until none can move
POST   /outbound                    send outbound messages: {"object":"Account",
                                    "fields":["Name"],"url":"http://127.0.0.1:8080/x"}
GET    /notifications               what they told, and what is queued
POST   /notifications/retry         make the next attempts due now
`

// Control is the org's other side, for programs that are not in its process: a
// handler that shows the journal, the rows and the events, and plants faults.
// It is no part of what is emulated, so it belongs on an address of its own, of
// this machine alone: it asks for no password. GET / shows a browser how the org
// is, and tells programs what there is; all else is JSON.
//
// Calls that a browser makes for a page are refused, and so are those under a
// name other than an address or localhost.
func (o *Org) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", o.front)
	show := func(path string, list func(object string, after int) any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			after, err := strconv.Atoi(r.FormValue("after"))
			if err != nil && r.FormValue("after") != "" {
				reply(w, http.StatusBadRequest, fmt.Errorf("after %q: a number", r.FormValue("after")))
				return
			}
			reply(w, http.StatusOK, list(r.FormValue("object"), after))
		})
	}
	show("/calls", func(_ string, after int) any { return later(o.Calls(), after, func(c Call) int { return c.Seq }) })
	show("/changes", func(object string, after int) any {
		return later(o.Changes(object), after, func(c Change) int { return c.Seq })
	})
	show("/rows", func(object string, _ int) any { return append([]Row{}, o.Rows(object)...) })
	show("/jobs", func(string, int) any { return append([]Job{}, o.Jobs()...) })
	show("/events", func(object string, after int) any {
		return later(o.Events(object), after, func(e Event) int { return int(e.ReplayID) })
	})
	do := func(pattern string, act func(body []byte) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControl))
			var answer any
			if err == nil {
				answer, err = act(body)
			}
			if err != nil {
				reply(w, http.StatusBadRequest, err)
				return
			}
			reply(w, http.StatusOK, answer)
		})
	}
	do("POST /faults", func(body []byte) (any, error) {
		faults, err := readFaults(body)
		if err == nil {
			err = o.Fault(faults...)
		}
		return map[string]int{"planted": len(faults)}, err
	})
	do("DELETE /faults", func([]byte) (any, error) { o.ClearFaults(); return struct{}{}, nil })
	do("POST /sessions/expire", func([]byte) (any, error) { o.ExpireSessions(); return struct{}{}, nil })
	do("POST /bulk/step", func([]byte) (any, error) { return map[string]bool{"moved": o.StepBulk()}, nil })
	do("POST /bulk/run", func([]byte) (any, error) { o.RunBulk(); return struct{}{}, nil })
	do("POST /outbound", func(body []byte) (any, error) {
		var m OutboundMessage
		err := strict(body, &m)
		if err != nil {
			return nil, err
		}
		id, err := o.AddOutboundMessage(m)
		return map[string]string{"actionId": id}, err
	})
	show("/notifications", func(string, int) any { return append([]Notification{}, o.Notifications()...) })
	do("POST /notifications/retry", func([]byte) (any, error) { o.RetryNotifications(); return struct{}{}, nil })
	do("POST /limits", func(body []byte) (any, error) {
		var l struct{ CallsUsed *int }
		if err := strict(body, &l); err != nil {
			return nil, err
		}
		if l.CallsUsed == nil {
			return nil, errors.New("callsUsed is missing")
		}
		o.SetCallsUsed(*l.CallsUsed)
		return struct{}{}, nil
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		switch {
		case !here(r.Host):
			// A page may reach this machine under a name of its own that resolves
			// to it (DNS rebinding), and is then of the same origin.
			reply(w, http.StatusMisdirectedRequest, errors.New("this machine is not known by that name: use its address, or localhost"))
			return
		case r.Header.Get("Origin") != "" || site != "" && site != "none" && site != "same-origin":
			reply(w, http.StatusForbidden, errors.New("the control surface is not for pages of a browser"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// here says whether a Host is an address or localhost.
func here(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Zone() == "" || strings.EqualFold(host, "localhost")
}

// later drops the entries up to a number.
func later[T any](list []T, after int, seq func(T) int) []T {
	kept := []T{}
	for _, e := range list {
		if seq(e) > after {
			kept = append(kept, e)
		}
	}
	return kept
}

// readFaults reads one fault or an array of them. Times are in the unit that
// their names end with.
func readFaults(body []byte) ([]Fault, error) {
	type spelled struct {
		Fault
		DelayMS           int64 `json:"delayMs"`
		RetryAfterSeconds int64 `json:"retryAfterSeconds"`
	}
	var list []spelled
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		list = make([]spelled, 1)
		if err := strict(body, &list[0]); err != nil {
			return nil, err
		}
	} else if err := strict(body, &list); err != nil {
		return nil, err
	}
	var faults []Fault
	for _, s := range list {
		f := s.Fault
		f.Delay = time.Duration(s.DelayMS) * time.Millisecond
		f.RetryAfter = time.Duration(s.RetryAfterSeconds) * time.Second
		faults = append(faults, f)
	}
	return faults, nil
}

// strict decodes JSON and refuses members that nothing reads.
func strict(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is text behind the JSON")
	}
	return nil
}

// reply writes v as JSON; an error as {"error": …}.
func reply(w http.ResponseWriter, status int, v any) {
	if err, ok := v.(error); ok {
		v = map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone is no error of ours
}
