package main

import (
	"math/big"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The figures were computed in exact fractions by another program in another language, from the text of forecast.go.
func TestForecastsAreWhatTheDefinitionSays(t *testing.T) {
	once := append([]int64{80995}, make([]int64, 53)...)
	for _, c := range []struct {
		demand demand
		want   forecast
	}{
		{demand{"nothing known", nil, 5}, forecast{"nothing known", 0, 0, 0, 0}},
		{demand{"never sold, none left", []int64{0}, 0}, forecast{"never sold, none left", 0, 0, 0, 0}},
		{demand{"one week", []int64{7}, 3}, forecast{"one week", 7000, 0, 21, 46}},
		{demand{"never sold", []int64{0, 0, 0, 0, 0, 0}, 9}, forecast{"never sold", 0, 0, 0, 0}},
		{demand{"even", []int64{10, 10, 10, 10, 10, 10}, 40}, forecast{"even", 10000, 0, 30, 0}},
		{demand{"even, at its reorder point", []int64{10, 10, 10, 10, 10, 10}, 30}, forecast{"even, at its reorder point", 10000, 0, 30, 40}},
		{demand{"rising", []int64{1, 2, 3, 4, 5, 6, 7, 8}, 12}, forecast{"rising", 5090, 7, 23, 32}},
		{demand{"rare", []int64{0, 0, 12, 0, 0, 0, 0, 6, 0, 0, 0, 9, 0}, 4}, forecast{"rare", 2256, 13, 20, 26}},
		{demand{"one great sale long ago", once, 80995}, forecast{"one great sale long ago", 237, 31514, 31515, 0}},
		{demand{"huge", []int64{1e9, 0, 1e9, 0}, 0}, forecast{"huge", 467_200_000_000, 1_574_473_835, 2_976_073_835, 4_844_873_835}},
		{demand{"mixed", []int64{5, 3, 8, 0, 2, 9, 14, 1, 0, 0, 6}, 17}, forecast{"mixed", 3944, 14, 26, 25}},
		{demand{"lumpy", []int64{0, 25, 0, 52, 0, 0, 58, 0, 0, 0}, 61}, forecast{"lumpy", 11571, 70, 105, 91}},
		{demand{"new", []int64{0, 3, 0, 40, 0, 36}, 101}, forecast{"new", 15384, 55, 102, 63}},
		{demand{"enough", []int64{0, 0, 0, 9, 7}, 78}, forecast{"enough", 3578, 13, 24, 0}},
	} {
		require.Equal(t, c.want, forecastOf(c.demand))
	}
}

func TestForecastsKeepTheirProperties(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		d := demand{SKU: "x", Weeks: make([]int64, dice.IntN(60)), Free: dice.Int64N(300)}
		for i := range d.Weeks {
			if dice.IntN(3) == 0 {
				d.Weeks[i] = dice.Int64N(100)
			}
		}
		before := slices.Clone(d.Weeks)
		f := forecastOf(d)
		require.Equal(t, f, forecastOf(d), "the same again")
		require.Equal(t, before, d.Weeks)

		// The safety stock is the least that is enough: S >= z * sigma * sqrt(L), and S - 1 is not.
		_, squares := smooth(d.Weeks)
		enough := func(s int64) bool {
			left := new(big.Rat).SetInt64(s * s)
			right := new(big.Rat).SetFrac64(zMilli*zMilli*leadWeeks, milli*milli*milli*milli*int64(max(1, len(d.Weeks))))
			return left.Cmp(right.Mul(right, new(big.Rat).SetInt(squares))) >= 0
		}
		require.True(t, enough(f.Safety), "%v", d)
		require.True(t, f.Safety == 0 || !enough(f.Safety-1), "%v", d)

		require.GreaterOrEqual(t, f.Level, int64(0), "what is taken is never below nothing")
		if len(d.Weeks) > 0 {
			require.LessOrEqual(t, f.Level, milli*slices.Max(d.Weeks), "nor above the busiest week")
		}
		if f.Order > 0 {
			require.LessOrEqual(t, d.Free, f.Reorder)
			after := d
			after.Free += f.Order
			require.Zero(t, forecastOf(after).Order, "what was ordered is enough for now")
		}
		more := d
		more.Free++
		require.LessOrEqual(t, forecastOf(more).Order, f.Order, "who has more orders no more")
		scaled := demand{SKU: "x", Weeks: slices.Clone(d.Weeks), Free: 0}
		slices.Reverse(scaled.Weeks)
		require.Equal(t, f.Safety == 0 && f.Level == 0, forecastOf(scaled).Level == 0 && forecastOf(scaled).Safety == 0, "order of weeks makes no demand out of none")
	}
}

// The demand is read from the warehouse a page at a time: its edges, returns and weeks are those of this file.
func TestTheDemandThatInvoiceLinesGive(t *testing.T) {
	file := writeFile(t, linesHeader+
		"1,10001,MUG,3,2011-01-01 00:00:00,1.00,,UK\n"+ // a Saturday; the first day, two days before the first whole week
		"2,10001,MUG,9,2011-01-03 09:00:00,1.00,,UK\n"+ // week 1
		"3,10001,MUG,5,2011-01-09 23:59:59,1.00,,UK\n"+ // its last second
		"4,10001,MUG,7,2011-01-10 00:00:00,1.00,,UK\n"+ // week 2
		"C5,10001,MUG,-2,2011-01-11 09:00:00,1.00,,UK\n"+
		"C6,10002,CUP,-4,2011-01-12 09:00:00,1.00,,UK\n"+
		"7,10002,CUP,50,2011-01-16 09:00:00,1.00,,UK\n"+
		"C8,10002,CUP,-49,2011-01-20 09:00:00,1.00,,UK\n"+ // more came back than was taken
		"9,10001,MUG,1,2011-01-23 12:00:00,1.00,,UK\n"+ // week 3, the last day
		"10,10001,found,100,2011-01-23 12:00:00,0.00,,UK\n"+ // not stock
		"11,POST,POSTAGE,1,2011-01-30 12:00:00,5.00,,UK\n") // no product: the calendar does not hear of it
	dir := fastDir(t)
	told(t, "-dir", dir, "-input", file, "-reservations", "1")
	w, err := openWarehouse(t.Context(), filepath.Join(dir, "warehouse.db"), "", func(err error) { t.Error(err) })
	require.NoError(t, err)
	defer w.close()
	last, weeks, err := w.calendar(t.Context())
	require.NoError(t, err)
	require.Equal(t, "2011-01-23", last)
	require.Equal(t, 3, weeks)

	_, err = w.db.Exec(`DELETE FROM reservation; UPDATE product SET reserved = 0;
		INSERT INTO reservation (id, sku, quantity, number, at) VALUES ('a', '10001', 2, 1, ''), ('b', '10001', 1, 2, '');`)
	require.NoError(t, err)
	var n int64
	require.NoError(t, w.db.QueryRow(`SELECT min(n) FROM reservation`).Scan(&n))
	mug := demand{"10001", []int64{14, 5, 1, 2}, 16 - 2}
	cup := demand{"10002", []int64{0, 50 - 4, 0, 0}, 0}
	for _, most := range []int{1, 2, 200} {
		var all []demand
		for after := ""; ; {
			ds, err := w.demand(t.Context(), n, after, most)
			require.NoError(t, err)
			if len(ds) == 0 {
				break
			}
			all = append(all, ds...)
			after = ds[len(ds)-1].SKU
		}
		require.Equal(t, []demand{mug, cup}, all, "in pages of %d", most)
	}
	was, err := w.now(t.Context())
	require.NoError(t, err)
	require.Equal(t, n+1, was.Reservations)
	again, err := w.now(t.Context())
	require.NoError(t, err)
	require.Equal(t, was, again)
	_, err = w.db.Exec(`UPDATE invoice_line SET quantity = 2 WHERE invoice = '9'`)
	require.NoError(t, err)
	later, err := w.now(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, was.History, later.History, "another history is another moment")
}

func BenchmarkForecast(b *testing.B) {
	d := demand{SKU: "x", Weeks: make([]int64, 54), Free: 10}
	for i := range d.Weeks {
		d.Weeks[i] = int64(i*7919) % 13
	}
	b.ReportAllocs()
	for b.Loop() {
		forecastOf(d)
	}
}
