package csvrow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
)

type item struct {
	SKU   string    `csv:"sku"`
	Price float64   `csv:"price"`
	Stock int       `csv:"stock"`
	Since time.Time `csv:"since,optional"`
}

const head = "sku,price,stock\n"

func TestGoodInput(t *testing.T) {
	want := []item{{SKU: "a,1", Price: 1.5, Stock: 2}, {SKU: "b\nc", Price: -3, Stock: -4}}
	for name, text := range map[string]string{
		"plain":                 head + "\"a,1\",1.5,2\n\"b\nc\",-3,-4\n",
		"no last line ending":   head + "\"a,1\",1.5,2\n\"b\nc\",-3,-4",
		"byte-order mark":       "\ufeff" + head + "\"a,1\",1.5,2\n\"b\nc\",-3,-4\n",
		"quoted after the mark": "\ufeff\"sku\",price,stock\n\"a,1\",1.5,2\n\"b\nc\",-3,-4\n",
		"CRLF":                  "sku,price,stock\r\n\"a,1\",1.5,2\r\n\"b\nc\",-3,-4\r\n",
		"empty lines":           "\n\r\n" + head + "\n\n\"a,1\",1.5,2\n\r\n\"b\nc\",-3,-4\n\n\n",
		"everything quoted":     "\"sku\",\"price\",\"stock\"\n\"a,1\",\"1.5\",\"2\"\n\"b\nc\",\"-3\",\"-4\"\n",
		"another order":         "stock,sku,price\n2,\"a,1\",1.5\n-4,\"b\nc\",-3\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []batchsync.Source[item]{source[item](text, nil), slowly[item](text)} {
				var got []item
				for _, r := range rows(t, r) {
					require.NoError(t, r.Err)
					got = append(got, r.Value)
				}
				require.Equal(t, want, got)
			}
		})
	}
}

// slowly is a source whose reader gives one byte at a time.
func slowly[T any](text string) batchsync.Source[T] {
	return csvrow.NewSource[T](func() (io.ReadSeekCloser, error) {
		r := bytes.NewReader([]byte(text))
		return struct {
			io.Reader
			io.Seeker
			io.Closer
		}{iotest.OneByteReader(r), r, io.NopCloser(nil)}, nil
	}, nil)
}

func TestBadRowsAreNamedAndTheRestIsRead(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		good             []string
	}{
		{"too few cells", "a,1\nb,2,3\n", `line 2: the row has 2 cells and the header 3`, []string{"b"}},
		{"too many cells", "a,1,2,\nb,2,3\n", `line 2: the row has 4 cells and the header 3`, []string{"b"}},
		{"no number", "a,x,2\nb,2,3\n", `line 2, char 3, column "price": not a decimal number`, []string{"b"}},
		{"an exponent in a whole number", "a,1,1e5\nb,2,3\n", `line 2, char 5, column "stock": not a whole number in decimal digits`, []string{"b"}},
		{"a fraction in a whole number", "a,1,1.0\nb,2,3\n", `line 2, char 5, column "stock": not a whole number in decimal digits`, []string{"b"}},
		{"a decimal comma", "a,\"1,5\",1\nb,2,3\n", `line 2, char 3, column "price": not a decimal number`, []string{"b"}},
		{"a space before a number", "a, 1,1\nb,2,3\n", `line 2, char 3, column "price": not a decimal number`, []string{"b"}},
		{"hexadecimal", "a,0x10,1\nb,2,3\n", `line 2, char 3, column "price": not a decimal number`, []string{"b"}},
		{"infinity", "a,Inf,1\nb,2,3\n", `line 2, char 3, column "price": not a decimal number`, []string{"b"}},
		{"underscores", "a,1_000,1\nb,2,3\n", `line 2, char 3, column "price": not a decimal number`, []string{"b"}},
		{"too large", "a,1,99999999999999999999\nb,2,3\n", `line 2, char 5, column "stock": the number is too large for the column`, []string{"b"}},
		{"an empty number", "a,,1\nb,2,3\n", `line 2, char 3, column "price": the cell is empty, and the column cannot be null`, []string{"b"}},
		{"not UTF-8", "a\xa3,1,1\nb,2,3\n", `line 2, char 1, column "sku": the text is not valid UTF-8`, []string{"b"}},
		{"a blank id", ",1,1\nb,2,3\n", `line 2, column "sku": the cells that make the identity of the row are empty`, []string{"b"}},
		{"a quote inside a cell", "a\"x,1,1\nb,2,3\n", `line 2, char 2, column "sku": a quote inside a cell`, []string{"b"}},
		{"text after a quote", "\"a\" ,1,1\nb,2,3\n", `line 2, char 4, column "sku": text after the closing quote`, []string{"b"}},
		{"an unclosed quote", "a,1,1\n\"b,1,1\nc,2,3\nd,4,5\n", `line 3, char 1, column "sku": a quote is opened and never closed`, []string{"a", "c", "d"}},
		{"an unclosed quote that meets another", "\"a,1,1\n\"b\",2,3\nc,4,5\n", `line 3, char 2, column "sku": text after the closing quote`, []string{"b", "c"}},
		{"after a cell of three lines", "\"a\n\n\",1,x\nb,2,3\n", `line 4, char 5, column "stock": not a whole number`, []string{"b"}},
		{"cut in the middle", "b,2,3\na,1", `line 3: the row has 2 cells and the header 3`, []string{"b"}},
		{"cut inside quotes", "b,2,3\n\"a", `line 3, char 1, column "sku": a quote is opened and never closed`, []string{"b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var good []string
			var bad []batchsync.Row[item]
			for _, r := range rows(t, source[item](head+c.text, &csvrow.Options{ID: []string{"sku"}})) {
				if r.Err == nil {
					good = append(good, r.Value.SKU)
					require.Equal(t, r.Value.SKU, r.ID)
					continue
				}
				bad = append(bad, r)
			}
			require.Equal(t, c.good, good)
			require.Len(t, bad, 1)
			require.ErrorContains(t, bad[0].Err, c.want)
			e, ok := errors.AsType[*csvrow.RowError](bad[0].Err)
			require.True(t, ok)
			require.Contains(t, c.want, fmt.Sprintf("line %d", e.Line))
			require.NotEmpty(t, bad[0].ID)
			require.Contains(t, c.text, string(bad[0].Raw))
			require.NotEmpty(t, bad[0].Raw)
		})
	}
}

func TestTimesAreNotGuessed(t *testing.T) {
	text := "sku,price,stock,since\na,1,1,2026-02-03\nb,1,1,2026-02-03 04:05:06\nc,1,1,2026-02-03T04:05:06.5+02:00\nd,1,1,03/02/2026\ne,1,1,3.2.2026\n"
	got := rows(t, source[item](text, nil))
	require.Equal(t, time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC), got[0].Value.Since)
	require.Equal(t, time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), got[1].Value.Since)
	require.True(t, time.Date(2026, 2, 3, 2, 5, 6, 5e8, time.UTC).Equal(got[2].Value.Since))
	for _, r := range got[3:] {
		require.ErrorContains(t, r.Err, `column "since": not a time in a declared layout`)
	}

	type dayFirst struct {
		Day time.Time `csv:"day" layout:"02/01/2006"`
	}
	zone := time.FixedZone("", 3600)
	got2 := rows(t, source[dayFirst]("day\n03/02/2026\n2026-02-03\n", &csvrow.Options{Location: zone, Layouts: []string{time.RFC3339}}))
	require.Equal(t, time.Date(2026, 2, 3, 0, 0, 0, 0, zone), got2[0].Value.Day)
	require.Error(t, got2[1].Err)
}

func TestFilesThatAreNone(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "only a mark": "\ufeff", "only line endings": "\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			_, err := tryRows(source[item](text, nil))
			require.ErrorIs(t, err, csvrow.ErrEmpty)
			rep, err := batchsync.New("s", source[item](text, nil), sink[item](), nil).Run(t.Context())
			require.ErrorIs(t, err, csvrow.ErrEmpty)
			require.Zero(t, rep.In)
		})
	}
	require.Empty(t, rows(t, source[item](head, nil)), "a header and no rows is no error")
	require.Empty(t, rows(t, source[item](strings.TrimSpace(head), nil)))

	for name, text := range map[string]string{
		"UTF-16 LE":           "\xff\xfes\x00k\x00u\x00",
		"UTF-16 BE":           "\xfe\xff\x00s\x00k\x00u",
		"UTF-16 LE, no mark":  "s\x00k\x00u\x00,\x00",
		"UTF-16 BE, no mark":  "\x00s\x00k\x00u\x00,",
		"a NUL in the header": "sk\x00u,price,stock\n",
	} {
		_, err := tryRows(source[item](text, nil))
		require.ErrorIs(t, err, csvrow.ErrEncoding, name)
	}
	_, err := tryRows(source[item]("sku,price,stock\ra,1,2\r", nil))
	require.ErrorContains(t, err, "CR alone")
	_, err = tryRows(csvrow.File[item](filepath.Join(t.TempDir(), "none.csv"), nil))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func sink[T any]() batchsync.Sink[T] {
	return batchsync.To(func(ctx context.Context, rows []batchsync.Row[T]) ([]batchsync.Result, error) {
		out := make([]batchsync.Result, len(rows))
		for i := range out {
			out[i].Verdict = batchsync.Inserted
		}
		return out, nil
	})
}

func TestTheHeaderMustFit(t *testing.T) {
	_, err := tryRows(source[item]("Sku,price,price,stock,x\n", &csvrow.Options{ID: []string{"ean"}}))
	require.ErrorIs(t, err, batchsync.ErrSchema)
	e, ok := errors.AsType[*csvrow.HeaderError](err)
	require.True(t, ok)
	require.Equal(t, csvrow.HeaderError{
		Expected: []string{"sku", "price", "stock", "since"},
		Missing:  []string{"sku", "ean"},
		Unknown:  []string{"Sku", "x"},
		Repeated: []string{"price"},
	}, *e)
	require.Equal(t, `csvrow: the header does not fit: missing "sku", "ean"; unknown "Sku", "x"; repeated "price"; expected "sku", "price", "stock", "since"`, err.Error())

	got := rows(t, source[item]("sku,more,price,stock\na,x,1,2\n", &csvrow.Options{Extra: true}))
	require.Equal(t, item{SKU: "a", Price: 1, Stock: 2}, got[0].Value)

	_, err = tryRows(source[item]("sku,\"pri\"ce\",stock\na,1,2\n", nil))
	require.ErrorContains(t, err, "the header: line 1")
}

func TestHeaderTellsFilesApart(t *testing.T) {
	names, err := csvrow.Header(strings.NewReader("\ufeff\"InvoiceNo\",StockCode\r\n1,2\r\n"), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"InvoiceNo", "StockCode"}, names)
	_, err = csvrow.Header(strings.NewReader(""), nil)
	require.ErrorIs(t, err, csvrow.ErrEmpty)
}

func TestIdentity(t *testing.T) {
	text := "sku,price,stock\na,1,2\nb|c,1,3\n"
	for name, c := range map[string]struct {
		id   []string
		want []string
	}{
		"line":    {nil, []string{"line 2", "line 3"}},
		"column":  {[]string{"sku"}, []string{"a", "b|c"}},
		"columns": {[]string{"stock", "sku"}, []string{"2|a", `3|b\|c`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range rows(t, source[item](text, &csvrow.Options{ID: c.id})) {
				got = append(got, r.ID)
			}
			require.Equal(t, c.want, got)
		})
	}
}

type texts struct {
	A string `csv:"a"`
	B string `csv:"b"`
}

func TestTextIsLeftAsItIs(t *testing.T) {
	for _, s := range []string{"\r", "\n", "\r\n", "a\r\nb\nc\rd", "\u2028\u2029\u0085", "\x00", " pad ", "\t", `"`, `""`, ",", "''", "=1+1", `\.`, "#N/A"} {
		var out bytes.Buffer
		w, err := csvrow.NewWriter[texts](&out, nil)
		require.NoError(t, err)
		require.NoError(t, w.Write(texts{s, "x"}))
		require.NoError(t, w.Write(texts{"x", s}))
		require.NoError(t, w.Flush())
		got := rows(t, source[texts](out.String(), nil))
		require.Len(t, got, 2)
		require.Equal(t, texts{s, "x"}, got[0].Value)
		require.Equal(t, texts{"x", s}, got[1].Value)
	}
}

func TestLargeRecords(t *testing.T) {
	big := strings.Repeat("x", 400_000)
	got := rows(t, source[texts]("a,b\n"+big+",1\n\""+big+"\",2\n", nil))
	require.Equal(t, texts{big, "1"}, got[0].Value)
	require.Equal(t, texts{big, "2"}, got[1].Value)

	const limit = 1000
	for _, quote := range []string{"", `"`} {
		for over := range 3 {
			cell := strings.Repeat("x", limit-2-2*len(quote)+over)
			text := "a,b\n1,1\n" + quote + cell + quote + ",2\n3,3\n"
			got := rows(t, source[texts](text, &csvrow.Options{MaxRecord: limit}))
			require.Len(t, got, 3)
			require.NoError(t, got[0].Err)
			require.Equal(t, texts{"3", "3"}, got[2].Value)
			if over == 0 {
				require.NoError(t, got[1].Err)
				continue
			}
			require.ErrorContains(t, got[1].Err, "line 3")
			require.ErrorContains(t, got[1].Err, "larger than Options.MaxRecord")
			require.Equal(t, "line 4", got[2].Pos)
		}
	}
	for over := range 3 { // of several lines, none of which is too long
		cell := strings.Repeat("x", 500) + "\n" + strings.Repeat("x", limit-505+over)
		got := rows(t, source[texts]("a,b\n1,\""+cell+"\"\n3,3\n", &csvrow.Options{MaxRecord: limit}))
		require.Equal(t, over == 0, got[0].Err == nil, "%d: %v", over, got[0].Err)
		require.Equal(t, texts{"3", "3"}, got[len(got)-1].Value)
	}
	// One line far larger than any buffer, and an open quote before many lines.
	huge := "a,b\n" + strings.Repeat("y", 300_000) + "\n3,3\n\"" + strings.Repeat("z,z\n", 1000) + "4,4\n"
	got = rows(t, source[texts](huge, &csvrow.Options{MaxRecord: limit}))
	require.Len(t, got, 2+1000+1)
	require.Error(t, got[0].Err)
	require.LessOrEqual(t, len(got[0].Raw), 64<<10)
	require.Equal(t, texts{"3", "3"}, got[1].Value)
	require.ErrorContains(t, got[2].Err, "never closed")
	require.Equal(t, texts{"4", "4"}, got[1002].Value)
}

func TestReadErrorsAreNotTheEnd(t *testing.T) {
	boom := errors.New("disk gone")
	text := head + strings.Repeat("a,1,2\n", 50_000)
	for _, at := range []int{2, len(head), len(head) + 3, len(text) - 1, len(text)} {
		src := csvrow.NewSource[item](func() (io.ReadSeekCloser, error) {
			r := bytes.NewReader([]byte(text[:at]))
			return struct {
				io.Reader
				io.Seeker
				io.Closer
			}{io.MultiReader(r, iotest.ErrReader(boom)), r, io.NopCloser(nil)}, nil
		}, nil)
		_, err := tryRows(src)
		require.ErrorIs(t, err, boom, "at %d", at)
		_, err = src.Count(t.Context())
		require.ErrorIs(t, err, boom, "at %d", at)
	}
}

func TestAReplacedFileIsNotReadOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "items.csv")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	long := strings.Repeat("b", 100) // so that nothing before it vouches for the position
	body := "a,1,1\n" + long + ",2,2\nc,3,3\n"
	write(head + body)
	src := csvrow.File[item](path, &csvrow.Options{PageRows: 2})
	at := ""
	for p, err := range src.Pages(t.Context(), "") {
		require.NoError(t, err)
		at = p.Next
		break
	}
	resume := func() (int, error) {
		n := 0
		for p, err := range src.Pages(t.Context(), at) {
			if err != nil {
				return n, err
			}
			n += len(p.Rows)
		}
		return n, nil
	}
	n, err := resume()
	require.NoError(t, err)
	require.Equal(t, 1, n)
	write(head + body + "d,4,4\n")
	n, err = resume()
	require.NoError(t, err, "a file that has grown is the same file")
	require.Equal(t, 2, n)
	for name, text := range map[string]string{
		"shorter":        head + "a,1,1\n",
		"other rows":     head + "x,1,1\ny,2,2\nz,3,3\n",
		"another header": "sku,stock,price\n" + body,
	} {
		write(text)
		_, err = resume()
		require.ErrorIs(t, err, batchsync.ErrCursor, name)
	}
}

func TestCount(t *testing.T) {
	n, err := source[item](head+"a,1,2\n\"b\n\n\",1,2\nbad\n\nc,1,2", nil).Count(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 4, n)
}

func TestTypesThatCannotBeRead(t *testing.T) {
	type inner struct{ X int }
	for name, err := range map[string]error{
		"no struct":    plan[int](),
		"no field":     plan[struct{ x int }](),
		"a channel":    plan[struct{ C chan int }](),
		"a slice":      plan[struct{ S []string }](),
		"embedded":     plan[struct{ inner }](),
		"embedded two": plan[struct{ Inner }](),
		"two fields": plan[struct {
			A, B int `csv:"a"`
		}](),
		"unknown option": plan[struct {
			A int `csv:"a,omitempty"`
		}](),
		"not exported": plan[struct {
			a int `csv:"a"`
		}](),
	} {
		require.ErrorIs(t, err, batchsync.ErrSchema, name)
	}
	_, err := tryRows(source[item](head, &csvrow.Options{Comma: 'é'}))
	require.ErrorContains(t, err, "Comma")
	require.Equal(t, "a;b", rows(t, source[texts]("a\tb\na;b\tc\n", &csvrow.Options{Comma: '\t'}))[0].Value.A)
}

// Inner is embedded in a row type.
type Inner struct{ X int }

func plan[T any]() error {
	_, err := csvrow.NewWriter[T](io.Discard, nil)
	return err
}

func TestPagesAreBounded(t *testing.T) {
	sizes := func(text string, o *csvrow.Options) (out []int) {
		for p, err := range source[texts](text, o).Pages(t.Context(), "") {
			require.NoError(t, err)
			out = append(out, len(p.Rows))
		}
		return out
	}
	require.Equal(t, []int{1000, 1000, 1}, sizes("a,b\n"+strings.Repeat("1,2\n", 2001), nil))
	require.Equal(t, []int{2, 2}, sizes("a,b\n"+strings.Repeat("1,2\n", 4), &csvrow.Options{PageRows: 2}))
	require.Equal(t, []int{3, 1}, sizes("a,b\n"+strings.Repeat(strings.Repeat("x", 400_000)+",2\n", 4), nil), "by bytes")
}

func TestCancelledReads(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	for _, err := range source[texts]("a,b\n1,2\n", nil).Pages(ctx, "") {
		require.ErrorIs(t, err, why)
	}
	_, err := source[texts]("a,b\n1,2\n", nil).Count(ctx)
	require.ErrorIs(t, err, why)
}
