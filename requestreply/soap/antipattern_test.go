package soap_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply/soap"
)

// naive is what most programs do: encoding/xml on whatever came back.
func naive(url string) (left int, err error) {
	resp, err := http.Post(url, "text/xml", strings.NewReader(envelope(`<reserve xmlns="urn:warehouse"><qty>1</qty></reserve>`)))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 500 {
		return 0, errors.New(resp.Status)
	}
	var e struct {
		Body struct {
			Response struct {
				Left int `xml:"left"`
			} `xml:"reserveResponse"`
		}
	}
	data, err := io.ReadAll(resp.Body)
	if err == nil {
		err = xml.Unmarshal(data, &e)
	}
	return e.Body.Response.Left, err
}

// Anti-pattern: to repeat whatever is answered 500, which is how SOAP answers
// every fault. The server here is honest: it did its work, and fell after it.
func TestAntipatternRepeatsFaults(t *testing.T) {
	var effects atomic.Int32
	url := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		effects.Add(1)
		answering(500, textXML, envelope(`<s:Fault><faultcode>s:Server</faultcode><faultstring>printer on fire</faultstring></s:Fault>`))(w, r)
	}))
	for range 3 {
		if _, err := naive(url); err == nil {
			break
		}
	}
	require.EqualValues(t, 3, effects.Load(), "the naive client reserves three times")

	effects.Store(0)
	_, err := call{URL: url, Guard: hasty}.Call(t.Context(), Reserve{Qty: 1})
	require.EqualValues(t, 1, effects.Load())
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	require.ErrorContains(t, err, "look before you repeat it")
}

// Anti-pattern: to look for what is wanted, and for nothing else. A fault that
// comes with status 200, as many servers send it, is then a success of zeros.
func TestAntipatternFaultIsZero(t *testing.T) {
	url := serving(t, answering(200, textXML, envelope(`<s:Fault><faultcode>s:Client</faultcode><faultstring>out of stock</faultstring></s:Fault>`)))
	left, err := naive(url)
	require.NoError(t, err)
	require.Zero(t, left)

	_, err = call{URL: url}.Call(t.Context(), Reserve{Qty: 1})
	f, ok := errors.AsType[*soap.Fault](err)
	require.True(t, ok)
	require.Equal(t, "out of stock", f.Text)
	require.Equal(t, outcome.Refused, outcome.Of(err))
}

// Anti-pattern: names without their namespaces. encoding/xml takes an element
// of any for the field, and the last of them.
func TestAntipatternAnyNamespace(t *testing.T) {
	url := serving(t, answering(200, textXML, envelope(`<reserveResponse xmlns="urn:warehouse"><left>7</left><left xmlns="urn:audit">9000</left></reserveResponse>`)))
	left, err := naive(url)
	require.NoError(t, err)
	require.Equal(t, 9000, left)

	r, err := call{URL: url}.Call(t.Context(), Reserve{Qty: 1})
	require.NoError(t, err)
	require.Equal(t, 7, r.Left)
}

// Anti-pattern: a parser without limits. The naive client holds all of it in
// memory, many times over; ours ends where its limits are.
func TestAntipatternNoLimits(t *testing.T) {
	url := serving(t, answering(200, textXML, envelope(`<reserveResponse xmlns="urn:warehouse"><left `+strings.Repeat(`a="" `, 1e5)+`>7</left></reserveResponse>`)))
	left, err := naive(url)
	require.NoError(t, err, "and thinks nothing of it")
	require.Equal(t, 7, left)

	_, err = call{URL: url}.Call(t.Context(), Reserve{Qty: 1})
	require.ErrorIs(t, err, soap.ErrLimit)
}
