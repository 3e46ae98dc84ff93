package crosstie

import (
	"cmp"
	"fmt"
	"slices"
)

// Choose ranks the six patterns for a requirement, says why, warns of what
// the second choice would go wrong with, names Salesforce's own tooling, and
// computes what each pattern takes of the calls a day.
//
// It adds up a fixed table of rules, each about one field of the requirement
// and each with its sentence, and takes four points from a pattern that needs
// more calls than are allowed. Equal scores rank in the order of the
// constants, which is the order of the machinery needed. The same
// requirement always has the same advice; Choose reads no clock, no file and
// no network, and is safe for concurrent use.
//
// A field that makes no sense, alone or beside another, is an [*Error]; all
// such fields are returned, joined, and the advice is empty.
func Choose(r Requirement) (Advice, error) {
	if err := r.check(); err != nil {
		return Advice{}, err
	}
	r = r.withDefaults()
	a := Advice{Requirement: r}
	for _, p := range patterns {
		a.Ranked = append(a.Ranked, r.judge(p))
	}
	slices.SortStableFunc(a.Ranked, func(x, y Choice) int { return cmp.Compare(y.Score, x.Score) })
	a.Warning = r.warn(a.Ranked[0], a.Ranked[1])
	return a, nil
}

// judge adds up the rules for one pattern.
func (r Requirement) judge(p Pattern) Choice {
	c := Choice{Pattern: p, Cost: r.cost(p), Tooling: tooling(p, r.Direction)}
	for _, ru := range rules {
		if !ru.when(r) {
			continue
		}
		for _, e := range ru.effects {
			if e.pattern == p {
				c.add(Reason{Field: ru.field, Points: e.points, Text: r.fill(e.text)})
			}
		}
	}
	if !c.Cost.Fits {
		c.add(Reason{Field: "CallsPerDay", Points: overAllowance,
			Text: fmt.Sprintf("%s calls a day are more than the %s allowed", group(c.Cost.Calls), group(c.Cost.Allowed))})
	}
	// The heaviest reason is the one to read first.
	slices.SortStableFunc(c.Reasons, func(x, y Reason) int { return cmp.Compare(abs(y.Points), abs(x.Points)) })
	return c
}

func (c *Choice) add(why Reason) {
	c.Score += why.Points
	c.Reasons = append(c.Reasons, why)
}

func abs(n int) int { return max(n, -n) }
