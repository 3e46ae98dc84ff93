package main

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// looks are people who look at the stock in the shop's window while others buy, and what they saw.
type looks struct {
	s     *story
	began time.Time
	next  chan string
	gone  sync.WaitGroup

	mu      sync.Mutex // guards the rest
	saw     []sight
	in      int64
	stale   int64
	refused int64
	oldest  time.Duration // how long ago what somebody saw had been superseded, at most
}

// A sight is what one of them saw, and when.
type sight struct {
	sku   string
	stock int64
	at    time.Time
}

const lookers = 2

// look lets them in.
func (s *story) look(ctx context.Context) *looks {
	l := &looks{s: s, began: time.Now(), next: make(chan string, 64)}
	for range lookers {
		l.gone.Go(func() {
			for sku := range l.next {
				l.one(ctx, sku)
			}
		})
	}
	return l
}

// at has somebody look at a product, unless all are looking.
func (l *looks) at(sku string) {
	select {
	case l.next <- sku:
	default:
	}
}

func (l *looks) one(ctx context.Context, sku string) {
	at := time.Now()
	v, err := l.s.window.Load(ctx, sku)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in++
	switch {
	case err != nil:
		l.refused++
		return
	case v.Stale:
		l.stale++
	}
	l.saw = append(l.saw, sight{sku, v.V.Stock, at})
}

// end returns when all have gone.
func (l *looks) end() {
	close(l.next)
	l.gone.Wait()
}

// tally says what they saw, and works out from the reservations how old that was: stock only falls, so what somebody
// saw was superseded by the first reservation that left less.
func (l *looks) tally(ctx context.Context) (tally, error) {
	type left struct {
		sku   string
		stock int64
		at    time.Time
	}
	made, err := queryAll(ctx, l.s.warehouse.db, func(rows *sql.Rows) (v left, err error) {
		var at string
		if err := rows.Scan(&v.sku, &v.stock, &at); err != nil {
			return v, err
		}
		v.at, err = time.Parse(time.RFC3339Nano, at)
		return v, err
	}, `SELECT sku, opening - sum(quantity) OVER (PARTITION BY sku ORDER BY number), at FROM reservation JOIN product USING (sku)
		ORDER BY sku, number`)
	if err != nil {
		return tally{}, err
	}
	bySKU := map[string][]left{}
	for _, r := range made {
		bySKU[r.sku] = append(bySKU[r.sku], r)
	}
	for _, saw := range l.saw {
		for _, r := range bySKU[saw.sku] {
			if r.stock < saw.stock {
				l.oldest = max(l.oldest, saw.at.Sub(r.at))
				break
			}
		}
	}
	return tally{
		Pattern: "uiupdate",
		What:    fmt.Sprintf("look at stock in the window (oldest shown %s, limit %s)", short(l.oldest), short(windowStale)),
		In:      l.in, Done: l.in - l.stale - l.refused, Unchanged: l.stale, Failed: l.refused, Took: time.Since(l.began),
	}, nil
}

// check proves that nobody was shown what had been superseded for longer than the limit. A reservation bears the time
// of its transaction's work, and is seen when that has committed.
func (l *looks) check() error {
	if l.oldest > windowStale+commitTime {
		return broken("what is shown is no older than its limit", "stock was shown that had been superseded %s before, and the limit is %s", short(l.oldest), short(windowStale))
	}
	return nil
}

const commitTime = 5 * time.Second // more than any commit takes that a caller waits for
