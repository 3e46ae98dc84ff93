package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// The types of the cells. Each reads its own text strictly, so that csvrow can say line, column and reason of a cell
// that is wrong; nothing is guessed and nothing passes through a float.

// Money is an amount in ten-thousandths of the currency's unit. Unit prices below a penny are real (0.001 in the
// retail file), and a float would not hold 0.1: an integer of this grain holds every price exactly.
type Money int64

const (
	moneyDigits = 4
	moneyUnit   = 10_000
	maxMoney    = 1_000_000_000 * moneyUnit // sums of such prices stay far from overflow
)

// UnmarshalText reads a decimal such as 2.55, -11062.06 or 0.001.
func (m *Money) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	digits := strings.TrimPrefix(s, "-")
	whole, frac, dot := strings.Cut(digits, ".")
	if !allDigits(whole) || dot && !allDigits(frac) {
		return errors.New("not a decimal number such as 2.55")
	}
	if len(strings.TrimRight(frac, "0")) > moneyDigits {
		return fmt.Errorf("more than %d decimals", moneyDigits)
	}
	var v Money
	for _, c := range whole + (frac + strings.Repeat("0", moneyDigits))[:moneyDigits] {
		if v = v*10 + Money(c-'0'); v > maxMoney {
			return errors.New("more than a billion")
		}
	}
	if digits != s {
		v = -v
	}
	*m = v
	return nil
}

// MarshalText writes the amount; in JSON it is a string, since a number would become a float at the other end.
func (m Money) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// String writes the amount with two decimals, or more when it has more.
func (m Money) String() string {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	frac := fmt.Sprintf("%0*d", moneyDigits, m%moneyUnit)
	return fmt.Sprintf("%s%d.%s", sign, m/moneyUnit, frac[:2]+strings.TrimRight(frac[2:], "0"))
}

// A price is money that a product costs: not below zero.
type price struct{ Money }

// UnmarshalText reads a price.
func (p *price) UnmarshalText(b []byte) error {
	if err := p.Money.UnmarshalText(b); err != nil {
		return err
	}
	if p.Money < 0 {
		return errors.New("below zero")
	}
	return nil
}

// pieces is how many: of a sale above zero, of a return below.
type pieces int64

const maxPieces = 1_000_000_000

// UnmarshalText reads a whole number.
func (n *pieces) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	v, err := strconv.ParseInt(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && (v > maxPieces || v < -maxPieces):
		return errors.New("more than a billion pieces")
	case err != nil || !allDigits(strings.TrimPrefix(s, "-")):
		return errors.New("not a whole number")
	}
	*n = pieces(v)
	return nil
}

// MarshalText writes the number.
func (n pieces) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(n), 10), nil }

// stock is how many are there: not below zero.
type stock struct{ pieces }

// UnmarshalText reads a stock.
func (n *stock) UnmarshalText(b []byte) error {
	if err := n.pieces.UnmarshalText(b); err != nil {
		return err
	}
	if n.pieces < 0 {
		return errors.New("below zero")
	}
	return nil
}

// A code names something: an invoice, a product. Blanks around it mean nothing.
type code string

const maxCode = 64

// UnmarshalText reads a code.
func (c *code) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	switch {
	case s == "":
		return errors.New("blank")
	case len(s) > maxCode:
		return fmt.Errorf("longer than %d bytes", maxCode)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }):
		return errors.New("holds a control character or broken UTF-8")
	}
	*c = code(s)
	return nil
}

// MarshalText writes the code.
func (c code) MarshalText() ([]byte, error) { return []byte(c), nil }

// prose is text for people: blanks at its ends and line breaks inside it mean nothing.
func prose(s string) string { return strings.Join(strings.Fields(s), " ") }

func allDigits(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// clip keeps a foreign text short enough for one line of a report.
func clip(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}
