package main

import (
	"math/big"
)

// The forecast: how much of a product a week takes, and when and how much to order. Everything is a whole number of
// thousandths of a piece, and each rounding is named, so that any other program that follows this page gets the same
// figures to the last digit.
//
// The weekly demand is smoothed exponentially (R. G. Brown, 1959): after each week the level moves a fifth of the way
// to what was sold. The errors of those one-week forecasts say how far a week can be off, and the safety stock is what
// keeps a product from running out in 95 of 100 lead times, if errors are spread as the normal distribution has it:
// z * sigma * sqrt(lead time).

const (
	milli      = 1000 // thousandths of a piece
	smoothing  = 5    // a fifth of each error goes into the level: alpha = 0.2
	startWeeks = 4    // the mean of the first weeks is where the level begins
	leadWeeks  = 3    // from an order until it is on the shelf
	coverWeeks = 4    // what an order lasts
	zMilli     = 1645 // standard deviations that 95 % of the normal distribution stays below, in thousandths
	maxWeeks   = 156  // older sales are forgotten: three years
)

// A demand is what is known of a product when a forecast is made.
type demand struct {
	SKU   string
	Weeks []int64 // pieces that were taken in each week, oldest first
	Free  int64   // pieces in stock
}

// A forecast is what follows from it.
type forecast struct {
	SKU     string `json:"sku"`
	Level   int64  `json:"level"`   // expected in a week, in thousandths of a piece
	Safety  int64  `json:"safety"`  // pieces kept against bad weeks
	Reorder int64  `json:"reorder"` // order when no more than these are left
	Order   int64  `json:"order"`   // order so many now
}

// forecastOf computes a forecast. A product of which nothing is known has a level of zero and needs no order.
func forecastOf(d demand) forecast {
	level, squares := smooth(d.Weeks)
	f := forecast{SKU: d.SKU, Level: level, Safety: safety(squares, len(d.Weeks))}
	f.Reorder = roundUp(leadWeeks*level, milli) + f.Safety
	if level > 0 && d.Free <= f.Reorder {
		f.Order = f.Reorder + roundUp(coverWeeks*level, milli) - d.Free
	}
	return f
}

// smooth returns the level after the last week, and the sum of the squared errors in millionths. The squares of a
// busy product leave 64 bits, so they are big.
func smooth(weeks []int64) (level int64, squares *big.Int) {
	squares = new(big.Int)
	if len(weeks) == 0 {
		return 0, squares
	}
	first := weeks[:min(startWeeks, len(weeks))]
	for _, w := range first {
		level += w * milli
	}
	level = roundHalf(level, int64(len(first)))
	var e big.Int
	for _, w := range weeks {
		off := w*milli - level
		level += roundHalf(off, smoothing)
		e.SetInt64(off)
		squares.Add(squares, e.Mul(&e, &e))
	}
	return level, squares
}

// safety is the smallest whole number of pieces that is not below z * sigma * sqrt(lead time), where sigma is the root
// of the mean squared error. It is found under the root, where all is whole: there is one rounding and no float.
func safety(squares *big.Int, weeks int) int64 {
	if weeks == 0 || squares.Sign() == 0 {
		return 0
	}
	over := big.NewInt(zMilli * zMilli * leadWeeks)
	over.Mul(over, squares)
	under := big.NewInt(int64(weeks) * milli * milli)
	under.Mul(under, big.NewInt(milli*milli))
	over.Add(over, under).Sub(over, big.NewInt(1)).Div(over, under) // the square, rounded up
	root := new(big.Int).Sqrt(over)
	if new(big.Int).Mul(root, root).Cmp(over) < 0 {
		root.Add(root, big.NewInt(1))
	}
	return root.Int64()
}

// roundHalf divides and rounds to the nearest whole number, halves away from zero.
func roundHalf(a, b int64) int64 {
	if a < 0 {
		return -roundHalf(-a, b)
	}
	return (2*a + b) / (2 * b)
}

// roundUp divides a number that is not below zero and rounds up.
func roundUp(a, b int64) int64 { return (a + b - 1) / b }
