package sftest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const outboundSpace = "http://soap.sforce.com/2005/09/outbound"

// sendAll sends what is due of a rule until the org is closed.
func (o *Org) sendAll(r *rule) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.workers.Go(func() {
		select {
		case <-o.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	if t, ok := r.client.(*http.Transport); ok && r.Transport == nil {
		defer t.CloseIdleConnections()
	}
	for ctx.Err() == nil {
		batch, next := o.due(r)
		if len(batch) > 0 {
			o.attempt(ctx, r, batch)
			continue
		}
		wait := make(<-chan time.Time) // for ever
		var timer *time.Timer
		if !next.IsZero() {
			timer = time.NewTimer(time.Until(next))
			wait = timer.C
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-wait:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// due gives what is to be sent now, or else when there will be something. What is
// too old, or whose record is gone, leaves the queue.
func (o *Org) due(r *rule) (batch []*Notification, next time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	r.waiting = slices.DeleteFunc(r.waiting, func(n *Notification) bool {
		switch {
		case n.State != queued:
		case n.Next.After(now):
			if next.IsZero() || n.Next.Before(next) {
				next = n.Next
			}
		case now.Sub(n.Created) >= outboundLife:
			n.State = dropped
		case o.gone(r, n):
			n.State = void
		default:
			batch = append(batch, n)
		}
		return n.State != queued
	})
	o.rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	return batch[:min(len(batch), notificationsMost)], next
}

func (o *Org) gone(r *rule, n *Notification) bool {
	_, p := o.data.find(r.object, n.RecordID)
	return p != nil
}

// attempt sends one message and notes what became of it.
func (o *Org) attempt(ctx context.Context, r *rule, batch []*Notification) {
	delay, fault := o.hit(OpOutbound, r.object.Name)
	if delay > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
	err := errors.New("the message was lost on its way")
	if fault == nil || fault.Kind == FaultDropResponse {
		token := ""
		if r.SessionID {
			token = o.Token()
		}
		if err = r.send(ctx, o.message(r, batch, token)); err == nil && fault != nil {
			err = errors.New("the answer was lost")
		}
	}
	if ctx.Err() != nil {
		return // closed: nobody knows
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range batch {
		n.Attempts++
		if err == nil {
			n.State, n.Failure = acknowledged, ""
			continue
		}
		n.Failure = err.Error()
		n.Next = time.Now().Add(r.pause(n.Attempts))
		if end := n.Created.Add(outboundLife); n.Next.After(end) {
			n.Next = end
		}
	}
}

// pause is the wait after the nth attempt.
func (r *rule) pause(n int) time.Duration {
	d := outboundFirst
	for i := 1; i < n && d < r.MaxDelay; i++ {
		d *= 2
	}
	return min(d, r.MaxDelay)
}

// send makes an attempt; nil is an Ack of true.
func (r *rule) send(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, outboundWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	req.Header.Set("SOAPAction", `""`)
	resp, err := r.client.RoundTrip(req) // which follows no redirect
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("half an answer: %w", err)
	}
	return acknowledges(resp.StatusCode, text)
}

// acknowledges reads an answer as strictly as the platform's WSDL has it.
func acknowledges(status int, text []byte) error {
	var e struct {
		XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
		Body    struct {
			Fault *struct {
				Text string `xml:"faultstring"`
			} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault"`
			Response *struct {
				Ack string `xml:"http://soap.sforce.com/2005/09/outbound Ack"`
			} `xml:"http://soap.sforce.com/2005/09/outbound notificationsResponse"`
		} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	}
	err := xml.Unmarshal(text, &e)
	switch {
	case err == nil && e.Body.Fault != nil:
		return fmt.Errorf("status %d, a fault: %.1000s", status, e.Body.Fault.Text)
	case status != http.StatusOK:
		return fmt.Errorf("status %d", status)
	case err != nil || e.Body.Response == nil:
		return errors.New("the answer is no notificationsResponse")
	}
	if ack := strings.TrimSpace(e.Body.Response.Ack); ack != "true" && ack != "1" {
		return fmt.Errorf("the Ack is %.20s", cmp.Or(ack, "empty"))
	}
	return nil
}

// message writes the envelope, with the values that the rows have now.
func (o *Org) message(r *rule, batch []*Notification, token string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b bytes.Buffer
	element := func(name, text string) {
		b.WriteString("<" + name + ">")
		_ = xml.EscapeText(&b, []byte(text)) // a buffer takes all
		b.WriteString("</" + name + ">\n")
	}
	b.WriteString(xml.Header + `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<soapenv:Body>
<notifications xmlns="` + outboundSpace + `">
`)
	element("OrganizationId", o.id)
	element("ActionId", r.action)
	if token == "" {
		b.WriteString("<SessionId xsi:nil=\"true\"/>\n")
	} else {
		element("SessionId", token)
	}
	element("EnterpriseUrl", fmt.Sprintf("%s/services/Soap/c/%d.0/%s", o.url, o.opts.Version, o.id[:15]))
	element("PartnerUrl", fmt.Sprintf("%s/services/Soap/u/%d.0/%s", o.url, o.opts.Version, o.id[:15]))
	for _, n := range batch {
		row, _ := o.data.find(r.object, n.RecordID)
		if row == nil { // it is there: rows are never forgotten
			continue
		}
		b.WriteString("<Notification>\n")
		element("Id", n.ID)
		b.WriteString(`<sObject xsi:type="sf:` + r.object.Name + `" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">` + "\n")
		element("sf:Id", n.RecordID)
		for _, f := range r.fields {
			if v := row.values[f.at]; v != nil {
				element("sf:"+f.Name, f.xml(v))
			}
		}
		b.WriteString("</sObject>\n</Notification>\n")
	}
	b.WriteString("</notifications>\n</soapenv:Body>\n</soapenv:Envelope>\n")
	return b.Bytes()
}

// xml gives what SOAP sends for a value.
func (f *field) xml(v any) string {
	switch v := v.(type) {
	case float64:
		if f.Type == Int {
			return number(v)
		}
		return double(v)
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return fmt.Sprint(v)
}
