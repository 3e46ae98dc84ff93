package soap

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var seeds = []string{
	envelopeHead + bodyHead + `<a xmlns="urn:a" b="c&amp;">t<!-- c --><![CDATA[<x>]]></a>` + envelopeTail,
	`<?xml version="1.0"?><p:a xmlns:p="u" xmlns:q="u" p:x="1"><q:b xmlns:p="v"><p:c/></q:b></p:a>`,
	`<a x="1" x="2"/>`, `<a p:x="1" xmlns:p="u" xmlns:q="u" q:x="2"/>`, `<p:a/>`, `<a></b>`, `<a>`, `<!DOCTYPE a><a/>`, `<a><?x y?></a>`,
	`<a>&b;</a>`, `<a>&#x41;&lt;</a>`, `<a b='">'/>`, `<!--></a>`, `<a b="<"/>`, "\xef\xbb\xbf<a/>", "<a>\xff</a>", `<xmlns:a/>`,
	`<a xmlns:xml="u"/>`, `<a xmlns:p=""/>`, `<a xmlns="u"><b xmlns=""/></a>`, `<a/><b/>`, `x<a/>`, `<a b=c/>`, `<p:a xmlns:p="u"><p:b xmlns:p="v"/><p:c/></p:a>`, `<a xmlns="u"><b xmlns="v"/><c/></a>`, `<a><b xmlns="v"/><c/></a>`, `<a b/>`, `<a:b:c/>`,
}

// What scan lets through, encoding/xml finds within the limits; what our reader
// lets through, it reads as encoding/xml does, apart from what ours leaves out.
func FuzzReader(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	limits := Limits{Bytes: 1 << 16, Depth: 5, Tokens: 20, Attributes: 4}
	f.Fuzz(func(t *testing.T, data []byte) {
		if scan(data, limits) != nil {
			return
		}
		depth, tokens, instructions := 0, 0, 0
		raw := xml.NewDecoder(bytes.NewReader(data))
		for {
			tok, err := raw.RawToken()
			if err != nil {
				break
			}
			switch tok := tok.(type) {
			case xml.StartElement:
				depth++
				tokens++
				require.LessOrEqual(t, len(tok.Attr), limits.Attributes)
			case xml.EndElement:
				depth--
			case xml.Comment:
				tokens++
			case xml.Directive:
				t.Fatal("a declaration came through")
			case xml.ProcInst:
				instructions++
				require.Equal(t, "xml", tok.Target)
			}
			require.LessOrEqual(t, depth, limits.Depth)
			require.LessOrEqual(t, tokens, limits.Tokens)
			require.LessOrEqual(t, instructions, 1)
		}

		ours, theirs := newReader(data), xml.NewDecoder(bytes.NewReader(data))
		for {
			a, err := ours.next()
			if err == io.EOF {
				_, err = next(theirs)
				require.Equal(t, io.EOF, err)
				return
			}
			if err != nil {
				_, ok := err.(*MessageError)
				require.True(t, ok)
				return // it may refuse more
			}
			b, err := next(theirs)
			require.NoError(t, err, "encoding/xml refuses what ours takes")
			require.Equal(t, fmt.Sprintf("%T%q", b, b), fmt.Sprintf("%T%q", a, a))
		}
	})
}

// next is the next token of encoding/xml that ours has too.
func next(d *xml.Decoder) (xml.Token, error) {
	for {
		tok, err := d.Token()
		switch t := tok.(type) {
		case xml.StartElement:
			var attrs []xml.Attr
			for _, a := range t.Attr {
				if a.Name.Space != "xmlns" && a.Name != (xml.Name{Local: "xmlns"}) {
					attrs = append(attrs, a)
				}
			}
			t.Attr = attrs
			return t, err
		case xml.Comment, xml.ProcInst, xml.Directive:
			continue
		}
		return tok, err
	}
}

// What is over a limit costs next to no memory, however much of it there is.
func TestScanMemory(t *testing.T) {
	limits := Limits{}.withDefaults()
	for name, part := range map[string]string{
		"attributes": `<a ` + strings.Repeat(`b="" `, 200_000), "depth": strings.Repeat("<a>", 300_000),
		"elements": strings.Repeat("<a/>", 250_000), "comments": strings.Repeat("<!---->", 150_000),
	} {
		data := []byte(part)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readEnvelope(data, limits, true, nil)
		runtime.ReadMemStats(&after)
		require.ErrorIs(t, err, ErrLimit, name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10), name)
	}
}

type fuzzed struct {
	XMLName xml.Name `xml:"urn:f op"`
	Text    string   `xml:"text"`
	Num     int64    `xml:"num"`
	Ptr     *bool    `xml:"ptr"`
	List    []uint8  `xml:"list,omitempty"`
	In      []struct {
		A string  `xml:"a,attr"`
		F float64 `xml:"urn:g f"`
	} `xml:"ins>in"`
	Any *struct {
		XMLName xml.Name
		Chars   string `xml:",chardata"`
	} `xml:",any"`
}

func decodeInto(data []byte, v any, strict bool) (*envelope, error) {
	want, _ := targetOf(v)
	return readEnvelope(data, Limits{}.withDefaults(), strict, func(_ *envelope, d *decoding, t xml.StartElement) error {
		if d == nil || t.Name != want {
			return &MessageError{Err: ErrEmpty}
		}
		return d.into(v, t)
	})
}

// No envelope makes us panic, and what is read strictly is read again from
// what we write of it.
func FuzzEnvelope(f *testing.F) {
	for _, s := range append(seeds, `<text>a</text><num>1</num><ptr>true</ptr><list>ab</list><ins><in a="b"><f xmlns="urn:g">1.5</f></in><in/></ins><x>y</x>`) {
		f.Add([]byte(s), true)
		f.Add([]byte(envelopeHead+bodyHead+`<op xmlns="urn:f">`+s+`</op>`+envelopeTail), true)
		f.Add([]byte(envelopeHead+bodyHead+`<soapenv:Fault><faultcode>soapenv:Client</faultcode><detail>`+s+`</detail></soapenv:Fault>`+envelopeTail), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, strict bool) {
		var v fuzzed
		e, err := decodeInto(data, &v, strict)
		if err != nil {
			m, ok := err.(*MessageError)
			require.True(t, ok, "%T", err)
			require.Less(t, len(m.Error()), 600)
			return
		}
		if e.fault != nil {
			_, _ = e.fault.In(&v)
			_ = e.fault.Error()
			return
		}
		if e.name.Local == "" || v.Any != nil && !utf8.ValidString(v.Any.Chars) {
			return
		}
		for _, unqualified := range []bool{false, true} {
			body, err := marshal(v, unqualified)
			require.NoError(t, err)
			again, err := writeEnvelope(nil, body, false)
			require.NoError(t, err)
			var w fuzzed
			_, err = decodeInto(again, &w, false)
			require.NoError(t, err, "%s", again)
			if len(v.List) == 0 {
				v.List = nil
			}
			v.Any, w.Any = nil, nil // its namespace may be another: that is what the flag does
			require.True(t, reflect.DeepEqual(v, w) || v.hasNaN(), "%s", again)
		}
	})
}

func (v fuzzed) hasNaN() bool {
	for _, in := range v.In {
		if in.F != in.F {
			return true
		}
	}
	return false
}
