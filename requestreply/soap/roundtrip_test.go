package soap_test

import (
	"context"
	"encoding/xml"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/soap"
)

type Everything struct {
	XMLName xml.Name    `xml:"urn:all everything"`
	Kind    string      `xml:"kind,attr"`
	Lang    string      `xml:"urn:attr lang,attr"`
	Text    string      `xml:"text"`
	Flag    bool        `xml:"flag"`
	Int     int64       `xml:"int"`
	Float   float64     `xml:"float"`
	At      time.Time   `xml:"at"`
	Raw     []byte      `xml:"raw"`
	Maybe   *string     `xml:"maybe"`
	Many    []string    `xml:"many"`
	Boxed   []Priced    `xml:"box>priced"`
	Other   string      `xml:"urn:other other"`
	Self    *Everything `xml:"everything"`
}

type Priced struct {
	Currency string `xml:"currency,attr"`
	Amount   string `xml:",chardata"`
}

// text makes what XML can carry: of control characters it has tab and line end.
func text(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(12) {
		b.WriteRune([]rune("ab<>&\"'\t\n\r ]]>ä€\U0001F600\u2028;#x0")[r.IntN(22)])
	}
	return b.String()
}

func everything(r *rand.Rand, depth int) Everything {
	v := Everything{
		XMLName: xml.Name{Space: "urn:all", Local: "everything"},
		Kind:    text(r), Lang: text(r), Text: text(r), Flag: r.IntN(2) == 0, Int: int64(r.Uint64()), Float: r.NormFloat64(),
		At: time.Unix(r.Int64N(1e10), r.Int64N(1e9)).UTC(), Raw: []byte(text(r) + "."), Other: text(r),
	}
	if r.IntN(2) == 0 {
		s := text(r)
		v.Maybe = &s
	}
	for range r.IntN(3) {
		v.Many = append(v.Many, text(r))
		v.Boxed = append(v.Boxed, Priced{text(r), text(r)})
	}
	if depth > 0 && r.IntN(2) == 0 {
		in := everything(r, depth-1)
		v.Self = &in
	}
	return v
}

// What is sent arrives and comes back, in either form, strictly read.
func TestRoundTrip(t *testing.T) {
	for _, unqualified := range []bool{false, true} {
		m := soap.NewMux(&soap.Options{Unqualified: unqualified})
		soap.Handle(m, "", func(_ context.Context, v Everything) (Everything, error) { return v, nil })
		e := soap.Endpoint[Everything, Everything]{URL: serving(t, m), Unqualified: unqualified}
		for seed := range uint64(200) {
			v := everything(rand.New(rand.NewPCG(seed, 1)), 3)
			got, err := e.Call(t.Context(), v)
			require.NoError(t, err, "seed %d", seed)
			require.Equal(t, v, got, "seed %d", seed)
		}
	}
}

// An attribute of another namespace is not the field.
func TestForeignAttribute(t *testing.T) {
	url := serving(t, answering(200, textXML, envelope(`<everything xmlns="urn:all" kind="ours" xmlns:e="urn:evil" e:kind="theirs" xmlns:a="urn:attr" a:lang="en">`+
		`<box><priced currency="GBP" e:currency="EVL">1</priced></box></everything>`)))
	v, err := soap.Endpoint[Everything, Everything]{URL: url}.Call(t.Context(), Everything{})
	require.NoError(t, err)
	require.Equal(t, "ours", v.Kind)
	require.Equal(t, "en", v.Lang)
	require.Equal(t, []Priced{{"GBP", "1"}}, v.Boxed)
}

// A call is one trip, and its Confirm is asked for the key.
func TestTripsAndConfirm(t *testing.T) {
	url := serving(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	ctx, trips := requestreply.WithTrips(t.Context(), nil)
	for _, keyed := range []bool{false, true} {
		var asked string
		e := call{URL: url, Keyed: keyed, Guard: hasty, Confirm: func(_ context.Context, key string) (outcome.Outcome, error) {
			asked = key
			return outcome.Applied, nil
		}}
		_, err := e.Call(requestreply.WithIdempotencyKey(ctx, "order-1"), Reserve{})
		require.Equal(t, outcome.Applied, outcome.Of(err))
		require.Equal(t, "order-1", asked)
	}
	require.Equal(t, 2, trips.Made())
}
